"""Translate the parts of a task with a language model, and check what it must keep.

All parts go into one request, so that an answer that is a span of the text is translated like
that span, and a short part is translated in context.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace

from seqit.augment.form import AnswerField, TaggedForm
from seqit.augment.language import language_name, prose, wrong_language
from seqit.augment.prompt import Prompt, load_prompt
from seqit.augment.translate.chain import METHOD, rng_for_row
from seqit.checks.text_units import count_letters, words
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CheckFailed, ModelCall
from seqit.records.record import Record
from seqit.records.validation import shorten

_MIN_LETTERS_TO_DETECT = 12
"""Texts with fewer letters may be names: their language is not checked."""

# Code, web and mail addresses, slots and tags must be copied verbatim.
_VERBATIM = re.compile(
    r"```.*?```|`[^`\n]+`|(?:https?://|www\.)\S+|[\w.+-]+@[\w-]+\.[\w.]+"
    r"|\{\{?\w+\}?\}|%[sd]\b|</?[A-Za-z][\w-]*(?=[^<>\n]*>)",
    re.DOTALL | re.ASCII,
)
_LABEL = re.compile(r"^[ \t]*\(?([A-Z])[.)](?=\s)", re.MULTILINE)
_NUMERAL = re.compile(r"(?<!\d)\d{1,3}(?: \d{3})+(?!\d)|\d+(?:[.,'’\u00a0\u202f]\d+)*")
_SEPARATOR = re.compile(r"[.,'’ \u00a0\u202f]")


@dataclass(frozen=True)
class Translator:
    """Translates the parts of records with a model."""

    model: ModelClient
    seed: int

    @property
    def prompt(self) -> str:
        """The version of the prompt."""
        return load_prompt(METHOD).version

    def translate(
        self, record: Record, parts: Mapping[str, str], source: str, target: str
    ) -> ModelCall[dict[str, str]]:
        """Return the parts (instruction, input, output) of a record in another language.

        source, target: language codes. Raises CompletionFailed.
        """
        form = TaggedForm(tuple(map(AnswerField, parts)))
        structured = self.model.structured
        values = {
            "source": language_name(source),
            "target": language_name(target),
            "texts": _tagged(parts),
        }
        rng = rng_for_row(record, self.seed, f"examples {target}")
        messages = _prompt_for(tuple(parts)).messages(values, form, structured, rng)

        def parse(text: str) -> dict[str, str]:
            translations = form.parse(text, structured)
            for part, original in parts.items():
                problem = translation_problem(original, translations[part], part, source, target)
                if problem:
                    reason, message = problem
                    raise CheckFailed(f"the {values['target']} {part} is wrong: {message}", reason)
            return translations

        return (
            yield from self.model.complete(
                record, METHOD, messages, parse, seed=self.seed, schema=form.schema
            )
        )


def _tagged(parts: Mapping[str, str]) -> str:
    return "\n".join(f"<{name}>{text}</{name}>" for name, text in parts.items())


def _prompt_for(parts: tuple[str, ...]) -> Prompt:
    """Return the prompt, its examples reduced to these parts."""
    prompt = load_prompt(METHOD)
    examples = (
        {**each, "texts": _tagged({part: each[f"given_{part}"] for part in parts})}
        for each in prompt.examples
    )
    return replace(prompt, examples=tuple(examples))


def translation_problem(
    original: str, translation: str, part: str, source: str, target: str
) -> tuple[str, str] | None:
    """Return (reason, message) if a text cannot be a translation of the original, else None."""
    if original == translation:
        if _may_stay_unchanged(original, part, source):
            return None
        return "not-translated", "it is the original"
    if lost := _lost_text(original, translation):
        return "lost-content", f"{shorten(lost)!r} of the original is gone"
    if not len(original) / 5 - 40 < len(translation) < len(original) * 4 + 40:
        return "wrong-length", "it is much longer or shorter than the original"
    has_prose = count_letters(prose(translation)) >= _MIN_LETTERS_TO_DETECT
    if has_prose and (problem := wrong_language(translation, target)):
        return "wrong-language", problem
    return None


def _may_stay_unchanged(text: str, part: str, source: str) -> bool:
    """Return whether a text may equal its translation: names, code, text in another language."""
    plain = prose(text)
    if count_letters(plain) < 3:
        return True
    return part != "instruction" and (
        len(words(plain)) <= 3 or wrong_language(text, source) is not None
    )


def _lost_text(original: str, translation: str) -> str:
    """Return the first text that a translation must keep and this one lacks, or ""."""
    for match in _VERBATIM.finditer(original):
        if (text := match[0].rstrip(".,;:!?)\"'”")) not in translation:
            return str(text)
    for label in _LABEL.finditer(original):
        if not re.search(rf"(?<![A-Za-z]){label[1]}(?![A-Za-z])", translation):
            return f"({label[1]})"
    kept = {*numerals(translation), *re.findall(r"\d+", _ascii_digits(translation))}
    return next((number for number in numerals(original) if number not in kept), "")


def numerals(text: str) -> list[str]:
    """Return the numbers written in digits, in order, as 1234.5, independent of separators."""
    return [_normalize(match[0]) for match in _NUMERAL.finditer(_ascii_digits(text))]


def _normalize(numeral: str) -> str:
    groups: list[str] = _SEPARATOR.split(numeral)
    if all(len(group) == 3 for group in groups[1:]):
        return "".join(groups)
    return f"{''.join(groups[:-1])}.{groups[-1]}"


def _ascii_digits(text: str) -> str:
    text = text.translate({ord("٫"): ".", ord("٬"): ","})
    return re.sub(r"[^\D0-9]", lambda digit: str(unicodedata.decimal(digit[0])), text)
