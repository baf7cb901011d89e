"""The rule about the languages of a record."""

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
    boolean,
    proportion,
    some_of,
    whole_number,
)
from seqit.filter.rules.language_id import Language, canonical_code, identify, load_model
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
# A verb for translating in the languages of most instructions, or the name of a language:
# "Answer in French", "auf Deutsch", "Spanish words for …".
_MENTIONS_LANGUAGE = re.compile(
    r"\b(?:translat|transliterat|übersetz|tradu[cizs]|traduire|vertaal|tłumacz|översätt|çevir"
    r"|dịch|terjemah|перев[её]|переклад|μετάφρα)"
    r"|ترجم|अनुवाद|翻译|翻譯|翻訳|訳して|번역|แปล|תרגמ|ingilizce"
    r"|英语|英文|中文|汉语|日语|日本語|英語|영어|한국어|английск|русск|немецк"
    rf"|\b(?:{'|'.join(_NAMES.split())})\b",
    re.IGNORECASE,
)


def _language_codes(text: str) -> tuple[str, ...]:
    codes = tuple(text.split("+"))
    if not all(re.fullmatch("[a-z]{2,3}", code) for code in codes):
        raise ValueError("language codes joined by '+', such as en+de")
    return codes


@dataclass
class LanguageRule(Rule):
    """Reject a record in a language that is not allowed, or in two languages.

    A text passes if the model's confidence is too low or it has too few letters, so that errors of
    the model do not cost good rows.
    """

    name: ClassVar[str] = "language"
    explanation: ClassVar[str] = (
        "A field is in a language that is not allowed; with same=true, the output is in another "
        "language than instruction and input, although the operation is not translate and the "
        "instruction neither asks for a translation nor names a language."
    )

    allow: Annotated[
        tuple[str, ...] | None,
        OptionSpec("the languages that pass, such as en+de", _language_codes),
    ] = None
    fields: Annotated[
        tuple[TextField, ...],
        OptionSpec("the fields whose language must be allowed", some_of(*TEXT_FIELDS)),
    ] = ("instruction", "output")
    same: Annotated[
        bool, OptionSpec("whether the output must be in the instruction's language", boolean)
    ] = False
    min_confidence: Annotated[
        float, OptionSpec("texts pass if the model's confidence is lower", proportion)
    ] = 0.6
    min_letters: Annotated[int, OptionSpec("texts of fewer letters pass", whole_number)] = 20

    def __post_init__(self) -> None:
        if not self.allow and not self.same:
            raise UsageError("rule 'language': say which languages pass: allow=en, or same=true")
        self._allowed = frozenset(map(canonical_code, self.allow or ()))
        load_model()

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection, `not-allowed` or `mixed`, with the languages found."""
        if self._allowed:
            for name in self.fields:
                found = self._identify(record[name])
                if found and canonical_code(found.code) not in self._allowed:
                    allowed = " or ".join(self.allow or ())
                    message = f"the {name} is in the language {found.code!r}, not in {allowed}"
                    evidence = {"field": name, **_as_evidence(found)}
                    return Rejection("not-allowed", message, evidence)
        return self._mixed(record) if self.same else None

    def _mixed(self, record: Record) -> Rejection | None:
        """Return a rejection if the output's language is neither used nor asked for."""
        asked, answered = self._identify(record["instruction"]), self._identify(record["output"])
        if not asked or not answered or canonical_code(asked.code) == canonical_code(answered.code):
            return None
        if self._may_differ(record):
            return None
        input_language = self._identify(record["input"])
        if input_language and canonical_code(input_language.code) == canonical_code(answered.code):
            return None
        message = (
            f"the instruction is in the language {asked.code!r}, the output in {answered.code!r}, "
            "and no translation is asked for"
        )
        evidence = {"instruction": _as_evidence(asked), "output": _as_evidence(answered)}
        return Rejection("mixed", message, evidence)

    def _identify(self, text: str) -> Language | None:
        found = identify(text, self.min_letters)
        return found if found and found.confidence >= self.min_confidence else None

    def _may_differ(self, record: Record) -> bool:
        """Return whether another language is part of the task."""
        if record["lineage"]["operation"] == "translate":
            return True
        if "translation" in record.get("metadata", {}):  # made by translate, changed later
            return True
        turns = (message for turn in record.get("history", ()) for message in turn[:1])
        steps = (step["instruction"] for step in record.get("steps", ()))
        asked = (record["instruction"], record.get("system", ""), *turns, *steps)
        return any(map(_MENTIONS_LANGUAGE.search, asked))


def _as_evidence(found: Language) -> dict[str, object]:
    return {"language": found.code, "confidence": round(found.confidence, 3)}
