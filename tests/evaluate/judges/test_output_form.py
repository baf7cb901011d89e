"""The parser of judge outputs: it returns what was meant, and rejects what is ambiguous."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judge_output_texts import REFUSALS, output_texts

from seqit.evaluate.judges import following, pairwise, quality
from seqit.evaluate.judges.steps import form_for, parse_tasks
from seqit.llm.model_call import ParseError

TEXTS = output_texts(25)


def parse(text, form=quality.FORM):
    """Return the choices, or the reason why there are none."""
    try:
        return list(form.parse(text).values.values())
    except ParseError as error:
        return error.reason


def test_no_text_is_parsed_wrongly():
    assert len(TEXTS) >= 2000
    wrong = [t for t in TEXTS if isinstance(got := parse(t.text), list) and got != [t.expected]]
    assert wrong == []


def test_texts_in_the_right_form_are_parsed():
    assert [t for t in TEXTS if t.must_parse and not isinstance(parse(t.text), list)] == []


def test_rejected_texts_are_refused_or_unparseable():
    reasons = Counter(got for t in TEXTS if isinstance(got := parse(t.text), str))
    assert set(reasons) == {"refused", "unparseable", "truncated"}
    assert {t.name for t in TEXTS if parse(t.text) == "truncated"} == {"reasoning cut"}


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_recognized(text):
    assert parse(text) == "refused"


def test_a_judgement_that_says_sorry_is_no_refusal():
    assert parse("I'm sorry to say that nothing fits.\nScore: 1") == ["1"]


@pytest.mark.parametrize(
    "text",
    [
        "All is there, 2 parts of it.\n\n**Score:** 4/5",
        '{"reason": "A 4.", "score": 4}',
        '<think>4</think>\n```json\n{"reason": "4", "score": "4"}\n```',
    ],
)
def test_the_reason_and_the_offset_of_the_score(text):
    output = quality.FORM.parse(text)
    assert output.reason
    assert output.offset == text.rindex("4")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("All is there.\nFollowed: yes", ["yes"]),
        ("**Followed:** No.", ["no"]),
        ('{"reason": "It is.", "followed": "yes"}', ["yes"]),
        ('{"reason": "It is.", "followed": true}', ["yes"]),
        ('{"reason": "It is.", "followed": 1}', "unparseable"),
        ("I know of no task that is missing.", "unparseable"),
        ("Yes, every task is done.", "unparseable"),
        ("yes", "unparseable"),
        ("Followed: yes and no", "unparseable"),
        ("Followed: yes\nFollowed: no", "unparseable"),
        ("Followed: mostly", "unparseable"),
        ("Followed: not", "unparseable"),
        ("Followed: yes, but in the wrong order", "unparseable"),
        ("I can't judge this.", "refused"),
    ],
)
def test_following(text, expected):
    assert parse(text, following.FORM) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The first one is complete.\nBetter: first", ["first"]),
        ("Better: Second.", ["second"]),
        ("Better: tie", ["tie"]),
        ("Better: the first answer", "unparseable"),
        ("First, I look at the second. Neither is better.", "unparseable"),
        ('{"reason": "", "better": "second"}', ["second"]),
        ('{"reason": "", "better": "A"}', "unparseable"),
        ("Better: first\nBetter: second", "unparseable"),
    ],
)
def test_pairwise(text, expected):
    assert parse(text, pairwise.FORM) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Step 1: done\nStep 2: omitted\nStep 3: misplaced", ["done", "omitted", "misplaced"]),
        ("So.\n- Step 1: done\n- Step 2: done\n- **Step 3:** done", ["done"] * 3),
        ("Step 1: done\n\nStep 2: done\n\nStep 3: omitted\n", ["done", "done", "omitted"]),
        ("Step 1: done\nStep 2: omitted", "unparseable"),
        ("Step 1: done\nStep 3: done\nStep 2: done", "unparseable"),
        ("Step 1: done\nStep 2: done\nStep 3: done\nStep 4: done", "unparseable"),
        ("Step 1: omitted\nStep 1: done\nStep 2: done\nStep 3: done", "unparseable"),
        ("Step 1: done\nStep 2: done, mostly\nStep 3: done", "unparseable"),
        ('{"step_1": "done", "step_2": "done", "step_3": "omitted"}', ["done", "done", "omitted"]),
        ('{"step_1": "done", "step_2": "done"}', "unparseable"),
        ('{"step_1": "done", "step_2": "done", "step_3": "kept"}', "unparseable"),
    ],
)
def test_steps(text, expected):
    assert parse(text, form_for(3)) == expected


@pytest.mark.parametrize(
    ("text", "tasks"),
    [
        ("1. Name a river.\n2. Say where it ends.", ["Name a river.", "Say where it ends."]),
        ('{"tasks": ["Name a river."]}', ["Name a river."]),
        ('```json\n{"tasks": ["Name a river."]}\n```', ["Name a river."]),
        ("<think>2 tasks</think>\n1) Name a river.", ["Name a river."]),
        ("Here they are:\n1. Name a river.", None),
        ("1. Name a river.\n3. Say where it ends.", None),
        ('{"tasks": []}', None),
        ('{"tasks": [""]}', None),
        ('{"tasks": "Name a river."}', None),
        ("", None),
        ("\n".join(f"{n}. Name river {n}." for n in range(1, 30)), None),
    ],
)
def test_listed_tasks(text, tasks):
    try:
        assert parse_tasks(text) == tasks
    except ParseError:
        assert tasks is None


@given(st.text())
def test_any_text_is_parsed_or_rejected(text):
    for form in (quality.FORM, following.FORM, form_for(2)):
        got = parse(text, form)
        assert isinstance(got, str) or len(got) == len(form.fields)


@given(st.text(), st.integers(1, 5))
def test_the_right_form_is_parsed_after_any_reason(reason, score):
    assert parse(json.dumps({"reason": reason, "score": score})) == [str(score)]


@pytest.mark.parametrize("form", [quality.FORM, following.FORM, pairwise.FORM, form_for(3)])
def test_the_schema_matches_the_parser(form):
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(form.schema)
    for field in form.fields:
        assert form.schema["properties"][field.name]["enum"]
    value = {"reason": "So."} | {
        field.name: form.schema["properties"][field.name]["enum"][0] for field in form.fields
    }
    assert Draft202012Validator(form.schema).is_valid(value)
    assert parse(json.dumps(value), form) == [field.choices[0] for field in form.fields]


def test_the_schema_suits_strict_servers():
    for form in (quality.FORM, following.FORM, pairwise.FORM, form_for(6)):
        assert form.schema["additionalProperties"] is False
        assert form.schema["required"] == list(form.schema["properties"])
