"""The form of a structured answer: named fields, as JSON or between tags, and a strict parser.

One definition gives the JSON Schema for backends that support one, the tags for those that do
not, and the parser of both. A field that is not in its marked place is a ParseError; the parser
never guesses.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import orjson

from seqit.llm.model_call import ParseError
from seqit.records.text.reasoning import UNCLOSED_REASONING, strip_reasoning
from seqit.records.validation import shorten

FieldValues = dict[str, Any]
"""Field name → text, or list of texts."""


@dataclass(frozen=True, slots=True)
class AnswerField:
    """One field of an answer: a text, one of `choices`, or a list of texts.

    `allow_empty` allows an empty text, or a list of none; a text within a list is never empty.
    """

    name: str
    choices: tuple[str, ...] = ()
    is_list: bool = False
    allow_empty: bool = False


class AnswerForm(Protocol):
    """An answer format: it describes, renders and parses the fields of an answer."""

    @property
    def fields(self) -> tuple[AnswerField, ...]: ...

    @property
    def schema(self) -> dict[str, Any] | None: ...

    def guidance(self, structured: bool) -> str: ...

    def render(self, values: Mapping[str, Any], structured: bool) -> str: ...

    def parse(self, text: str, structured: bool) -> FieldValues: ...


@dataclass(frozen=True)
class TaggedForm:
    """The fields of an answer, in the order in which the model must write them."""

    fields: tuple[AnswerField, ...]

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the answer: every field is required, and no other is allowed."""
        return {
            "type": "object",
            "properties": {field.name: _field_schema(field) for field in self.fields},
            "required": [field.name for field in self.fields],
            "additionalProperties": False,
        }

    def guidance(self, structured: bool) -> str:
        """Return the format instructions for the model."""
        if structured:
            keys = ", ".join(f'"{field.name}" ({_json_hint(field)})' for field in self.fields)
            return f"Answer with one JSON object that has the keys {keys}, and nothing else."
        return "Answer in exactly this form, and write nothing else:\n" + "\n".join(
            f"<{field.name}>{_hint(field)}</{field.name}>" for field in self.fields
        )

    def render(self, values: Mapping[str, Any], structured: bool) -> str:
        """Return the answer text that a model should write for `values`."""
        if structured:
            ordered = {field.name: values[field.name] for field in self.fields}
            return orjson.dumps(ordered).decode()
        return "\n".join(
            f"<{field.name}>{_render_value(values[field.name])}</{field.name}>"
            for field in self.fields
        )

    def parse(self, text: str, structured: bool) -> FieldValues:
        """Return the fields' values; raises ParseError unless each is in its marked place."""
        text = _answer_text(text)
        values = self._from_json(text) if structured else self._from_tags(text)
        return {field.name: _checked_value(field, values[field.name]) for field in self.fields}

    def _from_json(self, text: str) -> FieldValues:
        fenced = _FENCE.fullmatch(text)
        text = fenced.group(1) if fenced else text
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise ParseError("the answer is not one JSON object") from None
        names = [field.name for field in self.fields]
        if not isinstance(value, dict) or sorted(value) != sorted(names):
            raise ParseError(f"the answer is not a JSON object with the keys {', '.join(names)}")
        for field in self.fields:
            _check_type(field, value[field.name])
        if len(json.loads(text, object_pairs_hook=list)) != len(names):
            raise ParseError("a key is given more than once in the JSON object")
        return value

    def _from_tags(self, text: str) -> FieldValues:
        """Split the text at the border `</a> <b>` of each two fields, which must occur once.

        A single tag within a field is therefore text. Before the first field and after the last
        one there may be prose, but no tag of the form.
        """
        parts = [text]
        for border in self._borders:
            parts += self._split_once(border, parts.pop())
        first, last = self.fields[0].name, self.fields[-1].name
        before, parts[0] = self._split_once(re.compile(f"<{first}>"), parts[0])
        parts[-1], after = self._split_once(re.compile(f"</{last}>"), parts[-1])
        if self._tag.search(before) or self._tag.search(after):
            raise ParseError(f"{self._expected_form} is given, and more of it outside")
        return {
            field.name: _items(field, part) if field.is_list else part
            for field, part in zip(self.fields, parts, strict=True)
        }

    def _split_once(self, border: re.Pattern[str], text: str) -> list[str]:
        pieces = border.split(text)
        if len(pieces) != 2:
            how = "is not given" if len(pieces) < 2 else "is not given once, but more often"
            raise ParseError(f"{self._expected_form} {how}")
        return pieces

    @cached_property
    def _borders(self) -> list[re.Pattern[str]]:
        names = [field.name for field in self.fields]
        return [re.compile(rf"</{a}>\s*<{b}>") for a, b in pairwise(names)]

    @cached_property
    def _tag(self) -> re.Pattern[str]:
        return re.compile(rf"</?(?:{'|'.join(field.name for field in self.fields)})>")

    @cached_property
    def _expected_form(self) -> str:
        return "the form " + " ".join(f"<{f.name}>…</{f.name}>" for f in self.fields)


def _field_schema(field: AnswerField) -> dict[str, Any]:
    text: dict[str, Any] = {"type": "string"}
    if field.choices:
        text["enum"] = list(field.choices)
    return {"type": "array", "items": text} if field.is_list else text


def _hint(field: AnswerField) -> str:
    if field.choices:
        return " or ".join(field.choices)
    return "<item>…</item><item>…</item>" if field.is_list else "…"


def _json_hint(field: AnswerField) -> str:
    if field.choices:
        return " or ".join(f'"{choice}"' for choice in field.choices)
    return "a list of texts" if field.is_list else "a text"


def _render_value(value: str | Sequence[str]) -> str:
    if isinstance(value, str):
        return value
    return "".join(f"<item>{each}</item>" for each in value)


def _items(field: AnswerField, part: str) -> list[str]:
    if _ITEM.sub("", part).strip():
        raise ParseError(f"<{field.name}> holds something outside of its <item> tags")
    return _ITEM.findall(part)


_ITEM = re.compile(r"<item>(.*?)</item>", re.DOTALL)
_FENCE = re.compile(r"\s*```(?:json)?\s*\n(.*?)\n\s*```\s*", re.DOTALL)


def _answer_text(text: str) -> str:
    """Return the text without a byte order mark and without the model's reasoning."""
    answer = strip_reasoning(text.removeprefix("\ufeff"))
    if answer is None:
        raise ParseError(UNCLOSED_REASONING, "truncated")
    return answer


def _check_type(field: AnswerField, value: Any) -> None:
    texts = value if field.is_list else [value]
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise ParseError(f"{field.name} is not {'a list of texts' if field.is_list else 'a text'}")


def _checked_value(field: AnswerField, value: Any) -> Any:
    """Return the value without outer space; raises ParseError if it is invalid for the field."""
    texts = [each.strip() for each in (value if field.is_list else [value])]
    if not all(texts) and (field.is_list or not field.allow_empty):
        raise ParseError(f"{field.name} is empty, or a part of it")
    if not texts and not field.allow_empty:
        raise ParseError(f"{field.name} is empty")
    if field.choices:
        texts = [_match_choice(field, each) for each in texts]
    return texts if field.is_list else texts[0]


_LETTERED_CHOICE = re.compile(
    r"(?:option\s+)?\W*(?P<letter>\w)[*_]*(?P<name>$|[.):].*|\s+[(–-].*)", re.DOTALL
)
_LETTERS = re.compile(r"\b[b-z]\b")  # "a" is an article


def _match_choice(field: AnswerField, text: str) -> str:
    """Return the choice that the text names, ignoring case and surrounding punctuation.

    "(b)." and "Option B" are B, and so is "B. Prefix", as long as it names no other letter.
    """
    bare = text.strip(" .:()[]*_`\"'").casefold()
    choices = {choice.casefold(): choice for choice in field.choices}
    named = _LETTERED_CHOICE.match(bare)
    if named and choices.keys() & set(_LETTERS.findall(named["name"])) <= {named["letter"]}:
        bare = named["letter"]
    if bare in choices:
        return choices[bare]
    raise ParseError(f"{field.name} is not {' or '.join(field.choices)}, but {shorten(text, 40)!r}")
