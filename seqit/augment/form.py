"""The form of an answer: named fields, read from their marked places alone.

One definition gives the JSON Schema for backends that honour one, the tags for those that do
not, and the reader of each. What is not in its place is unreadable, never guessed at.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from seqit.backends.asking import Unreadable

Values = dict[str, Any]
"""Field → text, or list of texts."""


@dataclass(frozen=True, slots=True)
class Field:
    """One part of an answer: a text, one of `choices`, or a list of texts."""

    name: str
    choices: tuple[str, ...] = ()
    several: bool = False
    empty: bool = False  # whether it may be empty


@dataclass(frozen=True)
class Form:
    """The fields of an answer, in the order in which the model is to write them."""

    fields: tuple[Field, ...]

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the answer; every field is required and no other allowed."""
        return {
            "type": "object",
            "properties": {field.name: _schema_of(field) for field in self.fields},
            "required": [field.name for field in self.fields],
            "additionalProperties": False,
        }

    def guidance(self, structured: bool) -> str:
        """Return the sentence that tells the model how to write its answer."""
        if structured:
            keys = ", ".join(f'"{field.name}"' for field in self.fields)
            return f"Answer with one JSON object that has the keys {keys}, and nothing else."
        return "Answer in exactly this form, and write nothing else:\n" + "\n".join(
            f"<{field.name}>{_hint(field)}</{field.name}>" for field in self.fields
        )

    def show(self, values: Mapping[str, Any], structured: bool) -> str:
        """Return an answer as the model is to write it."""
        if structured:
            ordered = {field.name: values[field.name] for field in self.fields}
            return orjson.dumps(ordered).decode()
        return "\n".join(
            f"<{field.name}>{_tagged(values[field.name])}</{field.name}>" for field in self.fields
        )

    def read(self, text: str, structured: bool) -> Values:
        """Return the fields' values; raises Unreadable unless each stands in its place."""
        values = self._from_json(text) if structured else self._from_tags(text)
        for field in self.fields:
            values[field.name] = _checked(field, values[field.name])
        return values

    def _from_json(self, text: str) -> Values:
        try:
            value = orjson.loads(_unfenced(text))
        except orjson.JSONDecodeError:
            raise Unreadable("the answer is not one JSON object") from None
        names = [field.name for field in self.fields]
        if not isinstance(value, dict) or sorted(value) != sorted(names):
            raise Unreadable(f"the answer is not a JSON object with the keys {', '.join(names)}")
        return value

    def _from_tags(self, text: str) -> Values:
        found = list(self._pattern.finditer(text))
        if len(found) != 1:
            names = ", ".join(f"<{field.name}>" for field in self.fields)
            problem = "is not given" if not found else f"is given {len(found)} times"
            raise Unreadable(f"the answer in the form {names} {problem}")
        values: Values = {}
        for field, part in zip(self.fields, found[0].groups(), strict=True):
            if field.several:
                values[field.name] = re.findall(r"<item>(.*?)</item>", part, re.DOTALL)
                if re.sub(r"<item>.*?</item>", "", part, flags=re.DOTALL).strip():
                    raise Unreadable(f"<{field.name}> holds something outside of its <item> tags")
            else:
                values[field.name] = part
        return values

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(
            r"\s*".join(rf"<{field.name}>(.*?)</{field.name}>" for field in self.fields), re.DOTALL
        )


def _schema_of(field: Field) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string"}
    if field.choices:
        text["enum"] = list(field.choices)
    return {"type": "array", "items": text} if field.several else text


def _hint(field: Field) -> str:
    if field.choices:
        return " or ".join(field.choices)
    return "<item>…</item><item>…</item>" if field.several else "…"


def _tagged(value: str | Sequence[str]) -> str:
    if isinstance(value, str):
        return value
    return "".join(f"<item>{each}</item>" for each in value)


_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n\s*```\s*", re.DOTALL)


def _unfenced(text: str) -> str:
    """Return the text without the code fence that stands around all of it."""
    fenced = _FENCE.fullmatch(text)
    return fenced.group(1) if fenced else text


def _checked(field: Field, value: Any) -> Any:
    """Return the value without outer space; raises Unreadable where the field cannot hold it."""
    texts = value if field.several else [value]
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise Unreadable(f"{field.name} is not {'a list of texts' if field.several else 'a text'}")
    texts = [each.strip() for each in texts]
    if not field.empty and not all(texts or [""]):
        raise Unreadable(f"{field.name} is empty")
    if field.choices:
        for each in texts:
            if each not in field.choices:
                raise Unreadable(f"{field.name} is not {' or '.join(field.choices)}")
    return texts if field.several else texts[0]
