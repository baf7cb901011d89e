"""Prompt templates: one text file each in prompts/, examples included; its hash is the version.

A file has sections, each started by a line `%% NAME`: `task` is the system message, `given` the
question with its {slots}, and each `example` has values in tags: those of the slots, then those
of the answer's fields (a list as <item>s). A slot that an example does not name is empty there.
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
    """A prompt file: the task, the question template, and worked examples."""

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
        rng: Random,
    ) -> list[Message]:
        """Return the chat for `values`, with the examples as earlier turns in random order."""
        examples = rng.sample(self.examples, len(self.examples))
        empty_slots = dict.fromkeys(values, "")
        system = f"{fill(self.task, values)}\n\n{form.guidance(structured)}"
        chat: list[Message] = [{"role": "system", "content": system}]
        for example in examples:
            answer = {
                field.name: _ITEM.findall(example[field.name])
                if field.is_list
                else example[field.name]
                for field in form.fields
            }
            chat.append({"role": "user", "content": fill(self.given, empty_slots | example)})
            chat.append({"role": "assistant", "content": form.render(answer, structured)})
        chat.append({"role": "user", "content": fill(self.given, values)})
        return chat


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the template with its {slots} filled in one pass: braces within a value stay text.

    A line that contains only an empty slot is removed.
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
    by_name = dict(sections)
    examples = tuple(
        {tag: value.strip("\n") for tag, value in _VALUE.findall(body)}
        for title, body in sections
        if title == "example"
    )
    version = xxh3_64_hexdigest(text.encode())
    return Prompt(name, version, by_name["task"], by_name["given"], examples)


def prompts_version(*names: str) -> str:
    """Return one version for several prompts: 16 hexadecimal digits."""
    versions = (f"{name} {load_prompt(name).version}" for name in names)
    return xxh3_64_hexdigest("\n".join(versions).encode())
