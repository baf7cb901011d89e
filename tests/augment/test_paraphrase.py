"""Paraphrase chains: a model paraphrases the text, and what it must keep is checked."""

from typing import Any

import orjson
import pytest
from support.scripted import scripted_model

from seqit.augment import paraphrase, separate
from seqit.augment.prompt import load_prompt
from seqit.checks import record_problems
from seqit.errors import UsageError
from seqit.llm.request import FailedRequest
from seqit.records.normalize import normalize
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema

FAUST = {"instruction": "Who wrote the play Faust?", "output": "Goethe"}
ANSWER = "Which author is the play Faust by?"


def paraphrased(
    reply: Any, *raw: dict[str, Any], seed: int = 7, structured: bool = False, **options: Any
) -> tuple[list[Record], RunStats, Any]:
    """Run the method; `reply` gives the paraphrase, which is put into the answer form."""

    def answer(request: Any) -> Any:
        text = reply(request) if callable(reply) else reply
        if not isinstance(text, str):
            return text
        if structured:
            return orjson.dumps({"paraphrase": text}).decode()
        return f"<paraphrase>{text}</paraphrase>"

    model = scripted_model(answer, structured)
    stats = RunStats("augment")
    rows = (Row(normalize(value), "a.jsonl", line) for line, value in enumerate(raw, 1))
    found = paraphrase.augment(rows, stats, seed=seed, model=model, **options)
    written = [row.value for row in found]
    stats.read, stats.written = len(raw), len(written)
    stats.close()
    for record in written:
        assert schema("record").is_valid(record)
        assert record_problems(record) == []
    return written, stats, model


@pytest.mark.parametrize("structured", [False, True])
def test_a_question_is_said_in_other_words_before_its_answer(structured: bool) -> None:
    (record,), _, model = paraphrased(ANSWER, FAUST, structured=structured)
    parent = normalize(FAUST)
    assert record["instruction"].endswith(": Who wrote the play Faust?")
    assert record["output"] == f"{ANSWER}\n\nGoethe"
    assert record["steps"] == [
        {
            "instruction": "Put the question into other words.",
            "output": ANSWER,
            "name": "paraphrase",
        },
        {"instruction": "Who wrote the play Faust?", "output": "Goethe"},
    ]
    assert record["lineage"] == {
        "root": parent["id"],
        "parent": parent["id"],
        "iteration": 1,
        "operation": "paraphrase",
        "method": "paraphrase",
        "teacher": "openai:scripted",
        "prompt": load_prompt("paraphrase").version,
        "seed": 7,
    }
    (request,) = model.runner.requests
    assert request.messages[-1]["content"].endswith("\n\nWho wrote the play Faust?")
    assert (request.schema is not None) == structured


def test_the_chain_may_repeat_too() -> None:
    question = FAUST["instruction"]
    (after,), _, _ = paraphrased(ANSWER, FAUST, chain="paraphrase-repeat")
    assert after["output"] == f"{ANSWER}\n\n{question}\n\nGoethe"
    (earlier,), _, _ = paraphrased(ANSWER, FAUST, chain="repeat-paraphrase")
    assert earlier["output"] == f"{question}\n\n{ANSWER}\n\nGoethe"
    for record, place in ((after, 1), (earlier, 0)):
        assert record["steps"][place]["check"] == {"kind": "text", "value": question}
        assert len(record["steps"]) == 3


@pytest.mark.parametrize("chain", paraphrase.CHAINS)
def test_the_phrasings_vary_with_the_row_and_stay_with_the_seed(chain: str) -> None:
    rows = [{**FAUST, "input": f"The play has {n} parts and an end."} for n in range(60)]

    def other(request: Any) -> str:
        number = request.messages[-1]["content"].split("has ")[1].split()[0]
        return f"There are {number} parts in the play, and it ends."

    found, _, _ = paraphrased(other, *rows, chain=chain)
    assert len({record["instruction"] for record in found}) == 8
    assert found == paraphrased(other, *rows, chain=chain)[0]
    assert found != paraphrased(other, *rows, chain=chain, seed=8)[0]


def test_the_input_is_taken_where_it_has_words() -> None:
    text = "The mill stands by the river. It has not turned for 40 years."
    new = "By the river there is a mill, which last turned 40 years ago."
    raw = {"instruction": "Translate the text.", "input": text, "output": "…"}
    (record,), _, model = paraphrased(new, raw)
    assert record["input"] == text
    assert record["output"] == f"{new}\n\n…"
    assert record["steps"][0]["instruction"] == "Put the input into other words."
    assert model.runner.requests[0].messages[-1]["content"].endswith(text)


def test_the_instruction_is_taken_where_the_input_has_no_words() -> None:
    raw = {"instruction": "Sort these numbers by size.", "input": "12, 7, 5", "output": "5, 7, 12"}
    (record,), _, _ = paraphrased("Put these numbers in order of their size.", raw)
    assert record["steps"][0]["instruction"] == "Put the instruction into other words."
    assert record["input"] == "12, 7, 5"


LONG = "Explain in 3 sentences what the function `frobnicate(x)` does, see https://example.org/f"
OPTIONS = "Which of these is a fish?\nOptions:\n(A) trout\n(B) robin"


@pytest.mark.parametrize(
    ("original", "answer", "reason"),
    [
        ("Name a river.", "name a  RIVER", "not-paraphrased"),
        (LONG, LONG.replace("3", "some").replace("Explain", "Say"), "lost-content"),
        (
            LONG,
            LONG.replace("`frobnicate(x)`", "in question").replace("does", "is"),
            "lost-content",
        ),
        (LONG, LONG.replace(", see https://example.org/f", ". Be clear."), "lost-content"),
        ('Write "Keep out" on a sign.', "Make a sign that forbids entering.", "lost-content"),
        (OPTIONS, "Which animal lives in water?\nOptions:\n(A) trout\n(B) bird", "lost-content"),
        ("What is the sum of 2 and 3?", "Is the sum of 2 and 3 really 5?", "added-content"),
        ("Name a river in the south of Spain.", "Name one.", "wrong-length"),
        ("Name a river.", "Name a river, and then go on. " * 5, "wrong-length"),
        (FAUST["instruction"], "The play Faust is by an author.", "not-a-question"),
        ("Tell me what the weather is like.", "Скажи мне, какая сегодня погода.", "wrong-language"),
        (
            "Tell me what the weather is like in the town of Brig with all of its hills.",
            "Sag mir, wie das Wetter in der Stadt Brig mit ihren Hügeln ist und nicht war.",
            "wrong-language",
        ),
    ],
)
def test_what_is_no_paraphrase_is_asked_for_again_once_and_then_fails(
    original: str, answer: str, reason: str
) -> None:
    records, stats, model = paraphrased(answer, {"instruction": original, "output": "So."})
    assert records == []
    assert stats.reasons == {("paraphrase", reason): 1}
    first, second = model.runner.requests
    assert second.messages[: len(first.messages)] == first.messages
    assert "cannot be used" in second.messages[-1]["content"]


def test_a_second_answer_that_is_right_is_taken() -> None:
    replies = iter(["Who wrote the play Faust?", ANSWER])
    (record,), stats, _ = paraphrased(lambda request: next(replies), FAUST)
    assert record["steps"][0]["output"] == ANSWER
    assert stats.failed == 0


def test_an_answer_outside_of_the_form_is_not_guessed_at() -> None:
    model = scripted_model(lambda request: ANSWER)
    stats = RunStats("augment")
    assert list(paraphrase.augment(iter([Row(normalize(FAUST))]), stats, seed=1, model=model)) == []
    assert stats.reasons == {("paraphrase", "unparseable"): 1}


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"instruction": "Who wrote Faust?"}, "no-output"),
        ({"instruction": "2 + 2 = ?", "output": "4"}, "nothing-to-paraphrase"),
        (
            {"instruction": "```\nprint('this is code')\n```", "output": "4"},
            "nothing-to-paraphrase",
        ),
    ],
)
def test_rows_that_do_not_fit_are_left_without_asking(raw: dict[str, Any], reason: str) -> None:
    records, stats, model = paraphrased(ANSWER, raw)
    assert records == []
    assert stats.reasons == {("paraphrase", reason): 1}
    assert model.runner.requests == []
    assert paraphrased(ANSWER, raw, on_inapplicable="pass")[0] == [normalize(raw)]


def test_a_paraphrased_row_is_not_paraphrased_again() -> None:
    (once,), _, _ = paraphrased(ANSWER, FAUST)
    again = paraphrased(ANSWER, dict(once))
    assert again[1].reasons == {("paraphrase", "already-paraphrased"): 1}


def test_rows_stay_in_order_and_a_failure_fails_alone() -> None:
    rows = [{"instruction": f"Who wrote the play {n}?", "output": str(n)} for n in range(4)]

    def answer(request: Any) -> Any:
        number = request.messages[-1]["content"][-2]
        if number == "2":
            return FailedRequest("server-error", "the server failed")
        return f"Which author is the play {number} by?"

    records, stats, _ = paraphrased(answer, *rows)
    assert [record["steps"][1]["output"] for record in records] == ["0", "1", "3"]
    assert stats.reasons == {("paraphrase", "server-error"): 1}


@pytest.mark.parametrize("chain", paraphrase.CHAINS)
def test_the_chain_falls_into_pairs(chain: str) -> None:
    (record,), _, _ = paraphrased(ANSWER, FAUST, chain=chain)
    found = separate.augment(iter([Row(record)]), RunStats("a"), seed=1)
    pairs = [(r.value["instruction"], r.value["input"], r.value["output"]) for r in found]
    question = FAUST["instruction"]
    assert sorted(pairs[:-1]) == sorted(
        pair
        for pair in (
            ("Put the question into other words.", question, ANSWER),
            ("Repeat the question word for word.", question, question),
        )
        if pair[0].split()[0] in ("Put", "Repeat" if "repeat" in chain else "")
    )
    assert pairs[-1] == (question, "", "Goethe")


def test_the_prompts_own_examples_pass_its_checks() -> None:
    for example in load_prompt("paraphrase").examples:
        raw = {"instruction": example["text"], "output": "So."}
        assert len(paraphrased(example["paraphrase"], raw)[0]) == 1


def test_invalid_options_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--teacher openai:MODEL"):
        list(paraphrase.augment(iter([]), RunStats("augment"), seed=1))
    with pytest.raises(UsageError, match="chain is 'echo', but must be one of: paraphrase"):
        paraphrased(ANSWER, chain="echo")
