"""The model card: README.md of the model's folder, generated from training.json.

Names that come from users, files or libraries are escaped, so they never become markup.
"""

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from seqit.llm.providers.local.vision import ModelKind
from seqit.stores.targets import atomic_file
from seqit.train.recipe import PROVENANCE_FILE

CARD_FILE = "README.md"

_MARKUP = re.compile(r"([\\`*_\[\]#|<>~$&:@]|(?<=www)\.)", re.IGNORECASE)
_WHITESPACE = re.compile(r"\s+")


class CardInfo(NamedTuple):
    """What a card needs besides training.json.

    merged: the folder contains the whole model although adapters were trained.
    """

    kind: ModelKind
    merged: bool = False


def write_card(folder: Path, provenance: dict[str, Any], info: CardInfo) -> None:
    """Write the card of the model in a folder; provenance: the content of its training.json."""
    with atomic_file(str(folder / CARD_FILE)) as file:
        file.write(model_card(provenance, info).encode())


def model_card(provenance: dict[str, Any], info: CardInfo) -> str:
    """Return the card as Markdown with YAML front matter, as the hub reads it."""
    is_adapter = bool(provenance["recipe"].get("lora")) and not info.merged
    sections = [
        _front_matter(provenance, info, is_adapter),
        _title(provenance, info),
        _usage(provenance, info, is_adapter),
        _data(provenance),
        _training(provenance),
        _versions(provenance),
    ]
    return "\n".join(sections)


def _front_matter(provenance: dict[str, Any], info: CardInfo, is_adapter: bool) -> str:
    import yaml

    base = provenance["base"]["model"]
    fields: dict[str, Any] = {
        "library_name": "peft" if is_adapter else "transformers",
        "pipeline_tag": "text-generation" if info.kind == "text" else "image-text-to-text",
        "tags": ["seqit", "sequential-instruction-tuning", *(["lora"] if is_adapter else [])],
    }
    if _is_hub_name(base):
        fields["base_model"] = base
    return f"---\n{yaml.safe_dump(fields, sort_keys=True, allow_unicode=True)}---\n"


def _title(provenance: dict[str, Any], info: CardInfo) -> str:
    out, base = Path(provenance["recipe"]["output"]).name or "model", provenance["base"]
    lora = provenance["recipe"].get("lora")
    method = "full fine-tuning"
    if lora:
        method = f"LoRA of rank {lora['rank']}"
        if lora.get("bits"):
            method += f", on a {lora['bits']}-bit base"
        if info.merged:
            method += ", merged into the base"
    revision = _inline_code(str(base["revision"])[:12])
    return (
        f"# {_escape(out)}\n\n{_inline_code(base['model'])} (revision {revision}), fine-tuned "
        f"with seqit: {method}.\n"
    )


def _usage(provenance: dict[str, Any], info: CardInfo, is_adapter: bool) -> str:
    base = provenance["base"]["model"]
    teacher = "seqit augment --method regenerate rows.jsonl --teacher"
    introduction, shell = "With this folder as `DIR`:", []
    if is_adapter:
        introduction = "This folder, here `DIR`, is an adapter. Merge it or load it with its base:"
        shell.append("seqit merge DIR -o MODEL")
    if info.kind == "text":
        named = (f"transformers:{base}", "lora=DIR") if is_adapter else ("transformers:DIR",)
        shell.append(f"{teacher} {' --engine-arg '.join(map(_shell_word, named))}")
    if info.kind != "instructblip":  # vLLM does not support it
        more = f"{_shell_word(base)} --enable-lora --lora-modules DIR=DIR" if is_adapter else "DIR"
        shell.append(f"vllm serve {more}")
        shell.append(f"{teacher} openai:DIR --base-url http://localhost:8000/v1")
    auto_model = "AutoModelForCausalLM" if info.kind == "text" else "AutoModelForImageTextToText"
    auto_processor = "AutoTokenizer" if info.kind == "text" else "AutoProcessor"
    code = [f"from transformers import {auto_model}, {auto_processor}", ""]
    name = "tokenizer" if info.kind == "text" else "processor"
    code.append(f'{name} = {auto_processor}.from_pretrained("DIR")')
    model = json.dumps(base if is_adapter else "DIR")
    code.append(f"model = {auto_model}.from_pretrained({model})")
    if is_adapter:
        code.insert(0, "from peft import PeftModel")
        code.append('model = PeftModel.from_pretrained(model, "DIR")')
    lines = ["## Use", "", introduction, ""]
    lines += [*_code_block("sh", shell), "", *_code_block("python", code), ""]
    if info.kind != "instructblip":
        lines += ["The folder contains the chat template used in training.", ""]
    return "\n".join(lines)


def _data(provenance: dict[str, Any]) -> str:
    counts = provenance.get("counts", {})
    lines = ["## Data", "", *_table(("file", "sha256"), provenance["data"].items()), ""]
    tokens, targets, sizes = (counts.get(key, {}) for key in ("tokens", "targets", "rows"))
    splits = [(name, sizes[name], tokens[name], targets[name]) for name in sizes]
    if splits:
        head = ("split", "rows", "tokens", "supervised tokens")
        lines += [*_table(head, splits), ""]
    for field, groups in counts.get("by", {}).items():
        rows = [(name, each["rows"], each["tokens"]) for name, each in groups.items()]
        rows.sort(key=lambda row: -row[1])
        lines += [*_table((field, "rows", "tokens"), rows), ""]
    return "\n".join(lines)


def _training(provenance: dict[str, Any]) -> str:
    last = provenance.get("last", {})
    values = [
        ("steps", provenance.get("steps")),
        ("tokens seen", provenance.get("tokens")),
        ("ranks", provenance.get("ranks")),
        ("devices", ", ".join(sorted(set(provenance.get("devices") or ()))) or "CPU"),
        ("last loss", last.get("loss")),
        ("last evaluation loss", last.get("eval_loss")),
    ]
    present = [(name, value) for name, value in values if value is not None]
    settings = list(_settings(provenance["recipe"]))
    return "\n".join(
        [
            *("## Training", "", *_table(("", ""), present), ""),
            *("### Recipe", "", *_table(("setting", "value"), settings), ""),
        ]
    )


def _versions(provenance: dict[str, Any]) -> str:
    versions = [*provenance.get("libraries", {}).items(), ("Python", provenance.get("python"))]
    git = provenance.get("git")
    if git:
        versions.append(("git", git["revision"] + (" (changed)" if git["changed"] else "")))
    rows = [(name, value) for name, value in versions if value]
    return "\n".join(["## Versions", "", *_table(("library", "version"), rows), ""])


def _settings(recipe: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the settings that have a value by name, such as ``tuning.learning_rate``."""
    for name, value in recipe.items():
        if name in ("model", "revision", "output", "tokens", "resume", "sources", "launch"):
            continue
        if isinstance(value, dict):
            yield from _settings(value, f"{prefix}{name}.")
        elif value not in (None, [], ()):
            yield f"{prefix}{name}", value


def _is_hub_name(model: str) -> bool:
    """Return True for a name on the hub: a local path would be useless to other people."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", model) is not None and not Path(model).exists()


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> list[str]:
    """Return the lines of a Markdown table; text is escaped, and numbers are right-aligned."""
    rows = list(rows)
    body = [tuple(_cell(value) for value in row) for row in rows]
    numeric = [
        all(isinstance(row[n], int | float) and not isinstance(row[n], bool) for row in rows)
        for n in range(len(head))
    ]
    alignment = "|".join(" ---: " if each else " --- " for each in numeric)
    lines = [f"| {' | '.join(head)} |", f"|{alignment}|"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in body)]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return _escape(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))


def _escape(value: str) -> str:
    """Return a text as one line with all markup escaped."""
    return _MARKUP.sub(r"\\\1", _WHITESPACE.sub(" ", value).strip())


def _inline_code(value: str) -> str:
    """Return a text as inline code; it may contain backticks."""
    plain = _WHITESPACE.sub(" ", value)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    pad = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def _shell_word(value: str) -> str:
    """Return a text quoted as one shell word, on one line."""
    return shlex.quote(_WHITESPACE.sub(" ", value))


def _code_block(language: str, lines: list[str]) -> list[str]:
    """Return the lines of a code block whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]


def load_provenance(folder: Path) -> dict[str, Any] | None:
    """Return the content of training.json in a folder; None if it is missing or unreadable."""
    try:
        provenance = orjson.loads((folder / PROVENANCE_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return provenance if isinstance(provenance, dict) else None
