"""Validation against schemas/: a fast validator on the hot path, `jsonschema` for the messages."""

import difflib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import jsonschema_rs
import orjson

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


MIN_SIMILARITY = 0.75
"""Of a misspelt name and the one that is meant, as difflib measures it."""


class SchemaProblem(NamedTuple):
    """One error in a row: its field (``steps[0].check``; empty for the row itself) and message."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Schema:
    """One schema of schemas/; `is_valid(value)` takes about a microsecond."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.document = _load(f"{name}.schema.json")
        # Schemas refer to each other by file name: a response contains a record.
        self.is_valid = jsonschema_rs.validator_for(self.document, retriever=_resolve).is_valid

    @property
    def version(self) -> int:
        """The schema's version, which is raised with every change of what it accepts."""
        return int(self.document["version"])

    def problems(self, value: Any) -> list[SchemaProblem]:
        """Return all errors in the value; not empty, so call it only if `is_valid` is false.

        A value of an older version of the schema is named as such.
        """
        from jsonschema import Draft202012Validator
        from referencing import Registry, Resource

        def retrieve(uri: str) -> Resource[Any]:
            return Resource.from_contents(_resolve(uri))

        registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
        errors = Draft202012Validator(self.document, registry=registry).iter_errors(value)
        found = [SchemaProblem(_field(error.absolute_path), _message(error)) for error in errors]
        # Both validators implement the same standard. If they ever differ, the row was refused by
        # the fast one, and still needs a message.
        found = found or [SchemaProblem("", "the row does not match the schema")]
        if older := self.older_version(value):
            hint = f" (it is of version {older} of the {self.name} schema, this is {self.version})"
            found[0] = SchemaProblem(found[0].field, found[0].message + hint)
        return found

    def older_version(self, value: Any) -> int | None:
        """Return the newest older version, kept in schemas/older, that the value matches.

        None if it matches none, or if there is none.
        """
        for version in reversed(range(1, self.version)):
            is_valid = _older_validator(self.name, version)
            if is_valid and is_valid(value):
                return version
        return None


@cache
def _older_validator(name: str, version: int) -> Callable[[Any], bool] | None:
    older = f"older/{name}.{version}.schema.json"
    if not files("seqit").joinpath("schemas", older).is_file():
        return None
    return jsonschema_rs.validator_for(_load(older), retriever=_resolve).is_valid


def _load(file: str) -> dict[str, Any]:
    text = files("seqit").joinpath("schemas", file).read_bytes()
    document: dict[str, Any] = orjson.loads(text)
    return document


def _resolve(uri: str) -> dict[str, Any]:
    return _load(uri.rpartition("/")[2])


@cache
def schema(name: str) -> Schema:
    """Return the schema NAME of schemas/NAME.schema.json, compiled once."""
    return Schema(name)


def describe(value: Any) -> str:
    """Return a description of a JSON value for a message: ``the number 3``, ``a list``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return "empty text" if not value else f"the text {shorten(value)!r}"
    return "a list" if isinstance(value, list) else "an object"


def shorten(text: str, width: int = 40) -> str:
    """Return the text cut to `width` characters, for a message."""
    return text if len(text) <= width else text[: width - 1] + "…"


def did_you_mean(word: str, names: Mapping[str, Any] | list[str]) -> str:
    """Return `` (did you mean 'x'?)`` for a likely misspelling of a name, or an empty string.

    A name with similar letters and another meaning would mislead, so the letters must be close.
    """
    near = difflib.get_close_matches(word, list(names), n=1, cutoff=MIN_SIMILARITY)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _field(path: Any) -> str:
    field = ""
    for part in path:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    return field


def _message(error: Any) -> str:
    rule, wanted, value = error.validator, error.validator_value, error.instance
    if rule == "type":
        names = [wanted] if isinstance(wanted, str) else wanted
        return f"expected {' or '.join(_TYPES[n] for n in names)}, found {describe(value)}"
    if rule == "required":
        missing = next(key for key in wanted if key not in value)
        return f"{missing!r} is missing"
    if rule == "enum":
        hint = did_you_mean(value, wanted) if isinstance(value, str) else ""
        return f"expected one of {', '.join(map(str, wanted))}; found {describe(value)}{hint}"
    if rule in ("minLength", "minItems"):
        return f"must not be empty, found {describe(value)}" if not value else str(error.message)
    if rule == "additionalProperties" and isinstance(value, dict):
        return _unknown_field(value, error.schema)
    return shorten(str(error.message), 200)


def _unknown_field(value: dict[str, Any], part: dict[str, Any]) -> str:
    """Name the first unknown field; `x-synonyms` of the schema has the words of other tools."""
    known = list(part.get("properties", ()))
    unknown = next(key for key in value if key not in known)
    if synonym := part.get("x-synonyms", {}).get(unknown):
        return f"unknown field {unknown!r}: it is called {synonym}"
    return f"unknown field {unknown!r}{did_you_mean(unknown, known)}"
