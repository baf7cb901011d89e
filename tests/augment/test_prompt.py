"""Prompts: well-formed files with valid examples in random order; values are never templates."""

import re
from importlib import resources
from random import Random

import pytest

from seqit.augment.prompt import Prompt, fill, load_prompt, prompts_version
from seqit.augment.seq_instruct.llm import classify, extract, refine, rewrite
from seqit.augment.seq_instruct.llm.chain import RewrittenChain, chain_problems
from seqit.augment.seq_instruct.llm.source import RewriteSource

FORMS = {
    "extract": extract.FORM,
    "classify": classify.FORM,
    "decompose": rewrite.FORM,
    "prefix": rewrite.FORM,
    "suffix": rewrite.FORM,
    "refine": refine.FORM,
}
REWRITES = ("decompose", "prefix", "suffix")
EXAMPLES = [(name, place) for name in FORMS for place in range(len(load_prompt(name).examples))]
SLOT = re.compile(r"\{(\w+)\}")


def parse_example(name, place, structured=False):
    """Return an example's values and its answer, parsed like a model's answer."""
    prompt, form = load_prompt(name), FORMS[name]
    example = prompt.examples[place]
    values = dict.fromkeys(SLOT.findall(prompt.given), "")
    one = Prompt(name, "", "", prompt.given, (example,))
    chat = one.messages(values, form, structured, Random(0))
    return example, form.parse(chat[2]["content"], structured)


def record_of(example):
    """Return the record that an example shows, with the input and steps of its context."""
    context = dict(re.findall(r"<(\w+)>\n(.*?)\n</\1>", example.get("beside", ""), re.DOTALL))
    steps = [line.partition(". ")[2] for line in context.get("steps", "").splitlines()]
    lineage = {"root": "a", "iteration": 0, "operation": "seed"}
    record = {"id": "a", "instruction": example["original"], "input": context.get("input", "")}
    record |= {"output": "", "lineage": lineage}
    return record | ({"steps": [{"instruction": step} for step in steps]} if steps else {})


def problems_of(chain, example, operation):
    record = record_of(example)
    return list(chain_problems(chain, record, RewriteSource(record["instruction"]), operation))


@pytest.mark.parametrize("name", sorted(FORMS))
def test_files_are_well_formed(name):
    prompt = load_prompt(name)
    text = resources.files("seqit.augment").joinpath("prompts", f"{name}.txt").read_text("utf-8")
    assert re.fullmatch(r"[0-9a-f]{16}", prompt.version)
    assert 4 <= len(prompt.examples) <= 6
    assert text.count("%% example\n") == len(prompt.examples)
    slots = set(SLOT.findall(prompt.given))
    assert "original" in slots and not SLOT.findall(prompt.task)
    for field in FORMS[name].fields:
        assert f'"{field.name}"' in prompt.task  # the task explains the field
    for example in prompt.examples:
        assert set(example) <= slots | {field.name for field in FORMS[name].fields}
        # Nothing of an example was lost to a tag within it.
        assert all(value in text for value in example.values())


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize(("name", "place"), EXAMPLES)
def test_every_example_is_an_answer_in_its_own_form(name, place, structured):
    example, answer = parse_example(name, place, structured)
    assert answer["thought"] == example["thought"]


@pytest.mark.parametrize(("name", "place"), [each for each in EXAMPLES if each[0] in REWRITES])
def test_every_rewrite_passes_the_checks(name, place):
    example, answer = parse_example(name, place)
    assert problems_of(RewrittenChain.from_fields(answer), example, name) == []


@pytest.mark.parametrize("place", range(len(load_prompt("refine").examples)))
def test_every_refinement_mends_what_is_broken(place):
    example, answer = parse_example("refine", place)
    tasks = [line.partition(". ")[2] for line in example["tasks"].splitlines()]
    shown = problems_of(RewrittenChain(example["chain"], tasks), example, "prefix")
    if answer["verdict"] == "complete":
        assert shown == [] and answer["instruction"] == "" and answer["steps"] == []
    else:
        assert problems_of(RewrittenChain.from_fields(answer), example, "prefix") == []


@pytest.mark.parametrize("place", range(len(load_prompt("extract").examples)))
def test_every_extraction_loses_nothing(place):
    example, answer = parse_example("extract", place)
    source = extract.split_content(example["original"], answer["input"])
    assert source.content == answer["input"]
    assert source.with_content(source.instruction).split() == example["original"].split()


def test_the_examples_show_every_answer():
    options = [parse_example("classify", place)[1]["option"] for place in range(6)]
    assert set(options) == set("ABCD")
    verdicts = [parse_example("refine", place)[1]["verdict"] for place in range(5)]
    assert set(verdicts) == {"complete", "incomplete"}
    inputs = [
        extract.split_content(e["original"], e["input"]) for e in load_prompt("extract").examples
    ]
    assert {(bool(each.content), each.content_first) for each in inputs} == {
        (False, False),
        (True, False),
        (True, True),
    }
    for name in REWRITES:
        shown = load_prompt(name).examples
        assert any("<input>" in each.get("beside", "") for each in shown)
        assert any("<steps>" in each.get("beside", "") for each in shown)
        assert any(not each["original"].isascii() for each in shown)


def test_the_order_of_examples_is_random():
    prompt, values = load_prompt("classify"), {"original": "x", "beside": ""}

    def order(seed):
        chat = prompt.messages(values, classify.FORM, False, Random(seed))
        return [turn["content"] for turn in chat]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert sorted(order(1)) == sorted(order(2))
    assert order(1)[0] == order(2)[0] and order(1)[-1] == order(2)[-1]


def test_values_are_text():
    assert fill("<{a}> {b}", {"a": "{b} {c}", "b": "\\1 {a}"}) == "<{b} {c}> \\1 {a}"


def test_a_line_with_only_an_empty_slot_is_removed():
    template = "<o>\n{a}\n</o>\n{b}\nend {b}."
    assert fill(template, {"a": "x", "b": ""}) == "<o>\nx\n</o>\nend ."
    assert fill(template, {"a": "x", "b": "y\n"}) == "<o>\nx\n</o>\ny\n\nend y\n."


def test_a_prompt_file_that_changes_has_another_version():
    assert prompts_version("classify") != prompts_version("classify", "refine")
    assert prompts_version("prefix", "suffix") == prompts_version("prefix", "suffix")
    assert len({load_prompt(name).version for name in FORMS}) == len(FORMS)
