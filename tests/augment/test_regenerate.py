"""Regenerated answers: the instruction and its lineage are kept, the answer is the model's."""

from typing import Any

import pytest
from support.scripted import scripted_model

from seqit.augment import placebo, regenerate
from seqit.checks import record_problems
from seqit.errors import UsageError
from seqit.llm.chat import prompt_messages
from seqit.llm.request import Completion, FailedRequest
from seqit.records.normalize import normalize
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema


def regenerated(
    reply: Any, *raw: dict[str, Any], seed: int = 7
) -> tuple[list[Record], RunStats, Any]:
    stats = RunStats("augment")
    rows = (Row(normalize(value), "a.jsonl", line) for line, value in enumerate(raw, 1))
    model = scripted_model(reply if callable(reply) else lambda request: reply)
    written = [r.value for r in regenerate.augment(rows, stats, seed=seed, model=model)]
    stats.read, stats.written = len(raw), len(written)
    stats.close()
    for record in written:
        assert schema("record").is_valid(record)
        assert record_problems(record) == []
    return written, stats, model


def chain(**more: Any) -> dict[str, Any]:
    steps = [
        {
            "instruction": "Name the largest number.",
            "output": "7",
            "check": {"kind": "number", "value": "7"},
        },
        {
            "instruction": "Double it.",
            "output": "14",
            "check": {"kind": "times", "of": "previous", "value": "2"},
        },
    ]
    lineage = {
        "root": "seed1",
        "parent": "seed1",
        "iteration": 2,
        "operation": "suffix",
        "method": "seq-instruct",
        "teacher": "builtin",
        "prompt": "v1",
        "seed": 3,
        "kept": 3,
    }
    row = {"instruction": "Name the largest of 2 and 7, then double it.", "output": "7\n\n14"}
    return {**row, "steps": steps, "lineage": lineage, **more}


def test_a_seed_gets_the_models_answer_and_keeps_all_else() -> None:
    raw = {
        "instruction": "Sum up.",
        "input": "A long text.",
        "output": "old",
        "system": "Be brief.",
        "history": [["Hello", "Good morning"]],
        "metadata": {"topic": "books"},
    }
    (record,), _, model = regenerated("  A new answer.\n", raw)
    parent = normalize(raw)
    assert record == {
        **parent,
        "id": record["id"],
        "output": "A new answer.",
        "lineage": {
            "root": parent["id"],
            "parent": parent["id"],
            "iteration": 0,
            "operation": "regenerate",
            "method": "regenerate",
            "teacher": "openai:scripted",
            "seed": 7,
        },
    }
    assert list(record) == list(parent)
    assert record["id"] != parent["id"]
    (request,) = model.runner.requests
    assert request.messages == prompt_messages(parent)
    assert [turn["role"] for turn in request.messages] == ["system", "user", "assistant", "user"]
    assert request.stage == "respond"


def test_a_chain_keeps_what_made_its_instruction() -> None:
    (record,), _, _ = regenerated("Seven, and so fourteen.", chain())
    assert record["lineage"] == {
        "root": "seed1",
        "parent": normalize(chain())["id"],
        "iteration": 2,
        "operation": "suffix",
        "method": "regenerate",
        "teacher": "openai:scripted",
        "seed": 7,
        "kept": 3,
    }


def test_steps_lose_the_output_that_belonged_to_the_old_answer() -> None:
    # "7" is in this answer, as a part of other words, and is not this step's output.
    (record,), _, _ = regenerated("It is 7, so the double is 14.", chain())
    assert record["steps"] == [
        {"instruction": "Name the largest number."},
        {"instruction": "Double it."},
    ]


def test_steps_keep_the_output_that_the_new_answer_has_too() -> None:
    (record,), _, _ = regenerated("7\n\n14", chain())
    assert record["steps"] == chain()["steps"]


def test_a_check_that_refers_to_a_step_without_output_goes_too() -> None:
    (record,), _, _ = regenerated("The largest is seven.\n\n14", chain())
    assert record["steps"] == [
        {"instruction": "Name the largest number."},
        {"instruction": "Double it."},
    ]


def test_the_order_of_the_steps_counts() -> None:
    (record,), _, _ = regenerated("14\n7", chain())
    assert record["steps"][0] == chain()["steps"][0]
    assert record["steps"][1] == {"instruction": "Double it."}


def test_a_repetition_stays_checkable_and_is_not_repeated_again() -> None:
    seed = {"instruction": "Who wrote Faust?", "output": "Goethe"}
    (row,) = placebo.augment(iter([Row(normalize(seed))]), RunStats("a"), seed=1)
    (record,), _, _ = regenerated("Who wrote Faust?\n\nIt was Goethe.", dict(row.value))
    first, last = record["steps"]
    assert first["check"] == {"kind": "text", "value": "Who wrote Faust?"}
    assert last == {"instruction": "Who wrote Faust?"}
    stats = RunStats("a")
    assert list(placebo.augment(iter([Row(record)]), stats, seed=1)) == []
    assert stats.reasons == {("repeat", "already-repeated"): 1}


def test_a_chain_without_an_answer_is_answered() -> None:
    steps = [{"instruction": "Sing."}, {"instruction": "Dance."}]
    (record,), _, _ = regenerated("La la. Tap tap.", chain(output="", steps=steps))
    assert record["output"] == "La la. Tap tap."
    assert record["steps"] == steps


def test_rows_stay_in_order_and_a_failure_fails_alone() -> None:
    replies = {
        "One?": "1",
        "Two?": FailedRequest("too-long", "the prompt has too many tokens"),
        "Three?": Completion("I think", "length"),
        "Four?": " ",
        "Five?": "5",
    }
    rows = [{"instruction": name, "output": "old"} for name in replies]
    records, stats, model = regenerated(lambda r: replies[r.messages[-1]["content"]], *rows)
    assert [record["output"] for record in records] == ["1", "5"]
    assert stats.reasons == {
        ("respond", "too-long"): 1,
        ("respond", "truncated"): 1,
        ("respond", "empty"): 1,
    }
    assert stats.failed == 3
    cut = [r for r in model.runner.requests if r.messages[-1]["content"] == "Three?"]
    assert len({request.seed for request in cut}) == 3


def test_without_a_model_it_says_how_to_name_one() -> None:
    with pytest.raises(UsageError, match="--teacher openai:MODEL"):
        list(regenerate.augment(iter([]), RunStats("augment"), seed=1))
