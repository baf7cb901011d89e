"""The model card, in which names never become markup."""

import json
import re
import shlex

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")

import yaml
from hypothesis import given
from hypothesis import strategies as st

from seqit.train.model.card import CARD_FILE, CardInfo, load_provenance, model_card, write_card
from seqit.train.recipe import PROVENANCE_FILE, Data, Lora, TrainRecipe, Tuning

TEXT = CardInfo("text")


def make_provenance(model="meta-llama/Meta-Llama-3-8B", source="sit.jsonl", **fields):
    """Return the training.json of a run."""
    recipe = TrainRecipe(model=model, output="runs/sit", data=Data(sources=(source,)), **fields)
    counts = {"rows": 90, "tokens": 30_000, "targets": 12_345}
    return json.loads(
        json.dumps(
            {
                "recipe": recipe.to_dict(),
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


def test_the_card_describes_how_the_model_was_made():
    fields, text = front_matter(
        model_card(make_provenance(tuning=Tuning(learning_rate=1e-5, seed=7)), TEXT)
    )
    assert fields == {
        "base_model": "meta-llama/Meta-Llama-3-8B",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["seqit", "sequential-instruction-tuning"],
    }
    for line in (
        "# sit\n",
        "`meta-llama/Meta-Llama-3-8B` (revision `0123456789ab`), fine-tuned with seqit: full",
        f"| sit.jsonl | {'a' * 64} |",
        "| train | 90 | 30,000 | 12,345 |",
        "| decompose | 90 | 30,000 |\n| seed | 7 | 30,000 |",
        "| tokens seen | 90,000 |",
        "| devices | NVIDIA H100 |",
        "| last loss | 0.123457 |",
        "| last evaluation loss | 1.5 |",
        r"| tuning.learning\_rate | 1e-05 |",
        "| tuning.seed | 7 |",
        "| torch | 2.13.0 |",
        f"| git | {'f' * 40} (changed) |",
    ):
        assert line in text, f"{line}\n{text}"
    ((_, shell),) = blocks(text, "sh")
    assert "transformers:DIR" in shell and "vllm serve DIR\n" in shell and "merge" not in shell


def test_the_cards_of_an_adapter_and_of_a_merged_model():
    provenance = make_provenance(lora=Lora(rank=16, bits=4))
    fields, text = front_matter(model_card(provenance, TEXT))
    assert fields["library_name"] == "peft" and "lora" in fields["tags"]
    assert "LoRA of rank 16, on a 4-bit base." in text
    ((_, shell),) = blocks(text, "sh")
    base = "meta-llama/Meta-Llama-3-8B"
    assert shell.splitlines() == [
        "seqit merge DIR -o MODEL",
        "seqit augment --method regenerate rows.jsonl --teacher "
        f"transformers:{base} --engine-arg lora=DIR",
        f"vllm serve {base} --enable-lora --lora-modules DIR=DIR",
        "seqit augment --method regenerate rows.jsonl --teacher openai:DIR "
        "--base-url http://localhost:8000/v1",
    ]
    ((_, code),) = blocks(text, "python")
    assert f'from_pretrained("{base}")' in code and "PeftModel" in code
    merged, text = front_matter(model_card(provenance, CardInfo("text", merged=True)))
    assert merged["library_name"] == "transformers" and "merged into the base" in text
    assert "PeftModel" not in text and "seqit merge" not in text


@pytest.mark.parametrize("kind", ["chat-vision", "instructblip"])
def test_a_vision_model_is_loaded_with_its_processor(kind):
    fields, text = front_matter(model_card(make_provenance(), CardInfo(kind)))
    assert fields["pipeline_tag"] == "image-text-to-text"
    ((_, code),) = blocks(text, "python")
    assert "AutoModelForImageTextToText, AutoProcessor" in code
    assert "transformers:DIR" not in text
    assert ("vllm serve DIR" in text) == (kind == "chat-vision")


def test_a_local_base_is_not_a_base_model_of_the_hub(tmp_path, monkeypatch):
    fields, _ = front_matter(model_card(make_provenance(str(tmp_path)), TEXT))
    assert "base_model" not in fields
    (tmp_path / "my" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    fields, _ = front_matter(model_card(make_provenance("my/model"), TEXT))
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


def test_names_of_users_never_become_markup():
    plain = prose(model_card(make_provenance("m", "s"), TEXT))
    provenance = make_provenance(NASTY, NASTY, template=NASTY)
    provenance["recipe"]["out"] = NASTY.replace("/", "")
    provenance["libraries"] = {NASTY: NASTY}
    provenance["devices"] = [NASTY]
    provenance["counts"]["by"] = {"source": {NASTY: {"rows": 1, "tokens": 2}}}
    card = model_card(provenance, TEXT)
    fields, _ = front_matter(card)
    assert "base_model" not in fields
    text = prose(card)
    # The base is inline code, with a fence that is longer than any in it.
    code = re.search(r"`{4}[^\n]*?`{4}(?= \(revision)", text)
    assert code and "script" in code[0]
    text = text.replace(code[0], "`m`")
    markup, expected = (sorted(MARKUP.findall(each)) for each in (text, plain))
    # Except for the bars of more table rows, the markup is that of a plain card.
    assert [each for each in markup if each != "|"] == [each for each in expected if each != "|"]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_a_table_row_has_the_same_cells_for_any_text(name):
    provenance = make_provenance()
    provenance["data"] = {name: "b" * 64}
    _, text = front_matter(model_card(provenance, TEXT))
    (row,) = [line for line in text.split("\n") if line.endswith(f"| {'b' * 64} |")]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 3


def test_commands_and_code_are_valid_for_any_name_of_the_base():
    provenance = make_provenance("my model`s $(touch x)\"'", lora=Lora())
    _, text = front_matter(model_card(provenance, TEXT))
    ((_, shell),) = blocks(text, "sh")
    base = "my model`s $(touch x)\"'"
    words = [shlex.split(line) for line in shell.splitlines()]
    assert words[1][6] == f"transformers:{base}" and words[2][2] == base
    ((_, code),) = blocks(text, "python")
    compile(code, "card", "exec")
    assert json.dumps(base) in code


def test_the_card_is_written_next_to_the_provenance(tmp_path):
    assert load_provenance(tmp_path) is None
    (tmp_path / PROVENANCE_FILE).write_text("{")
    assert load_provenance(tmp_path) is None
    provenance = make_provenance()
    (tmp_path / PROVENANCE_FILE).write_text(json.dumps(provenance))
    assert load_provenance(tmp_path) == provenance
    write_card(tmp_path, provenance, TEXT)
    assert (tmp_path / CARD_FILE).read_text() == model_card(provenance, TEXT)
