"""Separated chains: each step becomes a pair that can be answered alone."""

from itertools import islice
from typing import Any

import pytest
from support.paths import DATA
from support.scripted import scripted_model

from seqit.augment import placebo, separate
from seqit.augment.builtin.teacher import BuiltinTeacher
from seqit.augment.caption import method as caption
from seqit.augment.seq_instruct import method as seq_instruct
from seqit.augment.translate import method as translate
from seqit.checks import record_problems
from seqit.llm.request import FailedRequest
from seqit.records.formats import complete_record
from seqit.records.formats.flancot import FORMAT
from seqit.records.normalize import normalize
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats, StrictError
from seqit.records.validation import schema

FLANCOT = DATA / "flancot"


def split(*raw: dict[str, Any]) -> tuple[list[Record], RunStats]:
    stats = RunStats("augment")
    rows = (Row(normalize(value), "c.jsonl", line) for line, value in enumerate(raw, 1))
    written = [row.value for row in separate.augment(rows, stats, seed=7)]
    stats.read, stats.written = len(raw), len(written)
    stats.close()
    for record in written:
        assert schema("record").is_valid(record)
        assert record_problems(record) == []
    return written, stats


def pairs(records: list[Record]) -> list[tuple[str, str, str]]:
    return [(record["instruction"], record["input"], record["output"]) for record in records]


def chain(**more: Any) -> dict[str, Any]:
    row = {
        "instruction": "List the numbers in the question, then answer: What is 2 + 5? "
        "After that, write the answer in words.",
        "output": "2, 5\n\n7\n\nseven",
        "steps": [
            {
                "instruction": "List the numbers in the question.",
                "output": "2, 5",
                "check": {"kind": "numbers", "values": ["2", "5"]},
            },
            {"instruction": "What is 2 + 5?", "output": "7"},
            {
                "instruction": "Write the answer in words.",
                "output": "seven",
                "check": {"kind": "number_words", "of": "previous"},
            },
        ],
        "lineage": {
            "root": "seed1",
            "parent": "seed1",
            "iteration": 2,
            "operation": "suffix",
            "method": "seq-instruct",
            "teacher": "builtin",
        },
    }
    return row | more


def test_each_step_gets_what_it_depends_on() -> None:
    records, stats = split(chain())
    assert pairs(records) == [
        ("List the numbers in the question.", "What is 2 + 5?", "2, 5"),
        ("What is 2 + 5?", "", "7"),
        ("Write the answer in words.", "7", "seven"),
    ]
    assert stats.added == 2


def test_the_lineage_leads_back_to_the_chain_and_the_seed() -> None:
    parent = normalize(chain())
    for record in split(chain())[0]:
        assert record["lineage"] == {
            "root": "seed1",
            "parent": parent["id"],
            "iteration": 3,
            "operation": "separate",
            "method": "separate",
            "teacher": "builtin",
            "seed": 7,
        }


def test_a_check_that_stands_alone_is_kept() -> None:
    first, second, third = split(chain())[0]
    assert first["steps"][0]["check"] == {"kind": "numbers", "values": ["2", "5"]}
    assert "steps" not in second
    assert "steps" not in third


def test_work_on_the_task_is_given_the_task_and_the_input() -> None:
    records, _ = split(chain(input="2 apples"))
    assert records[0]["input"] == "Question: What is 2 + 5?\n\nInput: 2 apples"
    assert records[1]["input"] == "2 apples"
    assert records[2]["input"] == "7"


def test_the_text_of_an_option_needs_the_options() -> None:
    question = "Which is a fish?\nOptions:\n(A) trout\n(B) robin"
    check = {
        "kind": "option_text",
        "options": {"(A)": "trout", "(B)": "robin"},
        "of": "previous",
    }
    steps = [
        {"instruction": question, "output": "(A)"},
        {"instruction": "Write out the option that you chose.", "output": "trout", "check": check},
    ]
    raw = {
        "instruction": f"{question}\n\nThen write out the option that you chose.",
        "output": "(A)\n\ntrout",
        "steps": steps,
    }
    second = pairs(split(raw)[0])[1]
    assert second[1] == f"Question:\n{question}\n\nAnswer: (A)"


def test_what_is_no_chain_stays_as_it_is() -> None:
    single = {"instruction": "Sing.", "output": "La", "steps": [{"instruction": "Sing."}]}
    records, stats = split({"instruction": "Who?", "output": "I"}, single)
    assert records == [normalize({"instruction": "Who?", "output": "I"}), normalize(single)]
    assert stats.added == 0


@pytest.mark.parametrize("missing", [{}, {"output": ""}])
def test_a_step_without_an_answer_fails_the_chain(missing: dict[str, str]) -> None:
    steps = [{"instruction": "Sing.", "output": "La"}, {"instruction": "Dance.", **missing}]
    raw = {"instruction": "Sing. Dance.", "output": "La", "steps": steps}
    records, stats = split(raw)
    assert records == []
    assert stats.reasons == {("separate", "step-without-output"): 1}
    with pytest.raises(StrictError, match=r"c\.jsonl:1: steps\[1\]\.output is missing or empty"):
        list(
            separate.augment(
                iter([Row(normalize(raw), "c.jsonl", 1)]), RunStats("a", strict=True), seed=1
            )
        )


def test_a_model_answers_the_steps_of_a_chain_that_a_model_wrote() -> None:
    steps = [{"instruction": "List three rivers."}, {"instruction": "Say which is the longest."}]
    raw = normalize(
        {
            "instruction": "List three rivers. Then say which is the longest.",
            "output": "All of it.",
            "steps": steps,
            "lineage": {"root": "s", "parent": "s", "iteration": 1, "operation": "decompose"},
        }
    )
    model = scripted_model(lambda request: f"Answer {len(model.runner.requests)}.")
    stats = RunStats("augment")
    written = [row.value for row in separate.augment(iter([Row(raw)]), stats, seed=7, model=model)]
    assert pairs(written) == [
        ("List three rivers.", "", "Answer 1."),
        (
            "Say which is the longest.",
            "Task: List three rivers.\n\nAnswer: Answer 1.",
            "Answer 2.",
        ),
    ]
    assert [record["lineage"]["teacher"] for record in written] == [model.name, model.name]
    assert all(record["lineage"]["parent"] == raw["id"] for record in written)
    assert stats.added == 1


def test_the_chain_fails_if_the_model_gives_no_answer() -> None:
    steps = [{"instruction": "List three rivers."}, {"instruction": "Say which is the longest."}]
    raw = normalize({"instruction": "Do both.", "output": "All of it.", "steps": steps})
    model = scripted_model(lambda request: FailedRequest("refused", "no"))
    stats = RunStats("augment")
    assert list(separate.augment(iter([Row(raw)]), stats, seed=7, model=model)) == []
    assert stats.failed == 1 and stats.reasons == {("respond", "refused"): 1}


def made(method: Any, raw: dict[str, Any], seed: int = 1) -> dict[str, Any]:
    (row,) = method.augment(iter([Row(normalize(raw))]), RunStats("augment"), seed=seed)
    return dict(row.value)


def test_a_repetition_and_its_answer() -> None:
    raw = {"instruction": "Who wrote Faust?", "output": "Goethe"}
    assert pairs(split(made(placebo, raw))[0]) == [
        ("Repeat the question word for word.", "Who wrote Faust?", "Who wrote Faust?"),
        ("Who wrote Faust?", "", "Goethe"),
    ]


def test_a_description_and_its_answer() -> None:
    raw = {
        "instruction": "How many cats?",
        "output": "2",
        "images": ["a.png"],
        "caption": "Two cats on a sofa.",
    }
    records, _ = split(made(caption, raw))
    assert pairs(records) == [
        ("Describe the image in a sentence.", "", "Two cats on a sofa."),
        ("How many cats?", "", "2"),
    ]
    assert [record["images"] for record in records] == [["a.png"], ["a.png"]]


@pytest.mark.parametrize("seed", range(8))
def test_a_translation_and_its_answer(seed: int) -> None:
    german = {"instruction": "Wer schrieb den Faust?", "input": "", "output": "Goethe"}
    raw = {"instruction": "Who wrote Faust?", "output": "Goethe", "parallel": {"de": german}}
    assert pairs(split(made(translate, raw, seed=seed))[0]) == [
        (
            "Translate the question from German into English.",
            "Wer schrieb den Faust?",
            "Who wrote Faust?",
        ),
        ("Answer the question in English.", "Who wrote Faust?", "Goethe"),
    ]


def test_two_questions_and_an_addition() -> None:
    steps = [
        {"instruction": "Who wrote Faust?", "output": "Goethe."},
        {"instruction": "And when did he die?", "output": "In 1832."},
        {"instruction": "Go into more detail.", "output": "He was 82 then."},
    ]
    raw = {
        "instruction": "Who wrote Faust? And when did he die? Then go into more detail.",
        "output": "Goethe. In 1832. He was 82 then.",
        "steps": steps,
    }
    assert pairs(split(raw)[0]) == [
        ("Who wrote Faust?", "", "Goethe."),
        ("And when did he die?", "Goethe.", "In 1832."),
        (
            "Go into more detail.",
            "Question:\nWho wrote Faust?\n\nAnd when did he die?\n\nAnswer:\nGoethe.\n\nIn 1832.",
            "He was 82 then.",
        ),
    ]


@pytest.mark.skipif(not FLANCOT.is_dir(), reason="FlanCoT is not in ../shared/data/flancot")
@pytest.mark.parametrize("name", ["aqua", "creak", "ecqa", "gsm8k", "qasc", "strategyqa"])
def test_every_chain_of_the_builtin_teacher_falls_into_pairs(name: str) -> None:
    stats = RunStats("augment")
    with (FLANCOT / f"{name}_train.tsv").open(encoding="utf-8") as lines:
        rows = [
            Row(complete_record(fields, "flancot", name), name, number)
            for number, line in enumerate(islice(lines, 200), 1)
            for fields in FORMAT.to_records(line.rstrip("\n"))
        ]
    questions = {row.value["id"]: row.value["instruction"] for row in rows}
    chains = seq_instruct.augment(iter(rows), stats, teacher=BuiltinTeacher(), iterations=2, seed=3)
    several = [row.value for row in chains if len(row.value.get("steps", ())) > 1]
    assert len(several) > 100
    for chain in several:
        found, _ = split(dict(chain))
        assert [record["output"] for record in found] == [s["output"] for s in chain["steps"]]
        # The question is a record's instruction, and part of the input of every record before it.
        question = questions[chain["lineage"]["root"]]
        place = next(n for n, record in enumerate(found) if record["instruction"] in question)
        assert all(question in record["input"] for record in found[:place])
