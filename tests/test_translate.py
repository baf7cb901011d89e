"""Translate-then-predict: from parallel rows to chains in every variant."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from seqit.augment import translate
from seqit.augment.parallel_text import language_name
from seqit.checks.verify import record_problems
from seqit.errors import UsageError
from seqit.records.account import Account, Row
from seqit.records.adopt import adopt
from seqit.records.formats import complete
from seqit.records.formats.xquad import FORMAT
from seqit.records.parallel import pair
from seqit.records.record import Record
from seqit.records.validation import schema

XQUAD = Path(__file__).parents[1] / ".." / "shared" / "data" / "xquad"


def convert(*raw: dict[str, Any], seed: int = 7, **options: Any) -> tuple[list[Record], Account]:
    account = Account("augment")
    rows = (Row(adopt(value), "p.jsonl", line) for line, value in enumerate(raw, 1))
    written = [row.value for row in translate.augment(rows, account, seed=seed, **options)]
    account.read, account.written = len(raw), len(written)
    account.close()
    for record in written:
        assert schema("record").is_valid(record)
        assert record_problems(record) == []
    return written, account


def clock(number: int = 1) -> dict[str, Any]:
    return {
        "instruction": "Who repaired the clock?",
        "input": f"In {number} days Ana Torres repaired the CLOCK.",
        "output": "Ana Torres",
        "metadata": {
            "language": "en",
            "parallel": {
                "de": {
                    "instruction": "Wer hat die Uhr repariert?",
                    "input": f"In {number} Tagen reparierte Ana Torres die UHR.",
                    "output": "Ana Torres (de)",
                },
                "es": {
                    "instruction": "¿Quién reparó el reloj?",
                    "input": f"En {number} días Ana Torres reparó el RELOJ.",
                    "output": "Ana Torres (es)",
                },
            },
        },
    }


GERMAN = "Question: Wer hat die Uhr repariert?\n\nText: In 1 Tagen reparierte Ana Torres die UHR."
ENGLISH = "Question: Who repaired the clock?\n\nText: In 1 days Ana Torres repaired the CLOCK."


def test_single_turn() -> None:
    (record,), _ = convert(clock(), languages=["de"])
    assert "the question and the text" in record["instruction"]
    assert "English" in record["instruction"]
    assert record["input"] == GERMAN
    assert record["output"] == f"Translation:\n{ENGLISH}\n\nAnswer: Ana Torres"
    assert record["steps"] == [
        {
            "instruction": "Translate the question and the text from German into English.",
            "output": ENGLISH,
        },
        {
            "instruction": "Answer the question in English.",
            "output": "Ana Torres",
            "check": {"kind": "text", "value": "Ana Torres"},
        },
    ]
    assert record["metadata"]["parallel"] == clock()["metadata"]["parallel"]
    assert record["metadata"]["translation"] == {
        "source": "de",
        "target": "en",
        "answer": "en",
        "variant": "single-turn",
    }
    assert record["lineage"]["operation"] == "translate"
    assert record["lineage"]["parent"] == adopt(clock())["id"]


def test_multi_turn() -> None:
    (record,), _ = convert(clock(), languages=["de"], variant="multi-turn")
    ((asked, answered),) = record["history"]
    assert asked.endswith(f"\n\n{GERMAN}")
    assert answered == ENGLISH
    assert (record["input"], record["output"]) == ("", "Ana Torres")
    assert "answer the question in English" in record["instruction"]


def test_multi_turn_comes_after_earlier_turns() -> None:
    raw = {**clock(), "history": [["Hello", "Good morning"]]}
    (record,), _ = convert(raw, languages=["de"], variant="multi-turn")
    assert record["history"][0] == ["Hello", "Good morning"]
    assert len(record["history"]) == 2


def test_crosslingual_has_no_translation_step() -> None:
    (record,), _ = convert(clock(), languages=["de"], variant="crosslingual")
    assert (record["input"], record["output"]) == (GERMAN, "Ana Torres")
    assert len(record["steps"]) == 1
    assert "history" not in record


def test_the_answer_can_stay_in_the_foreign_language() -> None:
    (record,), _ = convert(clock(), languages=["de"], answer="source")
    assert record["output"] == f"Translation:\n{ENGLISH}\n\nAnswer: Ana Torres (de)"
    assert "answer the question in German" in record["instruction"]
    assert "check" not in record["steps"][1]  # the answer is no span of the text


def test_the_input_alone_can_be_foreign() -> None:
    (record,), _ = convert(clock(), languages=["es"], content="input")
    assert record["instruction"].endswith("\n\nQuestion: Who repaired the clock?")
    assert record["input"] == "En 1 días Ana Torres reparó el RELOJ."
    expected = "Translation: In 1 days Ana Torres repaired the CLOCK.\n\nAnswer: Ana Torres"
    assert record["output"] == expected


def test_another_target_language() -> None:
    (record,), _ = convert(clock(), languages=["en"], into="de")
    assert record["input"] == ENGLISH
    assert record["output"] == f"Translation:\n{GERMAN}\n\nAnswer: Ana Torres (de)"
    assert "German" in record["instruction"]


def test_a_task_without_input_is_translated_itself() -> None:
    raw = {
        "instruction": "Sing.",
        "output": "La la",
        "parallel": {"tlh": {"instruction": "yIbom!", "output": "la la"}},
    }
    (record,), _ = convert(raw)
    assert record["input"] == "yIbom!"
    assert record["output"] == "Translation: Sing.\n\nAnswer: La la"
    assert "the task" in record["instruction"]
    assert record["steps"][0]["instruction"] == "Translate the task from tlh into English."


def test_one_language_is_drawn_for_a_row_or_all_are_used() -> None:
    rows = [clock(number) for number in range(60)]
    drawn, account = convert(*rows)
    used = [record["metadata"]["translation"]["source"] for record in drawn]
    assert 15 < used.count("de") < 45
    assert used.count("de") + used.count("es") == 60
    every, account = convert(*rows, per_row="all")
    assert account.added == 60
    assert [r["metadata"]["translation"]["source"] for r in every] == ["de", "es"] * 60


def test_the_share_is_converted_and_the_others_pass_unchanged() -> None:
    rows = [clock(number) for number in range(300)]
    records, _ = convert(*rows, share=0.37)
    changed = [record for record in records if record["lineage"]["operation"] == "translate"]
    assert 80 < len(changed) < 142
    seeds = {adopt(raw)["id"]: adopt(raw) for raw in rows}
    assert all(r == seeds[r["id"]] for r in records if r["lineage"]["operation"] == "seed")
    assert [r["lineage"]["root"] for r in records] == list(seeds)
    wider, _ = convert(*rows, share=0.6)
    assert {r["id"] for r in changed} < {r["id"] for r in wider}


def test_the_phrasings_vary_with_the_row_and_stay_with_the_seed() -> None:
    rows = [clock(number) for number in range(40)]
    for variant, count in (("single-turn", 5), ("multi-turn", 3), ("crosslingual", 3)):
        records, _ = convert(*rows, languages=["de"], variant=variant)
        assert len({record["instruction"] for record in records}) == count
        assert records == convert(*rows, languages=["de"], variant=variant)[0]
        assert records != convert(*rows, languages=["de"], variant=variant, seed=8)[0]


@pytest.mark.parametrize(
    ("raw", "options", "reason"),
    [
        ({"instruction": "Sing.", "output": "La"}, {}, "no-parallel-text"),
        (clock(), {"into": "fr"}, "no-parallel-text"),
        (clock(), {"languages": ["fr"]}, "nothing-to-translate"),
        ({**clock(), "output": ""}, {}, "nothing-to-translate"),
        ({**clock(), "input": ""}, {}, "nothing-to-translate"),
        (
            {"instruction": "2+2=?", "output": "4", "parallel": {"de": {"instruction": "2+2=?"}}},
            {},
            "nothing-to-translate",
        ),
        (
            {"instruction": "Sing.", "output": "La", "parallel": {"de": {"instruction": "Sing!"}}},
            {"content": "input"},
            "nothing-to-translate",
        ),
    ],
)
def test_rows_that_do_not_fit_are_rejected_or_passed(
    raw: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    records, account = convert(raw, **options)
    assert records == []
    assert account.reasons == {("translate", reason): 1}
    assert convert(raw, **options, others="pass")[0] == [adopt(raw)]


def test_a_row_that_another_method_changed_is_not_translated() -> None:
    (once,), _ = convert(clock())
    assert convert(dict(once))[1].reasons == {("translate", "already-changed"): 1}


@pytest.mark.parametrize(
    "metadata",
    [
        {"language": 3},
        {"parallel": ["de"]},
        {"parallel": {"de": "Wer?"}},
        {"parallel": {"de": {"input": "Text"}}},
        {"parallel": {"de": {"instruction": "Wer?", "output": None}}},
    ],
)
def test_malformed_parallel_text_fails_with_its_field(metadata: dict[str, Any]) -> None:
    rejects: list[dict[str, Any]] = []
    account = Account("augment", rejects.append)
    row = Row(adopt({"instruction": "Who?", "output": "I", "metadata": metadata}), "p.jsonl", 4)
    assert list(translate.augment(iter([row]), account, seed=1, others="pass")) == []
    (reject,) = rejects
    assert reject["outcome"] == "failed"
    assert reject["evidence"]["field"].startswith(f"metadata.{next(iter(metadata))}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "two-turn"}, "variant is 'two-turn', but must be one of"),
        ({"share": 1.5}, "share is 1.5, but must lie between 0 and 1"),
        ({"languages": ["de", "en"]}, "'en' is the language to translate into"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convert(**options)


def test_language_names() -> None:
    assert language_name("zh") == "Chinese"
    assert language_name("xx-yy") == "xx-yy"


def xquad(language: str, account: Account) -> Iterator[Row]:
    name = f"xquad.{language}.json"
    document = json.loads((XQUAD / name).read_text("utf-8"))
    for line, item in enumerate(FORMAT.items(document), 1):
        account.read += 1
        for fields in FORMAT.to_records(item):
            yield Row(complete(fields, "xquad", name), name, line)


@pytest.mark.skipif(not XQUAD.is_dir(), reason="the XQuAD files are not in ../shared/data/xquad")
@pytest.mark.parametrize("answer", ["target", "source"])
@pytest.mark.parametrize("variant", ["single-turn", "multi-turn", "crosslingual"])
def test_xquad_gives_1190_chains_with_the_published_answers(
    variant: translate.Variant, answer: Literal["target", "source"]
) -> None:
    account = Account("augment")
    rows = pair({code: xquad(code, account) for code in ("en", "de")}, account)
    found = translate.augment(rows, account, seed=7, variant=variant, answer=answer)
    records = [row.value for row in found]
    account.written = len(records)
    account.close()
    assert len(records) == 1190
    assert (account.rejected, account.failed) == (0, 0)
    published = {
        row.value["metadata"]["id"]: row.value
        for row in xquad("en" if answer == "target" else "de", Account("test"))
    }
    for record in records:
        wanted = published.pop(record["metadata"]["id"])["output"]
        assert record["output"].rpartition("\n\nAnswer: ")[2] == wanted
        assert record["steps"][-1]["output"] == wanted
        german = record["metadata"]["parallel"]["de"]
        asked = "".join([record["input"], *(turn[0] for turn in record.get("history", []))])
        assert german["input"] in asked
        assert german["instruction"] in asked
        assert schema("record").is_valid(record)
        assert record_problems(record) == []
    assert published == {}
