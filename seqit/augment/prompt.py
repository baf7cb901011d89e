"""Prompts: one text file each in prompts/, with its examples; the version is the file's hash.

A file has sections, each begun by a line `%% NAME`: `task` tells what to do, `given` is the
question with its {slots}, and each `example` holds values in tags: those of the slots, then those
of the answer's fields (a list as <item>s); a slot that an example does not name is empty there.
See seqit/augment/prompts/classify.txt.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random

from xxhash import xxh3_64_hexdigest

from seqit.augment.form import AnswerForm
from seqit.llm.request import Message

_SECTION = re.compile(r"^%% (\w+)\n", re.MULTILINE)
_VALUE = re.compile(r"<(\w+)>(.*?)</\1>", re.DOTALL)
_SLOT = re.compile(r"^\{(\w+)\}\n|\{(\w+)\}", re.MULTILINE)
_ITEM = re.compile(r"<item>(.*?)</item>", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """A prompt file: what to do, the question, and worked examples."""

    name: str
    version: str  # 16 hexadecimal digits over the file
    task: str
    given: str
    examples: tuple[dict[str, str], ...]

    def messages(
        self,
        values: Mapping[str, str],
        form: AnswerForm,
        structured: bool,
        lot: Random,
        most_examples: int | None = None,
    ) -> list[Message]:
        """Return the chat that asks about `values`: the examples are turns, in a drawn order."""
        examples = lot.sample(self.examples, len(self.examples))[:most_examples]
        unnamed = dict.fromkeys(values, "")
        system = f"{fill(self.task, values)}\n\n{form.guidance(structured)}"
        chat: list[Message] = [{"role": "system", "content": system}]
        for example in examples:
            answer = {
                field.name: _ITEM.findall(example[field.name])
                if field.several
                else example[field.name]
                for field in form.fields
            }
            chat.append({"role": "user", "content": fill(self.given, unnamed | example)})
            chat.append({"role": "assistant", "content": form.show(answer, structured)})
        chat.append({"role": "user", "content": fill(self.given, values)})
        return chat


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put the values into their {slots}, once: braces within a value are text.

    A line that is nothing but an empty slot goes.
    """

    def value(slot: re.Match[str]) -> str:
        line = values[slot[1]] if slot[1] else ""
        return f"{line}\n" if line else values[slot[2]] if slot[2] else ""

    return _SLOT.sub(value, template)


@cache
def load_prompt(name: str) -> Prompt:
    """Return the prompt of prompts/NAME.txt."""
    text = resources.files("seqit.augment").joinpath("prompts", f"{name}.txt").read_text("utf-8")
    _, *pieces = _SECTION.split(text)
    sections = list(zip(pieces[::2], (piece.strip("\n") for piece in pieces[1::2]), strict=True))
    once = dict(sections)
    examples = tuple(
        {tag: value.strip("\n") for tag, value in _VALUE.findall(body)}
        for title, body in sections
        if title == "example"
    )
    return Prompt(name, xxh3_64_hexdigest(text.encode()), once["task"], once["given"], examples)


def prompts_version(*names: str) -> str:
    """Return the version of several prompts together: 16 hexadecimal digits."""
    versions = (f"{name} {load_prompt(name).version}" for name in names)
    return xxh3_64_hexdigest("\n".join(versions).encode())
