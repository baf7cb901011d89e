"""Conversations: turns of a user and an assistant, for the formats of chat models."""

from typing import Any, NamedTuple

from seqit.errors import RowError
from seqit.records.formats.base import Fields, require_not_blank
from seqit.records.record import Record
from seqit.records.validation import describe

IMAGE = "<image>"
"""LLaMA-Factory's placeholder for an image in the text; it requires one for each image."""


class Turn(NamedTuple):
    """One message; `role` is system, user or assistant."""

    role: str
    text: str


class TurnKeys(NamedTuple):
    """The two keys of a turn in a format, and its names for the roles."""

    role: str
    text: str
    roles: dict[str, str]


def parse_turns(items: Any, column: str, keys: TurnKeys) -> list[Turn]:
    """Parse a column that has a list of turns.

    Raises RowError also for keys other than the two: a record has no place for them, so they would
    be lost. Null counts as absent.
    """
    if not isinstance(items, list):
        raise RowError(f"expected a list of turns, found {describe(items)}", column)
    return [_turn(item, f"{column}[{n}]", keys) for n, item in enumerate(items)]


def _turn(item: Any, field: str, keys: TurnKeys) -> Turn:
    if not isinstance(item, dict):
        raise RowError(f"expected a turn, found {describe(item)}", field)
    name, content = item.get(keys.role), item.get(keys.text)
    if not isinstance(name, str) or name not in keys.roles:
        message = f"expected one of {', '.join(keys.roles)}, found {describe(name)}"
        raise RowError(f"{message}; tool turns are not supported yet", f"{field}.{keys.role}")
    for key, value in item.items():
        if value is not None and key not in keys[:2]:
            message = "a record has no place for this part of a turn; drop it"
            raise RowError(message, f"{field}.{key}")
    if not isinstance(content, str):
        raise RowError(f"expected text, found {describe(content)}", f"{field}.{keys.text}")
    return Turn(keys.roles[name], content)


def format_turns(turns: list[Turn], keys: TurnKeys) -> list[dict[str, str]]:
    """Return the turns with the keys of a format, and its first name for each role."""
    names = {role: name for name, role in reversed(keys.roles.items())}
    return [{keys.role: names[role], keys.text: text} for role, text in turns]


def fields_from_turns(turns: list[Turn], column: str, system: str = "") -> Fields:
    """Return instruction, output, system and history of a conversation; the input is empty.

    The last answer may be missing, as in a benchmark item. The system message is `system` or the
    first turn. Raises RowError unless user and assistant alternate, starting with the user.
    """
    skip = 1 if turns and turns[0].role == "system" else 0
    if skip and turns[0].text:
        if system:
            raise RowError("the system message is given here and in the first turn", "system")
        system = turns[0].text
    texts = []
    for number, turn in enumerate(turns[skip:]):
        wanted = "assistant" if number % 2 else "user"
        if turn.role != wanted:
            message = f"expected a turn of the {wanted}, found one of the {turn.role}"
            field = f"{column}[{number + skip}]"
            raise RowError(f"{message}; they must alternate, starting with the user", field)
        texts.append(turn.text)
    if not texts:
        raise RowError("there is no turn of the user", column)
    last = len(texts) - 2 + len(texts) % 2
    fields: Fields = {
        "instruction": require_not_blank(texts[last], f"{column}[{last + skip}]"),
        "input": "",
        "output": texts[last + 1] if last + 1 < len(texts) else "",
    }
    if system:
        fields["system"] = system
    if last:
        fields["history"] = [texts[i : i + 2] for i in range(0, last, 2)]
    return fields


def turns_from_record(record: Record) -> list[Turn]:
    """Return the record as turns, without its system message; an empty output is not a turn."""
    turns = []
    for question, answer in record.get("history", []):
        turns += [Turn("user", question), Turn("assistant", answer)]
    turns.append(Turn("user", prompt_text(record)))
    if record["output"]:
        turns.append(Turn("assistant", record["output"]))
    return turns


def prompt_text(record: Record) -> str:
    """Return instruction and input, joined by a line break as LLaMA-Factory joins Alpaca's.

    The same record gives the same prompt in every export format.
    """
    text = record["input"]
    return f"{record['instruction']}\n{text}" if text else record["instruction"]


def remove_image_placeholders(fields: Fields) -> Fields:
    """Remove LLaMA-Factory's <image> placeholders from the start of the first turn.

    Only if there is one for each image: placeholders elsewhere say where an image is in the text,
    and stay.
    """
    prefix = IMAGE * len(fields.get("images", ()))
    first = _first_text(fields)
    if not prefix or not first.startswith(prefix):
        return fields
    if _count_placeholders(fields) * len(IMAGE) != len(prefix):
        return fields
    rest = first.removeprefix(prefix)
    if not fields.get("history") and (not rest or rest.isspace()):
        return fields  # an instruction must not be empty
    return _with_first_text(fields, rest)


def add_image_placeholders(record: Record) -> Fields:
    """Return the record's fields with an <image> placeholder in the first turn for each image.

    Raises RowError if the text already has placeholders, but not one for each image.
    """
    fields: Fields = {**record}
    images, placeholders = len(record.get("images", ())), _count_placeholders(fields)
    if not images or placeholders == images:
        return fields
    if placeholders:
        message = f"the text has {placeholders} {IMAGE} placeholders for {images} images"
        raise RowError(message, "images")
    return _with_first_text(fields, IMAGE * images + _first_text(fields))


def _count_placeholders(fields: Fields) -> int:
    texts = [fields["instruction"], fields["input"], fields["output"]]
    texts += [text for pair in fields.get("history", []) for text in pair]
    return sum(text.count(IMAGE) for text in texts)


def _first_text(fields: Fields) -> str:
    history = fields.get("history")
    text: str = history[0][0] if history else fields["instruction"]
    return text


def _with_first_text(fields: Fields, text: str) -> Fields:
    if history := fields.get("history"):
        return {**fields, "history": [[text, history[0][1]], *history[1:]]}
    return {**fields, "instruction": text}
