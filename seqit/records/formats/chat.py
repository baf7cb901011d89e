"""Conversations: turns of a user and an assistant, as the formats for chat models have them."""

from typing import Any, NamedTuple

from seqit.errors import RowError
from seqit.records.formats.base import Fields, not_blank
from seqit.records.record import Record
from seqit.records.validation import describe

IMAGE = "<image>"
"""Where LLaMA-Factory puts an image into the text; it wants one for each of the images."""


class Turn(NamedTuple):
    """What one side said; `role` is system, user or assistant."""

    role: str
    text: str


class Spelling(NamedTuple):
    """How a format writes a turn: its two keys, and its names for the roles."""

    role: str
    text: str
    roles: dict[str, str]


def read_turns(items: Any, column: str, spelling: Spelling) -> list[Turn]:
    """Read a column that holds a list of turns.

    Raises RowError also for keys beside the two: a record has no place for them, so they would
    be lost. Null counts as absent.
    """
    if not isinstance(items, list):
        raise RowError(f"expected a list of turns, found {describe(items)}", column)
    return [_turn(item, f"{column}[{n}]", spelling) for n, item in enumerate(items)]


def _turn(item: Any, field: str, spelling: Spelling) -> Turn:
    if not isinstance(item, dict):
        raise RowError(f"expected a turn, found {describe(item)}", field)
    name, content = item.get(spelling.role), item.get(spelling.text)
    if not isinstance(name, str) or name not in spelling.roles:
        found = describe(name)
        message = f"expected one of {', '.join(spelling.roles)}, found {found}"
        raise RowError(f"{message}; seqit has no tool turns yet", f"{field}.{spelling.role}")
    for key, value in item.items():
        if value is not None and key not in spelling[:2]:
            raise RowError(
                "a record has no place for this part of a turn; drop it", _at(field, key)
            )
    if not isinstance(content, str):
        message = f"expected text, found {describe(content)}"
        raise RowError(message, _at(field, spelling.text))
    return Turn(spelling.roles[name], content)


def _at(field: str, key: str) -> str:
    return f"{field}.{key}"


def write_turns(turns: list[Turn], spelling: Spelling) -> list[dict[str, str]]:
    """Return the turns as the format spells them: its first name for each role."""
    names = {role: name for name, role in reversed(spelling.roles.items())}
    return [{spelling.role: names[role], spelling.text: text} for role, text in turns]


def fields_of(turns: list[Turn], column: str, system: str = "") -> Fields:
    """Return instruction, output, system and history of a conversation; the input is empty.

    The last answer may be missing: an item that nobody answered yet. The system message is
    given, or the first turn. Raises RowError unless user and assistant take turns and the user
    begins.
    """
    skip = 1 if turns and turns[0].role == "system" else 0
    if skip and turns[0].text:
        if system:
            raise RowError("the system message stands here and in the first turn", "system")
        system = turns[0].text
    texts = []
    for number, turn in enumerate(turns[skip:]):
        wanted = "assistant" if number % 2 else "user"
        if turn.role != wanted:
            message = f"expected a turn of the {wanted}, found one of the {turn.role}"
            field = f"{column}[{number + skip}]"
            raise RowError(f"{message}; they must take turns, and the user begins", field)
        texts.append(turn.text)
    if not texts:
        raise RowError("the user says nothing", column)
    last = len(texts) - 2 + len(texts) % 2
    fields: Fields = {
        "instruction": not_blank(texts[last], f"{column}[{last + skip}]"),
        "input": "",
        "output": texts[last + 1] if last + 1 < len(texts) else "",
    }
    if system:
        fields["system"] = system
    if last:
        fields["history"] = [texts[i : i + 2] for i in range(0, last, 2)]
    return fields


def turns_of(record: Record) -> list[Turn]:
    """Return the record as turns, its system message left out; an empty output is no turn."""
    turns = []
    for asked, answered in record.get("history", []):
        turns += [Turn("user", asked), Turn("assistant", answered)]
    turns.append(Turn("user", question_of(record)))
    if record["output"]:
        turns.append(Turn("assistant", record["output"]))
    return turns


def question_of(record: Record) -> str:
    """Return instruction and input as one text.

    Joined by a line break, as LLaMA-Factory joins Alpaca's two: the same record gives the same
    prompt in whichever format it is exported.
    """
    text = record["input"]
    return f"{record['instruction']}\n{text}" if text else record["instruction"]


def without_image_marks(fields: Fields) -> Fields:
    """Take LLaMA-Factory's <image> marks off the first turn, one for each of the images.

    Marks at other places say where an image stands in the text, and remain.
    """
    marks = IMAGE * len(fields.get("images", ()))
    first = _first_text(fields)
    if not marks or not first.startswith(marks) or _count_marks(fields) * len(IMAGE) != len(marks):
        return fields
    rest = first.removeprefix(marks)
    if not fields.get("history") and (not rest or rest.isspace()):
        return fields  # an instruction must not be empty
    return _with_first_text(fields, rest)


def with_image_marks(record: Record) -> Fields:
    """Return the record's fields with an <image> mark in the first turn for each of its images.

    Raises RowError where the text has marks already, and not as many as there are images.
    """
    fields: Fields = {**record}
    images, marks = len(record.get("images", ())), _count_marks(fields)
    if not images or marks == images:
        return fields
    if marks:
        raise RowError(f"the text has {marks} {IMAGE} marks for {images} images", "images")
    return _with_first_text(fields, IMAGE * images + _first_text(fields))


def _count_marks(fields: Fields) -> int:
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
