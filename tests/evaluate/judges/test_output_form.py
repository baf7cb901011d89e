"""The reader of verdicts: what is read is what was meant, and what is not clear is not read."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.verdict_texts import REFUSALS, texts

from seqit.evaluate.judges import following, pairwise, quality
from seqit.evaluate.judges.steps import form_of, read_tasks
from seqit.llm.model_call import ParseError

TEXTS = texts(25)


def read(text, form=quality.FORM):
    """Return the choices, or the reason why there are none."""
    try:
        return list(form.read(text).values.values())
    except ParseError as error:
        return error.reason


def test_no_text_is_wrongly_read():
    assert len(TEXTS) >= 2000
    wrong = [t for t in TEXTS if isinstance(got := read(t.text), list) and got != [t.meant]]
    assert wrong == []


def test_what_has_the_form_is_read():
    assert [t for t in TEXTS if t.plain and not isinstance(read(t.text), list)] == []


def test_what_is_not_read_is_refused_or_unparseable():
    reasons = Counter(got for t in TEXTS if isinstance(got := read(t.text), str))
    assert set(reasons) == {"refused", "unparseable", "truncated"}
    assert {t.shape for t in TEXTS if read(t.text) == "truncated"} == {"reasoning cut"}


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_one(text):
    assert read(text) == "refused"


def test_a_verdict_is_no_refusal_because_it_is_sorry():
    assert read("I'm sorry to say that nothing fits.\nScore: 1") == ["1"]


@pytest.mark.parametrize(
    "text",
    [
        "All is there, 2 parts of it.\n\n**Score:** 4/5",
        '{"reason": "A 4.", "score": 4}',
        '<think>4</think>\n```json\n{"reason": "4", "score": "4"}\n```',
    ],
)
def test_the_reason_is_kept_and_the_place_is_that_of_the_score(text):
    verdict = quality.FORM.read(text)
    assert verdict.reason
    assert verdict.place == text.rindex("4")


@pytest.mark.parametrize(
    ("text", "got"),
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
def test_following(text, got):
    assert read(text, following.FORM) == got


@pytest.mark.parametrize(
    ("text", "got"),
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
def test_pairwise(text, got):
    assert read(text, pairwise.FORM) == got


@pytest.mark.parametrize(
    ("text", "got"),
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
def test_steps(text, got):
    assert read(text, form_of(3)) == got


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
        assert read_tasks(text) == tasks
    except ParseError:
        assert tasks is None


@given(st.text())
def test_any_text_is_read_or_not(text):
    for form in (quality.FORM, following.FORM, form_of(2)):
        got = read(text, form)
        assert isinstance(got, str) or len(got) == len(form.fields)


@given(st.text(), st.integers(1, 5))
def test_what_the_form_says_is_read_behind_any_reason(reason, score):
    assert read(json.dumps({"reason": reason, "score": score})) == [str(score)]


@pytest.mark.parametrize("form", [quality.FORM, following.FORM, pairwise.FORM, form_of(3)])
def test_the_schema_is_what_the_reader_reads(form):
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(form.schema)
    for field in form.fields:
        assert form.schema["properties"][field.name]["enum"]
    value = {"reason": "So."} | {
        field.name: form.schema["properties"][field.name]["enum"][0] for field in form.fields
    }
    assert Draft202012Validator(form.schema).is_valid(value)
    assert read(json.dumps(value), form) == [field.choices[0] for field in form.fields]


def test_the_schema_goes_to_a_strict_server_as_it_is():
    for form in (quality.FORM, following.FORM, pairwise.FORM, form_of(6)):
        assert form.schema["additionalProperties"] is False
        assert form.schema["required"] == list(form.schema["properties"])
