"""Translate-then-predict: from parallel rows to chains in every variant."""

import json
from collections.abc import Iterator
from typing import Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import DATA
from support.scripted import scripted_model

from seqit.augment.language import (
    detect_language,
    differing_language,
    language_name,
    wrong_language,
)
from seqit.augment.prompt import load_prompt
from seqit.augment.translate import method as translate
from seqit.augment.translate.parallel_text import texts_of
from seqit.augment.translate.translator import numerals, translation_problem
from seqit.checks.verify import record_problems
from seqit.errors import UsageError
from seqit.records.formats import complete_record
from seqit.records.formats.xquad import FORMAT
from seqit.records.normalize import normalize
from seqit.records.parallel_corpus import pair
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema

XQUAD = DATA / "xquad"


def convert(*raw: dict[str, Any], seed: int = 7, **options: Any) -> tuple[list[Record], RunStats]:
    stats = RunStats("augment")
    rows = (Row(normalize(value), "p.jsonl", line) for line, value in enumerate(raw, 1))
    written = [row.value for row in translate.augment(rows, stats, seed=seed, **options)]
    stats.read, stats.written = len(raw), len(written)
    stats.close()
    for record in written:
        assert schema("record").is_valid(record)
        assert record_problems(record) == []
    return written, stats


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
    (record,), _ = convert(clock(), source_languages=["de"])
    assert "the question and the text" in record["instruction"]
    assert "English" in record["instruction"]
    assert record["input"] == GERMAN
    assert record["output"] == f"Translation:\n{ENGLISH}\n\nAnswer: Ana Torres"
    assert record["steps"] == [
        {
            "instruction": "Translate the question and the text from German into English.",
            "output": ENGLISH,
            "name": "translate",
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
    assert record["lineage"]["parent"] == normalize(clock())["id"]


def test_multi_turn() -> None:
    (record,), _ = convert(clock(), source_languages=["de"], variant="multi-turn")
    ((asked, answered),) = record["history"]
    assert asked.endswith(f"\n\n{GERMAN}")
    assert answered == ENGLISH
    assert (record["input"], record["output"]) == ("", "Ana Torres")
    assert "answer the question in English" in record["instruction"]


def test_multi_turn_comes_after_earlier_turns() -> None:
    raw = {**clock(), "history": [["Hello", "Good morning"]]}
    (record,), _ = convert(raw, source_languages=["de"], variant="multi-turn")
    assert record["history"][0] == ["Hello", "Good morning"]
    assert len(record["history"]) == 2


def test_crosslingual_has_no_translation_step() -> None:
    (record,), _ = convert(clock(), source_languages=["de"], variant="crosslingual")
    assert (record["input"], record["output"]) == (GERMAN, "Ana Torres")
    assert len(record["steps"]) == 1
    assert "history" not in record


def test_the_answer_can_stay_in_the_foreign_language() -> None:
    (record,), _ = convert(clock(), source_languages=["de"], answer="source")
    assert record["output"] == f"Translation:\n{ENGLISH}\n\nAnswer: Ana Torres (de)"
    assert "answer the question in German" in record["instruction"]
    assert "check" not in record["steps"][1]  # the answer is no span of the text


def test_the_input_alone_can_be_foreign() -> None:
    (record,), _ = convert(clock(), source_languages=["es"], content="input")
    assert record["instruction"].endswith("\n\nQuestion: Who repaired the clock?")
    assert record["input"] == "En 1 días Ana Torres reparó el RELOJ."
    expected = "Translation: In 1 days Ana Torres repaired the CLOCK.\n\nAnswer: Ana Torres"
    assert record["output"] == expected


def test_another_target_language() -> None:
    (record,), _ = convert(clock(), source_languages=["en"], into="de")
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


def test_one_random_language_per_row_or_all_are_used() -> None:
    rows = [clock(number) for number in range(60)]
    converted, stats = convert(*rows)
    used = [record["metadata"]["translation"]["source"] for record in converted]
    assert 15 < used.count("de") < 45
    assert used.count("de") + used.count("es") == 60
    every, stats = convert(*rows, languages_per_row="all")
    assert stats.added == 60
    assert [r["metadata"]["translation"]["source"] for r in every] == ["de", "es"] * 60


def test_the_share_is_converted_and_the_others_pass_unchanged() -> None:
    rows = [clock(number) for number in range(300)]
    records, _ = convert(*rows, fraction=0.37)
    changed = [record for record in records if record["lineage"]["operation"] == "translate"]
    assert 80 < len(changed) < 142
    seeds = {normalize(raw)["id"]: normalize(raw) for raw in rows}
    assert all(r == seeds[r["id"]] for r in records if r["lineage"]["operation"] == "seed")
    assert [r["lineage"]["root"] for r in records] == list(seeds)
    wider, _ = convert(*rows, fraction=0.6)
    assert {r["id"] for r in changed} < {r["id"] for r in wider}


def test_the_phrasings_vary_with_the_row_and_stay_with_the_seed() -> None:
    rows = [clock(number) for number in range(40)]
    for variant, count in (("single-turn", 5), ("multi-turn", 3), ("crosslingual", 3)):
        records, _ = convert(*rows, source_languages=["de"], variant=variant)
        assert len({record["instruction"] for record in records}) == count
        assert records == convert(*rows, source_languages=["de"], variant=variant)[0]
        assert records != convert(*rows, source_languages=["de"], variant=variant, seed=8)[0]


@pytest.mark.parametrize(
    ("raw", "options", "reason"),
    [
        ({"instruction": "Sing.", "output": "La"}, {}, "no-parallel-text"),
        (clock(), {"into": "fr"}, "no-parallel-text"),
        (clock(), {"source_languages": ["fr"]}, "nothing-to-translate"),
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
    records, stats = convert(raw, **options)
    assert records == []
    assert stats.reasons == {("translate", reason): 1}
    assert convert(raw, **options, on_inapplicable="pass")[0] == [normalize(raw)]


def test_a_row_that_another_method_changed_is_not_translated() -> None:
    (once,), _ = convert(clock())
    assert convert(dict(once))[1].reasons == {("translate", "already-changed"): 1}


@pytest.mark.parametrize(
    "metadata",
    [
        {"language": 3},
        {"parallel": ["de"]},
        {"parallel": {"de": "Wer?"}},
        {"parallel": {"de": {"output": "Text"}}},
        {"parallel": {"de": {"instruction": "Wer?", "output": None}}},
    ],
)
def test_malformed_parallel_text_fails_with_its_field(metadata: dict[str, Any]) -> None:
    rejects: list[dict[str, Any]] = []
    stats = RunStats("augment", rejects.append)
    row = Row(normalize({"instruction": "Who?", "output": "I", "metadata": metadata}), "p.jsonl", 4)
    assert list(translate.augment(iter([row]), stats, seed=1, on_inapplicable="pass")) == []
    (reject,) = rejects
    assert reject["outcome"] == "failed"
    assert reject["evidence"]["field"].startswith(f"metadata.{next(iter(metadata))}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "two-turn"}, "variant is 'two-turn', but must be one of"),
        ({"fraction": 1.5}, "fraction is 1.5, but must lie between 0 and 1"),
        ({"source_languages": ["de", "en"]}, "'en' is the language to translate into"),
    ],
)
def test_invalid_options_are_a_usage_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convert(**options)


# --- a model writes missing texts ------------------------------------------------------------

RIVER = {
    "instruction": "How long is the river?",
    "input": "The Aldo is 1,250 km long and flows into the sea at {place}.",
    "output": "1,250 km",
}
TRANSLATIONS = {
    "German": {
        "instruction": "Wie lang ist der Fluss?",
        "input": "Der Aldo ist 1.250 km lang und mündet bei {place} ins Meer.",
        "output": "1.250 km",
    },
    "Chinese": {
        "instruction": "这条河有多长？",
        "input": "阿尔多河长 1250 公里，在 {place} 流入大海。",
        "output": "1250 公里",
    },
    "English": RIVER,
}


def teacher(changes: dict[str, str] | None = None, structured: bool = False) -> Any:
    """Return a model that answers with TRANSLATIONS, with the changes applied."""

    def reply(request: Any) -> str:
        asked = [turn["content"] for turn in request.messages if "into " in turn["content"]][-1]
        language = next(name for name in TRANSLATIONS if f"into {name}" in asked)
        parts = [part for part in ("instruction", "input", "output") if f"<{part}>" in asked]
        found = {part: (TRANSLATIONS[language] | (changes or {}))[part] for part in parts}
        if structured:
            return orjson.dumps(found).decode()
        return "\n".join(f"<{part}>{text}</{part}>" for part, text in found.items())

    return scripted_model(reply, structured)


def requested_parts(model: Any) -> list[tuple[str, list[str]]]:
    """Return the language and the parts of every request."""
    found = []
    for request in model.runner.requests:
        asked = request.messages[-1]["content"]
        parts = [part for part in ("instruction", "input", "output") if f"<{part}>" in asked]
        found.append((asked.split(" into ")[1].split(":")[0], parts))
    return found


@pytest.mark.parametrize("structured", [False, True])
def test_the_model_writes_the_foreign_text(structured: bool) -> None:
    model = teacher(structured=structured)
    (record,), _ = convert(RIVER, source_languages=["de"], model=model)
    german = TRANSLATIONS["German"]
    assert record["input"] == f"Question: {german['instruction']}\n\nText: {german['input']}"
    assert record["output"].startswith("Translation:\nQuestion: How long is the river?")
    assert record["output"].endswith("\n\nAnswer: 1,250 km")
    assert record["metadata"]["language"] == "en"
    assert record["metadata"]["parallel"] == {"de": german | {"output": ""}}
    assert record["lineage"]["teacher"] == "openai:scripted"
    assert record["lineage"]["prompt"] == load_prompt("translate").version
    assert record["lineage"]["parent"] == normalize(RIVER)["id"]
    assert requested_parts(model) == [("German", ["instruction", "input"])]
    (request,) = model.runner.requests
    assert (request.schema is not None) == structured
    # The parallel row gives the same chain.
    parallel = {**RIVER, "metadata": {"language": "en", "parallel": {"de": german}}}
    (same,), _ = convert(parallel, source_languages=["de"])
    assert same["steps"] == record["steps"]


def test_a_later_run_finds_the_texts_that_the_model_wrote() -> None:
    (record,), _ = convert(RIVER, source_languages=["de"], model=teacher())
    again = {**RIVER, "metadata": record["metadata"]}
    model = teacher()
    (same,), _ = convert(again, source_languages=["de"], model=model)
    assert model.runner.requests == []
    assert same["steps"] == record["steps"]
    assert same["lineage"]["teacher"] == "builtin"
    assert convert(again, source_languages=["de"], answer="source", model=model)[1].failed == 0
    assert requested_parts(model) == [("German", ["output"])]


def test_the_model_is_asked_for_what_the_options_need() -> None:
    model = teacher()
    (record,), _ = convert(RIVER, source_languages=["de"], content="input", model=model)
    assert record["input"] == TRANSLATIONS["German"]["input"]
    assert record["instruction"].endswith("\n\nQuestion: How long is the river?")
    assert texts_of(record)["de"] == ("", TRANSLATIONS["German"]["input"], "")
    (record,), _ = convert(RIVER, source_languages=["de"], answer="source", model=model)
    assert record["output"].endswith("\n\nAnswer: 1.250 km")
    assert record["steps"][-1]["check"] == {"kind": "text", "value": "1.250 km"}
    assert requested_parts(model) == [
        ("German", ["input"]),
        ("German", ["instruction", "input", "output"]),
    ]


def test_a_foreign_row_is_translated_into_the_target() -> None:
    model = teacher()
    german = TRANSLATIONS["German"]
    (record,), _ = convert(german, language="de", model=model)
    assert record["input"] == f"Question: {german['instruction']}\n\nText: {german['input']}"
    assert record["output"].endswith("\n\nAnswer: 1,250 km")
    assert record["metadata"]["language"] == "de"
    assert requested_parts(model) == [("English", ["instruction", "input", "output"])]
    (named,), _ = convert({**german, "metadata": {"language": "de"}}, model=model)
    assert named["steps"] == record["steps"]


def test_a_third_language_needs_two_translations() -> None:
    model = teacher()
    german = TRANSLATIONS["German"]
    (record,), _ = convert(german, language="de", source_languages=["zh"], model=model)
    assert record["metadata"]["translation"]["source"] == "zh"
    assert set(record["metadata"]["parallel"]) == {"en", "zh"}
    assert [language for language, _ in requested_parts(model)] == ["English", "Chinese"]


def test_rows_that_have_the_text_are_not_asked_about() -> None:
    model = teacher()
    found, _ = convert(clock(), RIVER, source_languages=["de"], model=model)
    assert [record["lineage"]["teacher"] for record in found] == ["builtin", "openai:scripted"]
    assert len(model.runner.requests) == 1


def test_of_all_languages_each_fails_alone() -> None:
    chinese_alone = teacher({"input": "阿尔多河长 1250 公里，在 {place} 流入大海。"})
    found, stats = convert(
        RIVER, source_languages=["de", "zh"], languages_per_row="all", model=chinese_alone
    )
    assert [record["metadata"]["translation"]["source"] for record in found] == ["zh"]
    assert stats.added == 1
    assert stats.reasons == {("translate", "wrong-language"): 1}


def test_the_language_is_chosen_before_the_model_is_called() -> None:
    model = teacher()
    rows = [{**RIVER, "metadata": {"number": n}, "id": f"r{n}"} for n in range(40)]
    found, _ = convert(*rows, source_languages=["de", "zh"], model=model)
    used = [record["metadata"]["translation"]["source"] for record in found]
    assert 10 < used.count("de") < 30
    assert len(model.runner.requests) == 40
    some, _ = convert(*rows, source_languages=["de"], model=(few := teacher()), fraction=0.5)
    assert len(few.runner.requests) == sum("translation" in r["metadata"] for r in some) < 30


@pytest.mark.parametrize(
    ("raw", "options", "reason"),
    [
        ({**RIVER, "output": ""}, {"source_languages": ["de"]}, "nothing-to-translate"),
        (
            {**RIVER, "input": ""},
            {"source_languages": ["de"], "content": "input"},
            "nothing-to-translate",
        ),
        (
            {**RIVER, "input": "12, 7"},
            {"source_languages": ["de"], "content": "input"},
            "nothing-to-translate",
        ),
        (
            {"instruction": "2+2=?", "output": "4"},
            {"source_languages": ["de"]},
            "nothing-to-translate",
        ),
        (RIVER, {}, "no-parallel-text"),
    ],
)
def test_rows_that_cannot_be_translated_are_left_without_asking(
    raw: dict[str, Any], options: dict[str, Any], reason: str
) -> None:
    model = teacher()
    records, stats = convert(raw, model=model, **options)
    assert records == []
    assert stats.reasons == {("translate", reason): 1}
    assert model.runner.requests == []


def test_what_stays_the_same_in_translation_gives_no_chain() -> None:
    raw = {"instruction": "Say it.", "input": "Ana Torres", "output": "Ana Torres"}
    model = scripted_model(lambda request: "<input>Ana Torres</input>")
    records, stats = convert(raw, source_languages=["de"], content="input", model=model)
    assert records == []
    assert stats.reasons == {("translate", "nothing-to-translate"): 1}


SENTENCE = "The {x} shop sells 3,500 books at https://example.org and closes at 6:30."


@pytest.mark.parametrize(
    ("original", "translation", "code", "reason"),
    [
        (SENTENCE, SENTENCE, "de", "not-translated"),
        (SENTENCE, SENTENCE.replace("The", "Now the"), "de", "wrong-language"),
        (
            SENTENCE,
            "Der {x}-Laden verkauft 3.500 Bücher auf https://example.org und schließt um 6:30.",
            "de",
            None,
        ),
        (
            SENTENCE,
            "Der {x}-Laden verkauft 3 500 Bücher auf https://example.org und schließt um 6.30 Uhr.",
            "de",
            None,
        ),
        (
            SENTENCE,
            "Der Laden {x} verkauft Bücher auf https://example.org und schließt um 6:30.",
            "de",
            "lost-content",
        ),
        (
            SENTENCE,
            "Der Laden verkauft 3.500 Bücher auf https://example.org und schließt um 6:30.",
            "de",
            "lost-content",
        ),
        (
            SENTENCE,
            "Der {x}-Laden verkauft 3.500 Bücher im Netz und schließt um 6:30.",
            "de",
            "lost-content",
        ),
        ("Pay ٣ coins: الآن", "Zahle 3 Münzen: jetzt", "de", None),
        ("What is 12.5% of 1,000,000?", "ما هو ١٢٫٥٪ من ١٬٠٠٠٬٠٠٠؟", "ar", None),
        ("Name a river in Spain.", "Nenne einen Fluss.", "ru", "wrong-language"),
        ("Name a river in Spain.", "Назови реку в Испании.", "ru", None),
        ("Explain TensorFlow and PyTorch.", "解释 TensorFlow 和 PyTorch。", "zh", None),
        ("Name a river in Spain.", "Nenne einen Fluss. " * 20, "de", "wrong-length"),
        ("Name a river in Spain. " * 20, "Nenne einen Fluss.", "de", "wrong-length"),
        ("Run `ls -la` and read the result.", "Führe `ls` aus und lies es.", "de", "lost-content"),
        ("Say it:\n```\nx = 1\n```", "Sag es:\n```\nx = 2\n```", "de", "lost-content"),
        (
            "Dear {name}\nHow are you (see www.x.org)?",
            "Lieber {name}\nWie geht's? www.x.org",
            "de",
            None,
        ),
        ("Make the <b>word</b> bold.", "Mach das Wort fett.", "de", "lost-content"),
        ("Which?\n(A) trout\n(B) robin", "Was?\n(A) Forelle", "de", "lost-content"),
        ("Which?\n(A) trout\n(B) robin", "哪个？\nA、鳟鱼\nB、知更鸟", "zh", None),
    ],
)
def test_what_a_translation_must_keep(
    original: str, translation: str, code: str, reason: str | None
) -> None:
    found = translation_problem(original, translation, "instruction", "en", code)
    assert (found and found[0]) == reason


def test_what_may_stay_as_it_is() -> None:
    assert translation_problem("Ana Torres", "Ana Torres", "output", "en", "de") is None
    assert translation_problem("x = 3 + 4", "x = 3 + 4", "instruction", "en", "zh") is None
    french = "Le chat de la voisine est dans le jardin des voisins avec une souris."
    assert translation_problem(french, french, "output", "en", "zh") is None


@given(st.integers(0, 10**12), st.sampled_from(",. '\u00a0"))
def test_a_number_is_the_same_with_any_separator(number: int, separator: str) -> None:
    assert numerals(f"{number:,}".replace(",", separator)) == [str(number)]


@given(st.text())
def test_any_text_has_a_language_or_none(text: str) -> None:
    assert detect_language(text) == "" or wrong_language(text, detect_language(text)) is None
    assert differing_language(text, text) is None


def test_the_prompts_own_examples_pass_its_checks() -> None:
    codes = {"English": "en", "German": "de", "Chinese": "zh", "Spanish": "es"}
    for example in load_prompt("translate").examples:
        for part in ("instruction", "input", "output"):
            given_text, made = example[f"given_{part}"], example[part]
            source, target = codes[example["source"]], codes[example["target"]]
            assert translation_problem(given_text, made, part, source, target) is None


@pytest.mark.skipif(not XQUAD.is_dir(), reason="the XQuAD files are not in ../shared/data/xquad")
@pytest.mark.parametrize("code", ["de", "es", "ru", "ar", "zh"])
def test_professional_translations_pass_the_checks(code: str) -> None:
    pairs = pair({each: xquad(each, RunStats("a")) for each in ("en", code)}, RunStats("a"))
    texts = {
        (part, getattr(found["en"], part), getattr(found[code], part))
        for found in (texts_of(row.value) for row in pairs)
        for part in ("instruction", "input")
    }
    problems = [
        translation_problem(english, foreign, part, "en", code) for part, english, foreign in texts
    ]
    found = [problem and problem[0] for problem in problems]
    assert found.count(None) > 0.8 * len(found)
    assert found.count("wrong-language") < 0.005 * len(found)


def test_language_names() -> None:
    assert language_name("zh") == "Chinese"
    assert language_name("xx-yy") == "xx-yy"


def xquad(language: str, stats: RunStats) -> Iterator[Row]:
    name = f"xquad.{language}.json"
    document = json.loads((XQUAD / name).read_text("utf-8"))
    for line, item in enumerate(FORMAT.items(document), 1):
        stats.read += 1
        for fields in FORMAT.to_records(item):
            yield Row(complete_record(fields, "xquad", name), name, line)


@pytest.mark.skipif(not XQUAD.is_dir(), reason="the XQuAD files are not in ../shared/data/xquad")
@pytest.mark.parametrize("answer", ["target", "source"])
@pytest.mark.parametrize("variant", ["single-turn", "multi-turn", "crosslingual"])
def test_xquad_gives_1190_chains_with_the_published_answers(
    variant: translate.TranslateVariant, answer: Literal["target", "source"]
) -> None:
    stats = RunStats("augment")
    rows = pair({code: xquad(code, stats) for code in ("en", "de")}, stats)
    found = translate.augment(rows, stats, seed=7, variant=variant, answer=answer)
    records = [row.value for row in found]
    stats.written = len(records)
    stats.close()
    assert len(records) == 1190
    assert (stats.rejected, stats.failed) == (0, 0)
    published = {
        row.value["metadata"]["id"]: row.value
        for row in xquad("en" if answer == "target" else "de", RunStats("test"))
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
