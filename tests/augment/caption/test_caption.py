"""Caption-then-answer: the image is described, then the question is answered."""

from typing import Any

import pytest
from support.scripted import scripted_model

from seqit.augment.caption import method as caption
from seqit.augment.prompt import load_prompt
from seqit.checks.verify import record_problems
from seqit.errors import UsageError
from seqit.records.normalize import normalize
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema


def describe(*raw: dict[str, Any], seed: int = 7, **options: Any) -> tuple[list[Record], RunStats]:
    stats = RunStats("augment")
    rows = (Row(normalize(value), "v.jsonl", line) for line, value in enumerate(raw, 1))
    written = [row.value for row in caption.augment(rows, stats, seed=seed, **options)]
    stats.read, stats.written = len(raw), len(written)
    stats.close()
    for record in written:
        assert schema("record").is_valid(record)
        assert record_problems(record) == []
    return written, stats


def question(text: str = "How many cats?", output: str = "2", **metadata: Any) -> dict[str, Any]:
    metadata = metadata or {"caption": "Two cats on a sofa."}
    row = {"instruction": text, "output": output, "images": ["a.png"]}
    return {**row, "metadata": metadata}


def test_the_image_is_described_before_the_answer() -> None:
    (record,), _ = describe(question())
    assert record["instruction"].endswith("How many cats?")
    assert record["output"] == "Description: Two cats on a sofa.\n\nAnswer: 2"
    assert record["images"] == ["a.png"]
    assert record["metadata"] == {"caption": "Two cats on a sofa."}
    assert record["steps"] == [
        {
            "instruction": "Describe the image in a sentence.",
            "output": "Two cats on a sofa.",
            "name": "describe",
        },
        {
            "instruction": "How many cats?",
            "output": "2",
            "check": {"kind": "text", "value": "2"},
        },
    ]
    assert record["lineage"]["operation"] == "caption"
    assert record["lineage"]["iteration"] == 1


def test_every_question_of_an_image_is_kept() -> None:
    questions = [question(f"Question {n}?", str(n)) for n in range(20)]
    records, stats = describe(*questions)
    assert [record["steps"][1]["output"] for record in records] == [str(n) for n in range(20)]
    assert stats.rejected == 0


def test_one_of_several_captions_is_chosen_at_random_and_none_is_lost() -> None:
    captions = ["one", "two", "three"]
    questions = [question(f"Question {n}?", captions=captions) for n in range(40)]
    records, _ = describe(*questions)
    assert {record["steps"][0]["output"] for record in records} == set(captions)
    assert all(record["metadata"]["captions"] == captions for record in records)
    first, _ = describe(*questions, captions="first")
    assert {record["steps"][0]["output"] for record in first} == {"one"}


def test_base_leaves_the_question_and_merged_changes_a_random_half() -> None:
    questions = [question(f"Question {n}?") for n in range(400)]
    base, _ = describe(*questions, variant="base")
    assert base == [normalize(raw) for raw in questions]
    merged, _ = describe(*questions, variant="merged")
    described = [record for record in merged if "steps" in record]
    assert 160 < len(described) < 240
    assert [r["lineage"]["root"] for r in merged] == [r["id"] for r in base]


def test_the_same_seed_gives_the_same_rows_and_another_seed_does_not() -> None:
    questions = [question(f"Question {n}?") for n in range(20)]
    assert describe(*questions)[0] == describe(*questions)[0]
    assert describe(*questions)[0] != describe(*questions, seed=8)[0]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"instruction": "Why?", "output": "So."}, "no-image"),
        ({**question(), "metadata": {"caption": " ", "image_id": 3}}, "no-caption"),
        ({**question(), "metadata": {"captions": []}}, "no-caption"),
        ({**question(), "metadata": {"captions": [None, 3, ""]}}, "no-caption"),
        (question(output=""), "no-output"),
    ],
)
@pytest.mark.parametrize("variant", ["describe", "base", "merged"])
def test_rows_that_do_not_fit_are_rejected_or_passed(
    raw: dict[str, Any], reason: str, variant: str
) -> None:
    records, stats = describe(raw, variant=variant)
    assert records == []
    assert stats.reasons == {("caption", reason): 1}
    assert describe(raw, variant=variant, on_inapplicable="pass")[0] == [normalize(raw)]


def test_a_described_image_is_not_described_again() -> None:
    (once,), _ = describe(question())
    assert describe(dict(once))[1].reasons == {("caption", "already-described"): 1}


def test_long_answers_get_no_exact_check() -> None:
    (record,), _ = describe(question(output="They are two, and both are asleep."))
    assert "check" not in record["steps"][1]


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(UsageError, match="variant is 'both', but must be one of: describe, base"):
        describe(variant="both")


# --- a vision model writes missing captions ---------------------------------------------------


def bare(text: str = "How many cats?", output: str = "2", image: str = "a.png") -> dict[str, Any]:
    return {"instruction": text, "output": output, "images": [image], "metadata": {"n": 1}}


def test_the_model_sees_the_image_and_not_the_question() -> None:
    model = scripted_model(lambda request: " Two cats on a sofa.\n")
    (record,), _ = describe(bare(), model=model)
    assert record["output"] == "Description: Two cats on a sofa.\n\nAnswer: 2"
    assert record["metadata"] == {"n": 1, "caption": "Two cats on a sofa."}
    assert record["lineage"]["teacher"] == "openai:scripted"
    assert record["lineage"]["prompt"] == load_prompt("caption").version
    assert record["lineage"]["parent"] == normalize(bare())["id"]
    (request,) = model.runner.requests
    (turn,) = request.messages
    image, text = turn["content"]
    assert image == {"type": "image", "image": "a.png"}
    assert "cats" not in text["text"]
    # A row that has this caption gives the same chain.
    (same,), _ = describe({**bare(), "metadata": {"n": 1, "caption": "Two cats on a sofa."}})
    assert same["steps"] == record["steps"]


def test_all_questions_about_an_image_ask_the_same() -> None:
    model = scripted_model(lambda request: f"{request.messages[0]['content'][0]['image']} shown.")
    rows = [bare(f"Question {n}?", str(n), image) for n in range(6) for image in ("a.png", "b.png")]
    records, _ = describe(*rows, model=model)
    asked = [(str(r.messages), r.seed, r.sampling, r.schema) for r in model.runner.requests]
    assert len(asked) == 12
    assert len(set(map(str, asked))) == 2
    captions = [record["steps"][0]["output"] for record in records]
    assert captions == ["a.png shown.", "b.png shown."] * 6


def test_what_has_a_caption_or_stays_as_it_is_is_not_asked_about() -> None:
    model = scripted_model(lambda request: "Two dogs.")
    records, _ = describe(question(), {**question(), "metadata": {"caption": " "}}, model=model)
    assert [record["lineage"]["teacher"] for record in records] == ["builtin", "openai:scripted"]
    assert len(model.runner.requests) == 1
    inapplicable = [{"instruction": "Why?", "output": "So."}, bare(output="")]
    assert describe(*inapplicable, model=model)[1].rejected == 2
    assert describe(bare(), model=model, variant="base")[0] == [normalize(bare())]
    assert len(model.runner.requests) == 1


def test_merged_asks_only_for_the_rows_that_it_changes() -> None:
    model = scripted_model(lambda request: "Two cats.")
    rows = [bare(f"Question {n}?") for n in range(100)]
    records, _ = describe(*rows, model=model, variant="merged")
    described = sum("steps" in record for record in records)
    assert 30 < described < 70
    assert len(model.runner.requests) == described


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I'm sorry, but I can't see the image.", "not-described"),
        ("As an AI model I have no eyes.", "not-described"),
        ("No image was provided with this message.", "not-described"),
        ("Caption: two cats on a sofa.", "not-a-caption"),
        ("**Description**: two cats on a sofa.", "not-a-caption"),
        ("Here is a sentence:\n\nTwo cats on a sofa.", "not-a-caption"),
        ("Two cats. One dog. Three birds.", "not-a-caption"),
        ("Two cats " + "and another one " * 40, "not-a-caption"),
    ],
)
def test_what_is_no_caption_fails_with_its_reason(text: str, reason: str) -> None:
    records, stats = describe(bare(), model=scripted_model(lambda request: text))
    assert records == []
    assert stats.reasons == {("caption", reason): 1}


def test_a_sign_in_the_image_may_say_sorry() -> None:
    text = 'A shop door with a sign that reads "I\'m sorry, we are closed".'
    (record,), _ = describe(bare(), model=scripted_model(lambda request: text))
    assert record["steps"][0]["output"] == text
