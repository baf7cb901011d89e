"""The form of a verdict: named choices, read from their places alone, never guessed at.

One definition gives the JSON Schema for backends that honour one, the lines that others end
their answer with, and the strict reader of both.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from seqit.llm.model_call import ParseError
from seqit.records.text.reasoning import UNCLOSED, without_reasoning
from seqit.records.validation import describe, shorten

REASON = "reason"
_REASONS = frozenset((REASON, "explanation", "rationale", "thought"))

# What a judge that answers in the candidate's language may call its score.
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
_OPENING = 300  # characters in which a refusal says that it is one


@dataclass(frozen=True, slots=True)
class JudgeField:
    """One choice of a verdict: its key in JSON, its label at a line's start, what it can be."""

    name: str
    label: str
    choices: tuple[str, ...]
    meaning: str = ""  # of the choices, for the one who is to choose

    @property
    def is_scale(self) -> bool:
        """Whether the choices are the whole numbers up to the last one."""
        return self.choices[-1].isdigit()

    @property
    def labels(self) -> tuple[str, ...]:
        """What the line of this field may begin with."""
        return _SCORE_LABELS if self.is_scale else (self.label.casefold(),)


class JudgeOutput(NamedTuple):
    """What a judge decided: field → choice, why, and where the first choice stands in the text."""

    values: dict[str, str]
    reason: str
    place: int


@dataclass(frozen=True)
class JudgeOutputForm:
    """The choices of a verdict, in the order in which the judge is to write them."""

    fields: tuple[JudgeField, ...]

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the verdict: the reason first, so that it is thought of first."""
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

    def guidance(self, structured: bool) -> str:
        """Return the sentences that tell the judge how to write its verdict."""
        if structured:
            parts = [f'"{REASON}" (a text)']
            parts += [f'"{each.name}" ({_either(each)})' for each in self.fields]
            return f"Answer with one JSON object that has the keys {', '.join(parts)}, and no more."
        lines = "\n".join(f"{each.label}: {_either(each)}" for each in self.fields)
        what = "one last line" if len(self.fields) == 1 else "these last lines, each of them once"
        return (
            f"Give your reason first. Then end with {what}, in exactly this form and with nothing "
            f"after it:\n{lines}"
        )

    def read(self, text: str) -> JudgeOutput:
        """Return the verdict; raises ParseError, with reason "refused" or "unparseable".

        It is the whole text as JSON, or stands in the last lines, one for each field. A text that
        says two different things, or more on such a line than the choice, is not read.
        """
        answer = without_reasoning(text.removeprefix("\ufeff"))
        if answer is None:
            raise ParseError(UNCLOSED, "truncated")
        shift = len(text) - len(answer)
        fenced = _FENCE.fullmatch(answer.strip())
        body = fenced[1] if fenced else answer.strip()
        if body.startswith("{"):
            verdict = self._from_json(body)
        elif fenced:
            raise ParseError("the fenced text is no JSON object")
        else:
            verdict = self._from_lines(body)
        place = verdict.place + text.find(body, shift) if verdict.place >= 0 else -1
        return verdict._replace(place=place)

    def _from_json(self, text: str) -> JudgeOutput:
        try:
            pairs = json.loads(text, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            raise ParseError("the verdict is not one whole JSON object") from None
        names = [name for name, _ in pairs]
        wanted = [field.name for field in self.fields]
        others = set(names) - set(wanted) - _REASONS
        if len(set(names)) < len(names) or others or not set(wanted) <= set(names):
            raise ParseError(f"the JSON object must have the keys {', '.join(wanted)}, each once")
        given = dict(pairs)
        values = {field.name: _from_value(field, given[field.name]) for field in self.fields}
        reason = next((given[name] for name in names if name in _REASONS), "")
        first = re.search(rf'(?<!\\)"{wanted[0]}"\s*:\s*"?', text)
        return JudgeOutput(
            values, reason if isinstance(reason, str) else "", first.end() if first else -1
        )

    def _from_lines(self, text: str) -> JudgeOutput:
        lines = text.splitlines(keepends=True)
        last = len(self.fields)
        given = [n for n, line in enumerate(lines) if line.strip()][-last:]
        found = [
            self._on_line(field, lines, n) for field, n in zip(self.fields, given, strict=False)
        ]
        if len(found) < last or None in found:
            raise _unread(text, self.fields)
        values = dict(zip((field.name for field in self.fields), filter(None, found), strict=True))
        before = lines[: given[0]]
        for field in self.fields:
            if any(_contradicts(field, line, values[field.name]) for line in before):
                raise ParseError(f"more than one {field.label} is given, and not the same")
        line = lines[given[0]]
        within = line.casefold().rfind(values[self.fields[0].name])
        return JudgeOutput(values, "".join(before).strip(), len("".join(before)) + within)

    def _on_line(self, field: JudgeField, lines: Sequence[str], number: int) -> str | None:
        """Return the choice that a line gives and nothing else, or None."""
        label, rest = _labelled(lines[number])
        # Nothing but the number itself, as some answer who are asked for a number.
        is_bare = not label and len(lines) == 1 and field.is_scale
        return _choice(field, rest) if is_bare or label in field.labels else None


class _Pairs(list[tuple[str, Any]]):
    """An object's keys and values as they came, twice where they are given twice."""


def _either(field: JudgeField) -> str:
    if field.is_scale:
        return f"a whole number from {field.choices[0]} to {field.choices[-1]}"
    return " or ".join(field.choices)


def _labelled(line: str) -> tuple[str, str]:
    """Return the label and the rest of a line ``**Label:** rest``, both without markup."""
    bare = _MARKUP.sub("", line).strip()
    bare = bare.removeprefix("- ").strip()
    match = re.fullmatch(r"([^\W\d][\w ]*?)\s*[:：=]\s*(.*)", bare)
    return (match[1].casefold(), match[2]) if match else ("", bare)


def _choice(field: JudgeField, text: str) -> str | None:
    """Return the choice that the text is, a final stop and the scale's end behind it apart."""
    bare = text.strip()
    while bare[:1] + bare[-1:] == "[]":
        bare = bare[1:-1].strip()
    bare = bare.removesuffix(".").removesuffix("。").strip()
    if field.is_scale:
        bare = re.sub(rf"(?<=\d)\s*(?:/|out of|of)\s*{field.choices[-1]}", "", bare)
    folded = bare.casefold()
    return folded if folded in field.choices else None


def _contradicts(field: JudgeField, line: str, value: str) -> bool:
    """Tell whether a line in front of the verdict is one, too, and says something else."""
    label, rest = _labelled(line)
    if label not in field.labels:
        return False
    if field.is_scale:
        scale = re.sub(rf"(?<=\d)\s*(?:/|out of|of)\s*{field.choices[-1]}(?!\d)", "", rest)
        return any(number != value for number in _NUMBER.findall(scale))
    said = {choice for choice in field.choices if re.search(rf"\b{choice}\b", rest.casefold())}
    return bool(said - {value})


def _from_value(field: JudgeField, value: Any) -> str:
    if isinstance(value, bool) and set(field.choices) >= {"yes", "no"}:
        return "yes" if value else "no"
    text = ""
    if isinstance(value, str):
        text = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        is_whole = math.isfinite(value) and value == int(value)
        text = str(int(value)) if is_whole else ""
    choice = _choice(field, text)
    if choice is None:
        raise ParseError(f"{field.name} is {_either(field)}, not {_found(value)}")
    return choice


def _found(value: Any) -> str:
    return "a list of pairs" if isinstance(value, _Pairs) else describe(value)


def _unread(text: str, fields: Sequence[JudgeField]) -> ParseError:
    if _REFUSAL.search(text[:_OPENING]):
        return ParseError(f"the judge would not: {shorten(text, 80)!r}", "refused")
    wanted = " and ".join(f"“{field.label}: {_either(field)}”" for field in fields[:2])
    return ParseError(f"the answer does not end with {wanted}")
