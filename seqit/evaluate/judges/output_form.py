"""The output form of a judge: named choices, parsed strictly from fixed places.

One definition gives the JSON Schema for backends that support one, the instructions for the final
lines for others, and the parser of both.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from seqit.llm.model_call import ParseError
from seqit.records.text.reasoning import UNCLOSED_REASONING, strip_reasoning
from seqit.records.validation import describe, shorten

REASON = "reason"
_REASONS = frozenset((REASON, "explanation", "rationale", "thought"))

# Labels of the score in other languages: a judge may answer in the candidate's language.
_SCORE_LABELS = (
    *("score", "overall score", "final score", "my score", "quality score", "rating"),
    *("overall rating", "final rating", "bewertung", "gesamtbewertung", "puntuación"),
    *("punteggio", "pontuação", "оценка", "评分", "評分", "評価", "점수"),
)
_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_MARKUP = re.compile(r"[*_#]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_REFUSAL = re.compile(
    r"\b(?:i['’]m|i am|we['’]re) (?:very |so |really )?(?:sorry|afraid)\b|\bi apologi[sz]e\b"
    r"|\bas an ai\b|\bi (?:can(?:no|['’])t|can not|won['’]t|will not|must decline|decline"
    r"|am (?:unable|not able|not comfortable)|refuse)\b"
    r"|tut mir leid|ich kann (?:das|dies|diese|dazu|hier)|désolée?\b|je ne peux pas|lo siento"
    r"|no puedo|mi dispiace|non posso|não posso|抱歉|对不起|無法|无法|申し訳|извините|не могу|죄송",
    re.IGNORECASE,
)
_REFUSAL_WINDOW = 300  # characters at the beginning in which a refusal is searched


@dataclass(frozen=True, slots=True)
class JudgeField:
    """One choice that the judge makes.

    name: its key in JSON. label: its label at the beginning of a line. choices: the values.
    """

    name: str
    label: str
    choices: tuple[str, ...]

    @property
    def is_scale(self) -> bool:
        """Whether the choices are consecutive whole numbers."""
        return self.choices[-1].isdigit()

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels with which the line of this field may begin."""
        return _SCORE_LABELS if self.is_scale else (self.label.casefold(),)


class JudgeOutput(NamedTuple):
    """A parsed judgement: field → choice, the reason, and the offset of the first choice."""

    values: dict[str, str]
    reason: str
    offset: int  # in the completion's text; -1 if unknown


@dataclass(frozen=True)
class JudgeOutputForm:
    """The fields of a judgement, in the order in which the judge must write them."""

    fields: tuple[JudgeField, ...]

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema: the reason comes first, so that it is generated before the choices."""
        properties: dict[str, Any] = {REASON: {"type": "string"}}
        for field in self.fields:
            choices: list[Any] = [*map(int, field.choices)] if field.is_scale else [*field.choices]
            kind = "integer" if field.is_scale else "string"
            properties[field.name] = {"type": kind, "enum": choices}
        return {
            "type": "object",
            "properties": properties,
            "required": [*properties],
            "additionalProperties": False,
        }

    def instructions(self, structured: bool) -> str:
        """Return the format instructions for the prompt: for JSON if `structured`, else lines."""
        if structured:
            parts = [f'"{REASON}" (a text)']
            parts += [f'"{field.name}" ({_describe_choices(field)})' for field in self.fields]
            return f"Answer with one JSON object that has the keys {', '.join(parts)}, and no more."
        lines = "\n".join(f"{field.label}: {_describe_choices(field)}" for field in self.fields)
        what = "one last line" if len(self.fields) == 1 else "these last lines, each of them once"
        return (
            f"Give your reason first. Then end with {what}, in exactly this form and with nothing "
            f"after it:\n{lines}"
        )

    def parse(self, text: str) -> JudgeOutput:
        """Parse a completion; raises ParseError, with reason "refused" or "unparseable".

        The judgement is the whole text as JSON, or the last lines, one for each field. A text with
        contradicting choices, or with more than the choice on such a line, is not accepted.
        """
        answer = strip_reasoning(text.removeprefix("\ufeff"))
        if answer is None:
            raise ParseError(UNCLOSED_REASONING, "truncated")
        shift = len(text) - len(answer)
        fenced = _FENCE.fullmatch(answer.strip())
        body = fenced[1] if fenced else answer.strip()
        if body.startswith("{"):
            output = self._parse_json(body)
        elif fenced:
            raise ParseError("the fenced text is no JSON object")
        else:
            output = self._parse_lines(body)
        offset = output.offset + text.find(body, shift) if output.offset >= 0 else -1
        return output._replace(offset=offset)

    def _parse_json(self, text: str) -> JudgeOutput:
        try:
            pairs = json.loads(text, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            raise ParseError("the verdict is not one whole JSON object") from None
        names = [name for name, _ in pairs]
        expected = [field.name for field in self.fields]
        unknown = set(names) - set(expected) - _REASONS
        if len(set(names)) < len(names) or unknown or not set(expected) <= set(names):
            raise ParseError(f"the JSON object must have the keys {', '.join(expected)}, each once")
        found = dict(pairs)
        values = {field.name: _parse_value(field, found[field.name]) for field in self.fields}
        reason = next((found[name] for name in names if name in _REASONS), "")
        first = re.search(rf'(?<!\\)"{expected[0]}"\s*:\s*"?', text)
        return JudgeOutput(
            values, reason if isinstance(reason, str) else "", first.end() if first else -1
        )

    def _parse_lines(self, text: str) -> JudgeOutput:
        lines = text.splitlines(keepends=True)
        count = len(self.fields)
        last = [n for n, line in enumerate(lines) if line.strip()][-count:]
        found = [
            self._parse_line(field, lines, n) for field, n in zip(self.fields, last, strict=False)
        ]
        if len(found) < count or None in found:
            raise _parse_error(text, self.fields)
        values = dict(zip((field.name for field in self.fields), filter(None, found), strict=True))
        before = lines[: last[0]]
        for field in self.fields:
            if any(_contradicts(field, line, values[field.name]) for line in before):
                raise ParseError(f"more than one {field.label} is given, and not the same")
        line = lines[last[0]]
        column = line.casefold().rfind(values[self.fields[0].name])
        return JudgeOutput(values, "".join(before).strip(), len("".join(before)) + column)

    def _parse_line(self, field: JudgeField, lines: Sequence[str], number: int) -> str | None:
        """Return the choice on a line that has nothing else, or None."""
        label, rest = _split_label(lines[number])
        # Some judges answer with nothing but the number.
        is_bare = not label and len(lines) == 1 and field.is_scale
        return _parse_choice(field, rest) if is_bare or label in field.labels else None


class _Pairs(list[tuple[str, Any]]):
    """The (key, value) pairs of a JSON object, duplicate keys included."""


def _describe_choices(field: JudgeField) -> str:
    if field.is_scale:
        return f"a whole number from {field.choices[0]} to {field.choices[-1]}"
    return " or ".join(field.choices)


def _split_label(line: str) -> tuple[str, str]:
    """Return the casefolded label and the rest of a line ``**Label:** rest``, without markup."""
    bare = _MARKUP.sub("", line).strip()
    bare = bare.removeprefix("- ").strip()
    match = re.fullmatch(r"([^\W\d][\w ]*?)\s*[:：=]\s*(.*)", bare)
    return (match[1].casefold(), match[2]) if match else ("", bare)


def _parse_choice(field: JudgeField, text: str) -> str | None:
    """Return the choice that the text equals, ignoring a full stop and "/5" or "out of 5"."""
    bare = text.strip()
    while bare[:1] + bare[-1:] == "[]":
        bare = bare[1:-1].strip()
    bare = bare.removesuffix(".").removesuffix("。").strip()
    if field.is_scale:
        bare = re.sub(rf"(?<=\d)\s*(?:/|out of|of)\s*{field.choices[-1]}", "", bare)
    folded = bare.casefold()
    return folded if folded in field.choices else None


def _contradicts(field: JudgeField, line: str, value: str) -> bool:
    """Return whether an earlier line gives a different choice for the field."""
    label, rest = _split_label(line)
    if label not in field.labels:
        return False
    if field.is_scale:
        scale = re.sub(rf"(?<=\d)\s*(?:/|out of|of)\s*{field.choices[-1]}(?!\d)", "", rest)
        return any(number != value for number in _NUMBER.findall(scale))
    found = {choice for choice in field.choices if re.search(rf"\b{choice}\b", rest.casefold())}
    return bool(found - {value})


def _parse_value(field: JudgeField, value: Any) -> str:
    if isinstance(value, bool) and set(field.choices) >= {"yes", "no"}:
        return "yes" if value else "no"
    text = ""
    if isinstance(value, str):
        text = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        is_whole = math.isfinite(value) and value == int(value)
        text = str(int(value)) if is_whole else ""
    choice = _parse_choice(field, text)
    if choice is None:
        raise ParseError(
            f"{field.name} is {_describe_choices(field)}, not {_describe_value(value)}"
        )
    return choice


def _describe_value(value: Any) -> str:
    return "a list of pairs" if isinstance(value, _Pairs) else describe(value)


def _parse_error(text: str, fields: Sequence[JudgeField]) -> ParseError:
    if _REFUSAL.search(text[:_REFUSAL_WINDOW]):
        return ParseError(f"the judge would not: {shorten(text, 80)!r}", "refused")
    expected = " and ".join(f"“{field.label}: {_describe_choices(field)}”" for field in fields[:2])
    return ParseError(f"the answer does not end with {expected}")
