"""The model's card, and that nothing in it becomes markup which nobody wrote."""

import json
import re
import shlex

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")

import yaml
from hypothesis import given
from hypothesis import strategies as st

from seqit.train.model.card import CARD, About, model_card, read_record, write_card
from seqit.train.recipe import PROVENANCE_FILE, Data, Lora, TrainRecipe, Tuning

TEXT = About("text")


def record_of(model="meta-llama/Meta-Llama-3-8B", source="sit.jsonl", **recipe):
    """Return a training.json as a run writes it."""
    made = TrainRecipe(model=model, out="runs/sit", data=Data(sources=(source,)), **recipe)
    counts = {"rows": 90, "tokens": 30_000, "targets": 12_345}
    return json.loads(
        json.dumps(
            {
                "recipe": made.to_dict(),
                "base": {"model": model, "revision": "0123456789abcdef"},
                "data": {source: "a" * 64},
                "mixtures": [],
                "counts": {
                    **{name: {"train": number} for name, number in counts.items()},
                    "by": {
                        "operation": {"decompose": counts, "seed": counts | {"rows": 7}},
                    },
                },
                "ranks": 2,
                "steps": 30,
                "tokens": 90_000,
                "targets": 37_035,
                "last": {"step": 30, "loss": 0.123456789, "eval_loss": 1.5},
                "libraries": {"seqit": "0.1.0", "torch": "2.13.0"},
                "python": "3.11.9",
                "devices": ["NVIDIA H100", "NVIDIA H100"],
                "git": {"revision": "f" * 40, "changed": True},
            }
        )
    )


def front_matter(card):
    _, head, rest = card.split("---\n", 2)
    return yaml.safe_load(head), rest


def blocks(card, language):
    return re.findall(rf"^(`{{3,}}){language}\n(.*?)^\1$", card, re.S | re.M)


def test_the_card_says_what_made_the_model():
    fields, text = front_matter(model_card(record_of(tuning=Tuning(lr=1e-5, seed=7)), TEXT))
    assert fields == {
        "base_model": "meta-llama/Meta-Llama-3-8B",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["seqit", "sequential-instruction-tuning"],
    }
    for said in (
        "# sit\n",
        "`meta-llama/Meta-Llama-3-8B` (revision `0123456789ab`), fine-tuned with seqit: full",
        f"| sit.jsonl | {'a' * 64} |",
        "| train | 90 | 30,000 | 12,345 |",
        "| decompose | 90 | 30,000 |\n| seed | 7 | 30,000 |",
        "| tokens seen | 90,000 |",
        "| devices | NVIDIA H100 |",
        "| last loss | 0.123457 |",
        "| last evaluation loss | 1.5 |",
        "| tuning.lr | 1e-05 |",
        "| tuning.seed | 7 |",
        "| torch | 2.13.0 |",
        f"| git | {'f' * 40} (changed) |",
    ):
        assert said in text, f"{said}\n{text}"
    ((_, shell),) = blocks(text, "sh")
    assert "transformers:DIR" in shell and "vllm serve DIR\n" in shell and "merge" not in shell


def test_an_adapter_says_how_it_is_merged_and_the_merged_model_that_it_is():
    record = record_of(lora=Lora(rank=16, bits=4))
    fields, text = front_matter(model_card(record, TEXT))
    assert fields["library_name"] == "peft" and "lora" in fields["tags"]
    assert "LoRA of rank 16, beside a base of 4 bits." in text
    ((_, shell),) = blocks(text, "sh")
    base = "meta-llama/Meta-Llama-3-8B"
    assert shell.splitlines() == [
        "seqit merge DIR -o MODEL",
        "seqit augment --method regenerate rows.jsonl --teacher "
        f"transformers:{base} --engine lora=DIR",
        f"vllm serve {base} --enable-lora --lora-modules DIR=DIR",
        "seqit augment --method regenerate rows.jsonl --teacher openai:DIR "
        "--base-url http://localhost:8000/v1",
    ]
    ((_, code),) = blocks(text, "python")
    assert f'from_pretrained("{base}")' in code and "PeftModel" in code
    merged, text = front_matter(model_card(record, About("text", merged=True)))
    assert merged["library_name"] == "transformers" and "merged into the base" in text
    assert "PeftModel" not in text and "seqit merge" not in text


@pytest.mark.parametrize("kind", ["chat-vision", "instructblip"])
def test_a_model_that_sees_is_opened_with_its_processor(kind):
    fields, text = front_matter(model_card(record_of(), About(kind)))
    assert fields["pipeline_tag"] == "image-text-to-text"
    ((_, code),) = blocks(text, "python")
    assert "AutoModelForImageTextToText, AutoProcessor" in code
    assert "transformers:DIR" not in text  # seqit's backend takes text alone
    assert ("vllm serve DIR" in text) == (kind == "chat-vision")


def test_a_base_on_a_disk_is_not_named_to_the_hub(tmp_path, monkeypatch):
    fields, _ = front_matter(model_card(record_of(str(tmp_path)), TEXT))
    assert "base_model" not in fields
    (tmp_path / "my" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    fields, _ = front_matter(model_card(record_of("my/model"), TEXT))
    assert "base_model" not in fields


NASTY = (
    "a|b`c``d\n---\n# head\n<script>alert(1)</script> [x](http://evil) ![i](j) *b* _e_ ~s~ $m$ "
    "&amp; www.evil.com me@evil.com \\ ```\n$(rm -rf ~) '\" : #1"
)
MARKUP = re.compile(r"[`*_\[\]<>|~$&@]|https?:|www\.|^#|^---", re.M)


def prose(card):
    """Return the card without its front matter, code blocks and escaped characters."""
    _, text = front_matter(card)
    for fence, body in blocks(text, r"(?:sh|python)"):
        text = text.replace(f"{fence}{body}", "")
    text = re.sub(r"^`{3,}(?:sh|python)\n.*?^`{3,}$", "", text, flags=re.S | re.M)
    return re.sub(r"\\[\\`*_\[\]#|<>~$&:@.]", "", text)


def test_what_a_user_named_is_never_markup():
    plain = prose(model_card(record_of("m", "s"), TEXT))
    record = record_of(NASTY, NASTY, template=NASTY)
    record["recipe"]["out"] = NASTY.replace("/", "")
    record["libraries"] = {NASTY: NASTY}
    record["devices"] = [NASTY]
    record["counts"]["by"] = {"source": {NASTY: {"rows": 1, "tokens": 2}}}
    card = model_card(record, TEXT)
    fields, _ = front_matter(card)
    assert "base_model" not in fields
    text = prose(card)
    # The base is shown as code, within a fence that is longer than any in it.
    code = re.search(r"`{4}[^\n]*?`{4}(?= \(revision)", text)
    assert code and "script" in code[0]
    text = text.replace(code[0], "`m`")
    kinds = [sorted(MARKUP.findall(each)) for each in (text, plain)]
    # More rows of tables have more bars; nothing else is there that a plain card has not.
    assert [mark for mark in kinds[0] if mark != "|"] == [m for m in kinds[1] if m != "|"]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_a_table_has_as_many_cells_whatever_is_in_them(name):
    record = record_of()
    record["data"] = {name: "b" * 64}
    _, text = front_matter(model_card(record, TEXT))
    (row,) = [line for line in text.split("\n") if line.endswith(f"| {'b' * 64} |")]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3


def test_commands_and_code_can_be_run_whatever_the_base_is_called():
    record = record_of("my model`s $(touch x)\"'", lora=Lora())
    _, text = front_matter(model_card(record, TEXT))
    ((_, shell),) = blocks(text, "sh")
    base = "my model`s $(touch x)\"'"
    words = [shlex.split(line) for line in shell.splitlines()]
    assert words[1][6] == f"transformers:{base}" and words[2][2] == base
    ((_, code),) = blocks(text, "python")
    compile(code, "card", "exec")
    assert json.dumps(base) in code


def test_it_is_written_beside_what_it_was_written_from(tmp_path):
    assert read_record(tmp_path) is None
    (tmp_path / PROVENANCE_FILE).write_text("{")
    assert read_record(tmp_path) is None
    record = record_of()
    (tmp_path / PROVENANCE_FILE).write_text(json.dumps(record))
    assert read_record(tmp_path) == record
    write_card(tmp_path, record, TEXT)
    assert (tmp_path / CARD).read_text() == model_card(record, TEXT)
