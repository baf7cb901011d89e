"""Placebo chains: the text is repeated, then the task is done."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from seqit.augment import placebo
from seqit.checks.verify import record_problems
from seqit.records.normalize import normalize
from seqit.records.record import RECORD_KEYS, Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema


def repeat(*raw: dict[str, Any], **options: Any) -> tuple[list[Record], RunStats]:
    stats = RunStats("augment")
    rows = (Row(normalize(value), "a.jsonl", line) for line, value in enumerate(raw, 1))
    written = [row.value for row in placebo.augment(rows, stats, seed=7, **options)]
    stats.read, stats.written = len(raw), len(written)
    stats.close()
    return written, stats


def test_a_question_is_repeated_before_its_answer() -> None:
    seed = {"instruction": "Who wrote Faust?", "output": "Goethe", "metadata": {"topic": "books"}}
    (record,), _ = repeat(seed)
    parent = normalize(seed)
    assert record == {
        "id": record["id"],
        "instruction": "Copy out this question word for word and give the answer after it: "
        "Who wrote Faust?",
        "input": "",
        "output": "Who wrote Faust?\n\nGoethe",
        "steps": [
            {
                "instruction": "Repeat the question word for word.",
                "output": "Who wrote Faust?",
                "check": {"kind": "text", "value": "Who wrote Faust?"},
                "name": "repeat",
            },
            {"instruction": "Who wrote Faust?", "output": "Goethe"},
        ],
        "lineage": {
            "root": parent["id"],
            "parent": parent["id"],
            "iteration": 1,
            "operation": "repeat",
            "method": "repeat",
            "teacher": "builtin",
            "seed": 7,
        },
        "metadata": {"topic": "books"},
    }
    assert record["id"] != parent["id"]


def test_the_input_is_repeated_where_there_is_one() -> None:
    text = "Die Katze\n  schläft NICHT."
    (record,), _ = repeat({"instruction": "Translate the text.", "input": text, "output": "…"})
    assert record["input"] == text
    assert record["output"] == f"{text}\n\n…"
    assert record["instruction"].endswith(": Translate the text.")
    assert record["steps"][0]["instruction"] == "Repeat the input word for word."


def test_a_chain_keeps_its_steps_behind_the_repetition() -> None:
    steps = [
        {"instruction": "Name a colour.", "output": "red"},
        {
            "instruction": "Write it in capitals.",
            "output": "RED",
            "check": {"kind": "uppercase", "of": "previous"},
        },
    ]
    raw = {"instruction": "Name a colour, in capitals.", "output": "red\n\nRED", "steps": steps}
    (record,), _ = repeat(raw)
    assert record["steps"][1:] == steps
    assert record_problems(record) == []


def test_rows_without_an_answer_are_rejected_or_passed() -> None:
    seed = {"instruction": "Who wrote Faust?"}
    assert repeat(seed)[1].reasons == {("repeat", "no-output"): 1}
    assert repeat(seed, on_inapplicable="pass")[0] == [normalize(seed)]


def test_what_repeats_already_is_not_repeated_again() -> None:
    (once,), _ = repeat({"instruction": "Who wrote Faust?", "output": "Goethe"})
    again, stats = repeat(dict(once))
    assert again == []
    assert stats.reasons == {("repeat", "already-repeated"): 1}


text = st.text(min_size=1).filter(str.strip)


@given(instruction=text, given=st.text(), output=text)
def test_any_text_gives_a_valid_chain_whose_check_holds(
    instruction: str, given: str, output: str
) -> None:
    records, _ = repeat({"instruction": instruction, "input": given, "output": output})
    for record in records:
        assert schema("record").is_valid(record)
        assert record_problems(record) == []
        assert [key for key in RECORD_KEYS if key in record] == list(record)
        assert instruction in record["instruction"]
