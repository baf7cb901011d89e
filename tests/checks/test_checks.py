"""The program checks: tolerant of the wording around a value, strict about the value."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import DATA

from seqit.checks import CHECK_KINDS, record_problems, text_units, verify

OPTIONS = {"(A)": "water", "(B)": "salt", "(C)": "sea water"}
PASSES: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"kind": "number", "value": "12"}, "There are 12 words.", []),
    ({"kind": "number", "value": "12"}, "Word count: 12", []),
    ({"kind": "number", "value": "12"}, "**12**", []),
    ({"kind": "number", "value": "12"}, "There are twelve of them.", []),
    ({"kind": "number", "value": "7"}, "3 + 4 = 7.", []),
    ({"kind": "number", "value": "2"}, 'There are 2 words in "42 apples".', []),
    ({"kind": "number", "value": "-1200.5"}, "It is −1,200.50.", []),
    ({"kind": "numbers", "values": ["48", "2"]}, "The numbers are 48 and 2.", []),
    ({"kind": "numbers", "values": ["48", "2"]}, "1. 48\n2. 2", []),
    ({"kind": "numbers", "values": ["48", "2"]}, "There are 2 numbers: 48, 2", []),
    ({"kind": "numbers", "values": ["1200", "0.5"]}, "$1,200 and .5", []),
    ({"kind": "list", "items": list(OPTIONS.values())}, "water, salt and sea water.", []),
    ({"kind": "list", "items": list(OPTIONS.values())}, "(A) water\n(B) salt\n(C) sea water", []),
    (
        {"kind": "list", "items": list(OPTIONS.values())},
        "Options:\n- Water\n- salt\n- sea water",
        [],
    ),
    ({"kind": "list", "items": ["-8", "-9", "5/4"]}, "(A) -8\n(B) -9\n(C) 5/4", []),
    ({"kind": "list", "items": ["8", "9"]}, "1. 8\n2. 9", []),
    (
        {"kind": "list", "items": ["He sat.", "He ran."]},
        'Sentence A: "He sat."\nSentence B: He ran.',
        [],
    ),
    ({"kind": "text", "value": "elephant"}, 'The longest word is "elephant".', []),
    ({"kind": "text", "value": "Straße"}, "Longest word: **straße**", []),
    ({"kind": "choice", "value": "yes/no", "among": ["yes/no", "open"]}, "A yes/no question", []),
    ({"kind": "at_least", "unit": "words", "value": 3}, "one two three", []),
    ({"kind": "exactly", "unit": "sentences", "value": 2}, "Mr. Smith left. He ran.", []),
    ({"kind": "all_but_one", "options": list(OPTIONS.values())}, "Not salt, not sea water.", []),
    (
        {"kind": "count", "unit": "words", "of": "previous"},
        "It has 3 words.",
        ["a well-known fact"],
    ),
    ({"kind": "count", "unit": "letters", "of": "previous"}, "6", ["Straße"]),
    ({"kind": "sum", "of": "previous"}, "2 + 3 = 5", ["2 apples and 3 pears"]),
    ({"kind": "largest", "of": "previous"}, "3", ["2 apples and 3 pears"]),
    ({"kind": "times", "value": "2", "of": "previous"}, "Doubled: 1,600", ["800"]),
    ({"kind": "plus", "value": "-1", "of": "previous"}, "-1", ["0"]),
    ({"kind": "rounded", "to": "10", "of": "previous"}, "50", ["It is 47."]),
    ({"kind": "digit_sum", "of": "previous"}, "11", ["47"]),
    ({"kind": "parity", "of": "previous"}, "47 is odd.", ["47"]),
    ({"kind": "number_words", "of": "previous"}, "one thousand two hundred six", ["1206"]),
    ({"kind": "uppercase", "of": "previous"}, "In capitals: YES", ["yes"]),
    ({"kind": "uppercase", "of": "previous"}, "YES", ["Answer: yes"]),
    ({"kind": "lowercase", "of": "previous"}, "yes", ["YES"]),
    ({"kind": "capitalized", "of": "previous"}, "Farm Yard", ["farm yard"]),
    ({"kind": "first_sentence", "of": "previous"}, "He sat.", ["He sat. He ran."]),
    ({"kind": "last_sentence", "of": "previous"}, '"He ran."', ["He sat. He ran."]),
    ({"kind": "first_word", "of": "previous"}, "It is: He", ["He sat."]),
    ({"kind": "last_word", "of": "previous"}, "sat", ["He sat."]),
    ({"kind": "longest_word", "of": "previous"}, '"mountain"', ["the mountain air"]),
    ({"kind": "reversed_words", "of": "previous"}, "yard farm", ["farm yard"]),
    ({"kind": "reversed_letters", "of": "previous"}, "on", ["no"]),
    ({"kind": "initials", "of": "previous"}, "F. Y.", ["farm yard"]),
    ({"kind": "spelled", "of": "previous"}, "Y-E-S", ["yes"]),
    ({"kind": "quoted", "of": "previous"}, "“yes”", ["yes"]),
    ({"kind": "wrapped", "before": "[", "after": "]", "of": "previous"}, "[yes]", ["yes"]),
    ({"kind": "slug", "separator": "-", "of": "previous"}, "`farm-yard`", ["Farm yard"]),
    ({"kind": "joined", "of": "previous"}, "a b, c", ["- a b\n- c"]),
    ({"kind": "bullets", "of": "previous"}, "Here:\n* He sat.\n* He ran.", ["He sat. He ran."]),
    ({"kind": "numbered", "of": "previous"}, "1) He sat.\n2) He ran.", ["He sat. He ran."]),
    ({"kind": "sorted_items", "of": "previous"}, "a, b, c", ["1. c\n2. a\n3. b"]),
    ({"kind": "sorted_words", "of": "previous"}, "- farm\n- yard", ["yard farm"]),
    ({"kind": "boolean", "of": "previous"}, "true", ["Yes."]),
    ({"kind": "option_text", "options": OPTIONS, "of": "previous"}, "sea water", ["It is C."]),
    ({"kind": "remaining", "options": ["(A)", "(B)"], "of": "previous"}, "(B)", ["Not (A)."]),
    ({"kind": "json", "key": "answer", "of": "previous"}, '```json\n{"answer": 12}\n```', ["12"]),
    (
        {"kind": "covers", "of": "previous"},
        "Salt is white. **Water** is wet.",
        ["1. water\n2. salt"],
    ),
]
FAILS: list[tuple[dict[str, Any], str, list[str]]] = [
    ({"kind": "number", "value": "12"}, "12 or 13", []),
    ({"kind": "number", "value": "12"}, "It is not 12.", []),
    ({"kind": "number", "value": "12"}, "-12", []),
    ({"kind": "number", "value": "12"}, "", []),
    ({"kind": "numbers", "values": ["48", "2"]}, "2, 48", []),
    ({"kind": "numbers", "values": ["48", "2"]}, "48", []),
    ({"kind": "numbers", "values": ["48", "2"]}, "48, 2, 5", []),
    ({"kind": "list", "items": list(OPTIONS.values())}, "water, sea water, salt", []),
    ({"kind": "list", "items": list(OPTIONS.values())}, "water, salt", []),
    ({"kind": "list", "items": list(OPTIONS.values())}, "water, gold, salt, sea water", []),
    ({"kind": "list", "items": ["8", "9"]}, "-8, 9", []),
    ({"kind": "list", "items": ["8", "9"]}, "8, 9.5", []),
    ({"kind": "text", "value": "elephant"}, "elephant or giraffe", []),
    ({"kind": "text", "value": "elephant"}, "The longest word is not elephant", []),
    ({"kind": "text", "value": "elephant"}, "", []),
    ({"kind": "choice", "value": "even", "among": ["even", "odd"]}, "even or odd", []),
    ({"kind": "choice", "value": "even", "among": ["even", "odd"]}, "not even", []),
    ({"kind": "at_least", "unit": "words", "value": 3}, "one two", []),
    ({"kind": "exactly", "unit": "sentences", "value": 2}, "He ran.", []),
    ({"kind": "all_but_one", "options": list(OPTIONS.values())}, "Not salt.", []),
    ({"kind": "count", "unit": "words", "of": "previous"}, "4", ["a well-known fact"]),
    ({"kind": "count", "unit": "words", "of": "previous"}, "3", []),
    ({"kind": "times", "value": "2", "of": "previous"}, "16", ["7 or 8"]),
    ({"kind": "parity", "of": "previous"}, "odd", ["1.5"]),
    ({"kind": "uppercase", "of": "previous"}, "Yes", ["yes"]),
    ({"kind": "quoted", "of": "previous"}, "yes", ["yes"]),
    ({"kind": "wrapped", "before": "[", "after": "]", "of": "previous"}, "(yes)", ["yes"]),
    ({"kind": "bullets", "of": "previous"}, "- He sat.", ["He sat. He ran."]),
    ({"kind": "numbered", "of": "previous"}, "1. He ran.\n2. He sat.", ["He sat. He ran."]),
    ({"kind": "spelled", "of": "previous"}, "yes", ["yes"]),
    ({"kind": "boolean", "of": "previous"}, "true", ["no"]),
    ({"kind": "option_text", "options": OPTIONS, "of": "previous"}, "water", ["(C)"]),
    ({"kind": "remaining", "options": ["(A)", "(B)"], "of": "previous"}, "(A)", ["Not (A)."]),
    ({"kind": "json", "key": "answer", "of": "previous"}, '{"answer": 13}', ["12"]),
    ({"kind": "json", "key": "answer", "of": "previous"}, '{"answer": 12, "x": 1}', ["12"]),
    ({"kind": "json", "key": "answer", "of": "previous"}, "12", ["12"]),
    ({"kind": "covers", "of": "previous"}, "Salt is white.", ["1. water\n2. salt"]),
]


@pytest.mark.parametrize(("check", "answer", "earlier"), PASSES)
def test_a_right_answer_passes_in_any_wording(check, answer, earlier):
    assert verify(check, answer, earlier) is None


@pytest.mark.parametrize(("check", "answer", "earlier"), FAILS)
def test_a_wrong_answer_fails_with_a_sentence(check, answer, earlier):
    assert verify(check, answer, earlier)


def test_every_kind_is_tried_above_and_described():
    assert {check["kind"] for check, _, _ in PASSES} == set(CHECK_KINDS)
    assert all(kind.description for kind in CHECK_KINDS.values())


@pytest.mark.parametrize(
    "check",
    [
        {},
        {"kind": None},
        {"kind": ["number"]},
        {"kind": "telepathy"},
        {"kind": "number"},
        {"kind": "number", "value": 12},
        {"kind": "number", "value": "twelve"},
        {"kind": "number", "value": "12", "extra": 1},
        {"kind": "list", "items": []},
        {"kind": "list", "items": ["a", ""]},
        {"kind": "count", "unit": "spoons", "of": "previous"},
        {"kind": "count", "unit": ["words"], "of": "previous"},
        {"kind": "count", "unit": "words", "of": 0},
        {"kind": "exactly", "unit": "words", "value": True},
    ],
)
def test_a_malformed_check_never_passes(check):
    assert verify(check, "12", ["12"])


@pytest.mark.parametrize("name", sorted(CHECK_KINDS))
@given(answer=st.text(max_size=60), previous=st.text(max_size=60), data=st.data())
def test_no_answer_and_no_argument_crashes(name, answer, previous, data):
    leaf = st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["12", "words"])
    value = (
        leaf | st.lists(leaf, max_size=3) | st.dictionaries(st.text(max_size=3), leaf, max_size=3)
    )
    arguments = {key: data.draw(value) for key in CHECK_KINDS[name].arguments if key != "of"}
    check = {"kind": name, **arguments} | (
        {"of": "previous"} if "of" in CHECK_KINDS[name].arguments else {}
    )
    for earlier in ([], [previous]):
        problem = verify(check, answer, earlier)
        assert problem is None or problem.strip()


@pytest.mark.parametrize("check", [case[0] for case in PASSES])
@given(answer=st.text(max_size=200), previous=st.text(max_size=200))
def test_any_text_is_checked_without_a_crash(check, answer, previous):
    problem = verify(check, answer, [previous])
    assert problem is None or problem.strip()


def test_an_endless_number_is_no_crash():
    for kind in ("times", "plus", "rounded", "digit_sum", "parity", "number_words"):
        extra = {"times": {"value": "2"}, "plus": {"value": "1"}, "rounded": {"to": "10"}}.get(
            kind, {}
        )
        assert verify({"kind": kind, **extra, "of": "previous"}, "1", ["9" * 5000])


def test_outputs_must_occur_in_the_answer_in_order_without_overlap():
    steps = [{"instruction": "a", "output": "yes"}, {"instruction": "b", "output": "yes no"}]
    record = {"output": "yes\n\nyes no", "steps": steps}
    assert record_problems(record) == []
    for output in ("yes no", "yes no yes", "no"):
        assert record_problems({"output": output, "steps": steps})


def test_a_check_does_not_use_the_output_before_a_step_without_one():
    check = {"kind": "uppercase", "of": "previous"}
    steps = [
        {"instruction": "a", "output": "yes"},
        {"instruction": "b"},
        {"instruction": "c", "output": "YES", "check": check},
    ]
    assert [place for place, _ in record_problems({"output": "yes YES", "steps": steps})] == [2]
    assert record_problems({"output": "x", "steps": [{"instruction": "a", "check": check}]})


def test_units_in_scripts_with_signs_and_separators():
    assert text_units.words("Don't pay $5.50 — well-known (A)!") == [
        "Don't",
        "pay",
        "5.50",
        "well-known",
        "A",
    ]
    assert text_units.count_letters("Straße, été, Привет") == 15
    sentences = text_units.sentences("Mr. Smith paid $4.50. He left! “Really?” 他走了。他笑了。")
    assert len(sentences) == 5
    assert [str(n) for n in text_units.numbers("-8, 4–8, $-3.5, 1,234.5, 下16颗, x2, .5")] == [
        *("-8", "4", "8", "-3.5", "1234.5", "16", "0.5"),
    ]
    assert not text_units.is_space_separated("你好")
    assert text_units.is_space_separated("hello — été")


@pytest.mark.parametrize(
    "text", ["80.000", "80 000", "1/2", "10:30", "2-5", "5kg", "A4", "x²", "1,5"]
)
def test_ambiguous_numbers_are_not_clear(text):
    assert text_units.clear_numbers(f"There are {text} here.") == []


def test_real_answers_of_models_are_checked_without_a_crash():
    data = DATA / "alpacaeval"
    files = sorted(data.glob("*/model_outputs.json"))
    if not files:
        pytest.skip(f"no model outputs under {data}")
    outputs = [row["output"] for row in json.loads(files[0].read_text())][:200]
    for check, _, _ in PASSES:
        for output in outputs[:: max(1, len(outputs) // 20)]:
            problem = verify(check, output, [output])
            assert problem is None or problem.strip()
