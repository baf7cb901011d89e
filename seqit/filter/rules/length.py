"""Rules about the length of texts."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from seqit.errors import UsageError
from seqit.filter.rule import (
    TEXT_FIELDS,
    OptionSpec,
    Rejection,
    Rule,
    TextField,
    one_of,
    whole_number,
)
from seqit.records.record import Record

# Invisible code points; other white space is removed by str.strip().
_INVISIBLE = " \t\r\n\x0b\x0c\x85\xa0\xad\u200b\u200c\u200d\u2060\u2800\u3164\ufe0f\ufeff"


@dataclass
class EmptyOutput(Rule):
    """Reject a record with an empty or invisible output."""

    name: ClassVar[str] = "empty-output"
    explanation: ClassVar[str] = "The output is empty, or has only invisible characters."

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection if the output has no visible character."""
        output = record["output"]
        # Nearly every row returns at its first character, a visible one of ASCII.
        if "!" <= output[:1] <= "~" or output.strip().strip(_INVISIBLE):
            return None
        content = f"only {len(output)} characters that show nothing" if output else "nothing"
        return Rejection("empty", f"the output holds {content}", {"characters": len(output)})


@dataclass
class Length(Rule):
    """Reject a text that is longer or shorter than the limits."""

    name: ClassVar[str] = "length"
    explanation: ClassVar[str] = "A text is longer or shorter than the limits."

    field: Annotated[TextField, OptionSpec("the text to measure", one_of(*TEXT_FIELDS))] = "output"
    min_words: Annotated[int, OptionSpec("fewest words, split at white space", whole_number)] = 0
    max_words: Annotated[int | None, OptionSpec("most words", whole_number)] = None
    min_characters: Annotated[int, OptionSpec("fewest characters", whole_number)] = 0
    max_characters: Annotated[int | None, OptionSpec("most characters", whole_number)] = None

    def __post_init__(self) -> None:
        limits = {
            "words": (self.min_words, self.max_words),
            "characters": (self.min_characters, self.max_characters),
        }
        if all(not minimum and maximum is None for minimum, maximum in limits.values()):
            raise UsageError(
                "rule 'length' needs a limit, as in length:field=output,max_words=2000"
            )
        for unit, (minimum, maximum) in limits.items():
            if maximum is not None and minimum > maximum:
                raise UsageError(
                    f"rule 'length': min_{unit}={minimum} is above max_{unit}={maximum}, "
                    "so no record could pass"
                )

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection with the length, its unit and the limit."""
        text = record[self.field]
        size = len(text)
        if size < self.min_characters:
            return self._reject("too-short", size, "characters", self.min_characters)
        if self.max_characters is not None and size > self.max_characters:
            return self._reject("too-long", size, "characters", self.max_characters)
        # n words take at least 2n - 1 characters, so most texts need not be split.
        if self.max_words is not None and size > 2 * self.max_words:
            words = len(text.split())
            if words > self.max_words:
                return self._reject("too-long", words, "words", self.max_words)
        if self.min_words and len(text.split(None, self.min_words)) < self.min_words:
            return self._reject("too-short", len(text.split()), "words", self.min_words)
        return None

    def _reject(self, reason: str, size: int, unit: str, limit: int) -> Rejection:
        bound = "at least" if reason == "too-short" else "at most"
        message = f"the {self.field} has {size:,} {unit}; {bound} {limit:,} are allowed"
        return Rejection(reason, message, {"field": self.field, unit: size, "limit": limit})
