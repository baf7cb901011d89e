"""The recipes that come with seqit are valid, and have the values of the paper."""

import pytest
from support.paths import ROOT
from support.tiny_model import END, make_tokenizer

from seqit.train.recipe import Lora, Tuning, read_recipe

FOLDER = ROOT / "recipes" / "train"
RECIPES = sorted(FOLDER.glob("*.yaml"))


def read(name):
    path = FOLDER / f"{name}.yaml"
    return read_recipe(path.read_bytes(), path.name)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_can_be_run(path):
    recipe = read_recipe(path.read_bytes(), path.name)
    recipe.check()
    assert recipe.model and recipe.data.sources
    if recipe.template:
        assert (ROOT / recipe.template).is_file()


def test_the_recipes_have_the_papers_values():
    full, lora = read("sit-8b"), read("sit-8b-lora")
    paper = Tuning(micro_batch=1)  # the defaults are the paper's
    assert full.tuning == lora.tuning == paper
    assert (full.data.length, full.memory.zero, full.memory.dtype) == (2048, 3, "bfloat16")
    assert full.lora is None
    assert lora.lora == Lora(rank=64, alpha=16)


def test_the_instructblip_recipe_has_the_papers_values():
    tuning = read("instructblip").tuning
    assert (tuning.learning_rate, tuning.schedule, tuning.warmup) == (1e-5, "cosine", 1000)
    assert (tuning.weight_decay, tuning.epochs, tuning.batch_size) == (0.05, 5, 16)


def test_the_warm_up_takes_a_share_of_the_steps_or_their_number():
    from seqit.train.loop.learning_rate import learning_rate

    by_number = Tuning(learning_rate=1.0, warmup=10, schedule="constant")
    by_share = Tuning(learning_rate=1.0, warmup=0.1, schedule="constant")
    for tuning in (by_number, by_share):
        rates = [learning_rate(step, 100, tuning) for step in range(100)]
        assert rates[:11] == [step / 10 for step in range(11)] and set(rates[10:]) == {1.0}


def test_the_tags_template_is_rendered_and_masked(tmp_path):
    pytest.importorskip("transformers", reason="seqit[train] is not installed")
    from transformers import AutoTokenizer

    from seqit.llm.providers.local.chat_template import ChatTemplate
    from seqit.records.normalize import normalize
    from seqit.train.data.chat_encoder import TextEncoder

    make_tokenizer(tmp_path, None)
    template = ChatTemplate(str(FOLDER / "tags.jinja"), None)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    encoder = TextEncoder(tokenizer, template, "assistant", "tiny")
    row = normalize({"instruction": "Name a river.", "output": "The Rhine.", "system": "Be brief."})
    row["history"] = [["Hello.", "Good day."]]
    encoded = encoder.encode(row)
    pairs = zip(encoded.ids, encoded.loss_mask, strict=True)
    assert encoder.decode(encoded.ids) == (
        "<|begin|><|system|>\nBe brief.\n<|user|>\nHello.\n<|assistant|>\nGood day.<|end|>\n"
        "<|user|>\nName a river.\n<|assistant|>\nThe Rhine.<|end|>\n"
    )
    supervised = encoder.decode([token for token, is_supervised in pairs if is_supervised])
    assert supervised == f"Good day.{END}The Rhine.{END}"
