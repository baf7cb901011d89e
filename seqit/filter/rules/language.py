"""A rule about the languages of a record."""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from seqit.errors import UsageError
from seqit.filter.rule import (
    TEXT_FIELDS,
    OptionSpec,
    Rejection,
    Rule,
    TextField,
    proportion,
    some_of,
    whole_number,
    yes_or_no,
)
from seqit.filter.rules.language_id import Language, group, identify, load
from seqit.records.record import Record

_NAMES = """
afrikaans albanian arabic armenian basque bengali bulgarian burmese cantonese catalan chinese
croatian czech danish dutch english estonian filipino finnish french galician georgian german
greek gujarati hausa hebrew hindi hungarian icelandic igbo indonesian irish italian japanese
javanese kannada kazakh khmer korean lao latin latvian lithuanian macedonian malay malayalam
mandarin marathi mongolian nepali norwegian pashto persian farsi polish portuguese punjabi
romanian russian serbian sinhala slovak slovenian somali spanish swahili swedish tagalog tamil
telugu thai tibetan turkish ukrainian urdu uzbek vietnamese welsh yoruba zulu
deutsch englisch französisch spanisch italienisch anglais allemand français espagnol italien
inglés alemán francés español italiano inglese tedesco
"""
# A verb of translating in any of the languages that instructions are commonly written in, or the
# name of a language: "Answer in French", "auf Deutsch", "Spanish words for …".
_ASKS = re.compile(
    r"\b(?:translat|transliterat|übersetz|tradu[cizs]|traduire|vertaal|tłumacz|översätt|çevir"
    r"|dịch|terjemah|перев[её]|переклад|μετάφρα)"
    r"|ترجم|अनुवाद|翻译|翻譯|翻訳|訳して|번역|แปล|תרגמ|ingilizce"
    r"|英语|英文|中文|汉语|日语|日本語|英語|영어|한국어|английск|русск|немецк"
    rf"|\b(?:{'|'.join(_NAMES.split())})\b",
    re.IGNORECASE,
)


def _codes(text: str) -> tuple[str, ...]:
    codes = tuple(text.split("+"))
    if not all(re.fullmatch("[a-z]{2,3}", code) for code in codes):
        raise ValueError("codes of languages joined by '+', such as en+de")
    return codes


@dataclass
class LanguageRule(Rule):
    """Object to a record in another language than those allowed, or in two of them.

    A text in which the model is not sure enough, or with too few letters to tell, passes: a
    wrong verdict would cost a good row.
    """

    name: ClassVar[str] = "language"
    explanation: ClassVar[str] = (
        "A field is in a language that is not allowed; with same=true, the output is in another "
        "language than instruction and input, though the operation is not translate and the "
        "instruction neither asks for a translation nor names a language."
    )

    allow: Annotated[
        tuple[str, ...] | None, OptionSpec("the languages that pass, as en+de", _codes)
    ] = None
    fields: Annotated[
        tuple[TextField, ...],
        OptionSpec("the fields whose language must be allowed", some_of(*TEXT_FIELDS)),
    ] = ("instruction", "output")
    same: Annotated[
        bool, OptionSpec("whether the output must be in the instruction's language", yes_or_no)
    ] = False
    min_confidence: Annotated[
        float, OptionSpec("how sure the model must be, else a text passes", proportion)
    ] = 0.6
    min_letters: Annotated[int, OptionSpec("texts of fewer letters pass", whole_number)] = 20

    def __post_init__(self) -> None:
        if not self.allow and not self.same:
            raise UsageError("rule 'language': say which languages pass: allow=en, or same=true")
        self._allowed = frozenset(map(group, self.allow or ()))
        load()

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection, `not-allowed` or `mixed`, with the languages found."""
        if self._allowed:
            for name in self.fields:
                found = self._of(record[name])
                if found and group(found.code) not in self._allowed:
                    allowed = " or ".join(self.allow or ())
                    message = f"the {name} is in the language {found.code!r}, not in {allowed}"
                    evidence = {"field": name, **_told(found)}
                    return Rejection("not-allowed", message, evidence)
        return self._mixed(record) if self.same else None

    def _mixed(self, record: Record) -> Rejection | None:
        """Return an objection where the answer is in a language that nobody used or asked for."""
        asked, answered = self._of(record["instruction"]), self._of(record["output"])
        if not asked or not answered or group(asked.code) == group(answered.code):
            return None
        if self._may_differ(record):
            return None
        given = self._of(record["input"])
        if given and group(given.code) == group(answered.code):
            return None
        message = (
            f"the instruction is in the language {asked.code!r}, the output in {answered.code!r}, "
            "and no translation is asked for"
        )
        evidence = {"instruction": _told(asked), "output": _told(answered)}
        return Rejection("mixed", message, evidence)

    def _of(self, text: str) -> Language | None:
        found = identify(text, self.min_letters)
        return found if found and found.confidence >= self.min_confidence else None

    def _may_differ(self, record: Record) -> bool:
        """Tell whether another language is part of the task."""
        if record["lineage"]["operation"] == "translate":
            return True
        if "translation" in record.get("metadata", {}):  # made by translate, and changed since
            return True
        turns = (said for turn in record.get("history", ()) for said in turn[:1])
        steps = (step["instruction"] for step in record.get("steps", ()))
        asked = (record["instruction"], record.get("system", ""), *turns, *steps)
        return any(map(_ASKS.search, asked))


def _told(found: Language) -> dict[str, object]:
    return {"language": found.code, "confidence": round(found.confidence, 3)}
