"""The model's card: README.md of its folder, written from training.json.

All that a user, a file or a library may have named is escaped: it never becomes markup.
"""

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from seqit.stores.targets import whole_file
from seqit.train.data.vision import Kind
from seqit.train.recipe import PROVENANCE_FILE

CARD = "README.md"

_MARKUP = re.compile(r"([\\`*_\[\]#|<>~$&:@]|(?<=www)\.)", re.IGNORECASE)
_BLANK = re.compile(r"\s+")


class About(NamedTuple):
    """What the card is of, beside training.json.

    kind: what the model takes; merged: the folder holds the whole model, though adapters were
    trained.
    """

    kind: Kind
    merged: bool = False


def write_card(folder: Path, record: dict[str, Any], about: About) -> None:
    """Write the card of the model in a folder; record: its training.json."""
    with whole_file(str(folder / CARD)) as file:
        file.write(model_card(record, about).encode())


def model_card(record: dict[str, Any], about: About) -> str:
    """Return the card as Markdown with YAML before it, as the hub reads it."""
    is_adapter = bool(record["recipe"].get("lora")) and not about.merged
    parts = [
        _front_matter(record, about, is_adapter),
        _title(record, about),
        _usage(record, about, is_adapter),
        _data(record),
        _training(record),
        _versions(record),
    ]
    return "\n".join(parts)


def _front_matter(record: dict[str, Any], about: About, is_adapter: bool) -> str:
    import yaml

    base = record["base"]["model"]
    fields: dict[str, Any] = {
        "library_name": "peft" if is_adapter else "transformers",
        "pipeline_tag": "text-generation" if about.kind == "text" else "image-text-to-text",
        "tags": ["seqit", "sequential-instruction-tuning", *(["lora"] if is_adapter else [])],
    }
    if _is_hub_name(base):
        fields["base_model"] = base
    return f"---\n{yaml.safe_dump(fields, sort_keys=True, allow_unicode=True)}---\n"


def _title(record: dict[str, Any], about: About) -> str:
    out, base = Path(record["recipe"]["out"]).name or "model", record["base"]
    lora = record["recipe"].get("lora")
    how = "full fine-tuning"
    if lora:
        how = f"LoRA of rank {lora['rank']}"
        if lora.get("bits"):
            how += f", beside a base of {lora['bits']} bits"
        if about.merged:
            how += ", merged into the base"
    revision = _code(str(base["revision"])[:12])
    return (
        f"# {_text(out)}\n\n{_code(base['model'])} (revision {revision}), fine-tuned with seqit: "
        f"{how}.\n"
    )


def _usage(record: dict[str, Any], about: About, is_adapter: bool) -> str:
    base = record["base"]["model"]
    teacher = "seqit augment --method regenerate rows.jsonl --teacher"
    told, shell = "With this folder as `DIR`:", []
    if is_adapter:
        told = "This folder, here `DIR`, holds an adapter. Merge it, or name it beside its base:"
        shell.append("seqit merge DIR -o MODEL")
    if about.kind == "text":
        named = (f"transformers:{base}", "lora=DIR") if is_adapter else ("transformers:DIR",)
        shell.append(f"{teacher} {' --engine '.join(map(_word, named))}")
    if about.kind != "instructblip":  # which vLLM does not run
        more = f"{_word(base)} --enable-lora --lora-modules DIR=DIR" if is_adapter else "DIR"
        shell.append(f"vllm serve {more}")
        shell.append(f"{teacher} openai:DIR --base-url http://localhost:8000/v1")
    kind = "AutoModelForCausalLM" if about.kind == "text" else "AutoModelForImageTextToText"
    reader = "AutoTokenizer" if about.kind == "text" else "AutoProcessor"
    code = [f"from transformers import {kind}, {reader}", ""]
    name = "tokenizer" if about.kind == "text" else "processor"
    code.append(f'{name} = {reader}.from_pretrained("DIR")')
    whole = json.dumps(base if is_adapter else "DIR")
    code.append(f"model = {kind}.from_pretrained({whole})")
    if is_adapter:
        code.insert(0, "from peft import PeftModel")
        code.append('model = PeftModel.from_pretrained(model, "DIR")')
    lines = ["## Use", "", told, "", *_block("sh", shell), "", *_block("python", code), ""]
    if about.kind != "instructblip":
        lines += ["The chat template that it was trained with lies in the folder.", ""]
    return "\n".join(lines)


def _data(record: dict[str, Any]) -> str:
    counts = record.get("counts", {})
    lines = ["## Data", "", *_table(("file", "sha256"), record["data"].items()), ""]
    tokens, targets, rows = (counts.get(key, {}) for key in ("tokens", "targets", "rows"))
    splits = [(name, rows[name], tokens[name], targets[name]) for name in rows]
    if splits:
        head = ("split", "rows", "tokens", "of them learnt")
        lines += [*_table(head, splits), ""]
    for field, groups in counts.get("by", {}).items():
        found = [(name, each["rows"], each["tokens"]) for name, each in groups.items()]
        lines += [*_table((field, "rows", "tokens"), sorted(found, key=lambda row: -row[1])), ""]
    return "\n".join(lines)


def _training(record: dict[str, Any]) -> str:
    last = record.get("last", {})
    seen = [
        ("steps", record.get("steps")),
        ("tokens seen", record.get("tokens")),
        ("ranks", record.get("ranks")),
        ("devices", ", ".join(sorted(set(record.get("devices") or ()))) or "CPU"),
        ("last loss", last.get("loss")),
        ("last evaluation loss", last.get("eval_loss")),
    ]
    shown = [(name, value) for name, value in seen if value is not None]
    settings = list(_settings(record["recipe"]))
    return "\n".join(
        [
            *("## Training", "", *_table(("", ""), shown), ""),
            *("### Recipe", "", *_table(("setting", "value"), settings), ""),
        ]
    )


def _versions(record: dict[str, Any]) -> str:
    found = [*record.get("libraries", {}).items(), ("Python", record.get("python"))]
    git = record.get("git")
    if git:
        found.append(("git", git["revision"] + (" (changed)" if git["changed"] else "")))
    rows = [(name, value) for name, value in found if value]
    return "\n".join(["## Versions", "", *_table(("library", "version"), rows), ""])


def _settings(recipe: dict[str, Any], within: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the settings that say something, as in ``tuning.lr``; files are listed elsewhere."""
    for name, value in recipe.items():
        if name in ("model", "revision", "out", "tokens", "resume", "sources", "launch"):
            continue
        if isinstance(value, dict):
            yield from _settings(value, f"{within}{name}.")
        elif value not in (None, [], ()):
            yield f"{within}{name}", value


def _is_hub_name(model: str) -> bool:
    """Tell whether a model's name is one of the hub's: a path on some disk is no use to others."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", model) is not None and not Path(model).exists()


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """Return a table; texts of any kind are cells, and numbers stand on the right."""
    rows = list(rows)
    body = [tuple(_cell(value) for value in row) for row in rows]
    numeric = [
        all(isinstance(row[n], int | float) and not isinstance(row[n], bool) for row in rows)
        for n in range(len(head))
    ]
    rule = "|".join(" ---: " if each else " --- " for each in numeric)
    lines = [f"| {' | '.join(head)} |", f"|{rule}|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in body)]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return _text(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _text(value: str) -> str:
    """Return a text of one line in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", _BLANK.sub(" ", value).strip())


def _code(value: str) -> str:
    """Return a text as code in a line, whatever backticks it holds."""
    plain = _BLANK.sub(" ", value)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    pad = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def _word(value: str) -> str:
    """Return a text as one word of a shell."""
    return shlex.quote(_BLANK.sub(" ", value))


def _block(language: str, lines: list[str]) -> list[str]:
    """Return a block of code whose fence is longer than any in it."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return what training.json says in a folder, None where there is none that can be read."""
    try:
        record = orjson.loads((folder / PROVENANCE_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return record if isinstance(record, dict) else None
