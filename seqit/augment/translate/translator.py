"""A language model translates the parts of a task, and what it must keep is checked.

All parts go into one request, so that an answer that is a passage of the text is translated as
the passage is, and a short part is read in its context.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace

from seqit.augment.form import AnswerField, TaggedForm
from seqit.augment.language import language_name, prose, wrong_language
from seqit.augment.prompt import Prompt, load_prompt
from seqit.augment.translate.chain import METHOD, rng_for_row
from seqit.checks.measures import letters, words
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CheckFailed, ModelCall
from seqit.records.record import Record
from seqit.records.validation import shorten

_TELLING = 12
"""So many letters tell the language of a text; fewer may be a name."""

# Code, web and mail addresses, slots and tags stay to the letter.
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
    """Asks a model for translations."""

    model: ModelClient
    seed: int

    @property
    def prompt(self) -> str:
        """The version of the prompt."""
        return load_prompt(METHOD).version

    def translate(
        self, record: Record, parts: Mapping[str, str], source: str, target: str
    ) -> ModelCall[dict[str, str]]:
        """Ask for the parts (instruction, input, output) of a record in another language.

        source, target: language codes. Raises Unanswered.
        """
        form = TaggedForm(tuple(map(AnswerField, parts)))
        structured = self.model.structured
        values = {
            "source": language_name(source),
            "target": language_name(target),
            "texts": _shown(parts),
        }
        rng = rng_for_row(record, self.seed, f"examples {target}")
        messages = _prompt_for(tuple(parts)).messages(values, form, structured, rng)

        def read(text: str) -> dict[str, str]:
            found = form.read(text, structured)
            for part, original in parts.items():
                problem = translation_problem(original, found[part], part, source, target)
                if problem:
                    reason, message = problem
                    raise CheckFailed(f"the {values['target']} {part} is wrong: {message}", reason)
            return found

        return (
            yield from self.model.complete(
                record, METHOD, messages, read, seed=self.seed, schema=form.schema
            )
        )


def _shown(parts: Mapping[str, str]) -> str:
    return "\n".join(f"<{name}>{text}</{name}>" for name, text in parts.items())


def _prompt_for(parts: tuple[str, ...]) -> Prompt:
    """Return the prompt with examples that have these parts alone."""
    prompt = load_prompt(METHOD)
    examples = (
        {**each, "texts": _shown({part: each[f"given_{part}"] for part in parts})}
        for each in prompt.examples
    )
    return replace(prompt, examples=tuple(examples))


def translation_problem(
    original: str, translation: str, part: str, source: str, target: str
) -> tuple[str, str] | None:
    """Return (reason, message) where a text cannot be a translation of the original."""
    if original == translation:
        return None if _stays(original, part, source) else ("not-translated", "it is the original")
    if gone := _gone(original, translation):
        return "lost-content", f"{shorten(gone)!r} of the original is gone"
    if not len(original) / 5 - 40 < len(translation) < len(original) * 4 + 40:
        return "wrong-length", "it is much longer or shorter than the original"
    if letters(prose(translation)) >= _TELLING and (wrong := wrong_language(translation, target)):
        return "wrong-language", wrong
    return None


def _stays(text: str, part: str, source: str) -> bool:
    """Say whether a text may be its own translation: names, code, what is in another language."""
    plain = prose(text)
    if letters(plain) < 3:
        return True
    return part != "instruction" and (
        len(words(plain)) <= 3 or wrong_language(text, source) is not None
    )


def _gone(original: str, translation: str) -> str:
    """Return the first thing of the original that every translation keeps, and this one lacks."""
    for match in _VERBATIM.finditer(original):
        if (text := match[0].rstrip(".,;:!?)\"'”")) not in translation:
            return str(text)
    for label in _LABEL.finditer(original):
        if not re.search(rf"(?<![A-Za-z]){label[1]}(?![A-Za-z])", translation):
            return f"({label[1]})"
    kept = {*numerals(translation), *re.findall(r"\d+", _ascii_digits(translation))}
    return next((number for number in numerals(original) if number not in kept), "")


def numerals(text: str) -> list[str]:
    """Return the numbers in digits, in order, as 1234.5: whatever separators a country has."""
    return [_value(match[0]) for match in _NUMERAL.finditer(_ascii_digits(text))]


def _value(numeral: str) -> str:
    groups: list[str] = _SEPARATOR.split(numeral)
    if all(len(group) == 3 for group in groups[1:]):
        return "".join(groups)
    return f"{''.join(groups[:-1])}.{groups[-1]}"


def _ascii_digits(text: str) -> str:
    text = text.translate({ord("٫"): ".", ord("٬"): ","})
    return re.sub(r"[^\D0-9]", lambda digit: str(unicodedata.decimal(digit[0])), text)
