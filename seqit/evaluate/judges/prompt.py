"""The judge's prompts: one text file each in prompts/, and the frames that texts stand in.

A file has two sections, each begun by a line `%% NAME`: `task` tells the judge what to do, `given`
is the question with its {slots}. The version of a prompt is its file's hash.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources

from xxhash import xxh3_64_hexdigest

from seqit.llm.request import ImagePart, Message, TextPart

_SECTION = re.compile(r"^%% (\w+)\n", re.MULTILINE)
_SLOT = re.compile(r"\{(\w+)\}")
_LETTERS = "bcdfghjkmnpqrstvwxz"
# What a chat template or a tokenizer may take for its own: <|im_end|>, <｜User｜>, [INST], </s>.
_CONTROL = re.compile(
    r"<(?=[|｜]|/?s>|<SYS>>|</SYS>>|/?(?:bos|eos|unk|pad|think)>|(?:start|end)_of_turn>|(?:image|video|audio)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class JudgePrompt:
    """What a judge is told and asked."""

    name: str
    version: str  # 16 hexadecimal digits over the file
    task: str
    given: str

    def messages(
        self,
        texts: Mapping[str, str],
        guidance: str,
        *,
        images: Sequence[str] = (),
        words: Mapping[str, str] | None = None,
    ) -> list[Message]:
        """Return the chat that asks for a verdict on the texts.

        Each text stands in a frame of its own, whose marks do not occur in any of them; where a
        text is not given, its paragraph of the prompt goes. `words` stand without a frame.
        `guidance` says what form the verdict has.
        """
        mark = mark_for(texts.values())
        framed = {name: _framed(name, text, mark) for name, text in texts.items()}
        values = {"mark": mark, **(words or {}), **framed}
        system = f"{_fill(self.task, values)}\n\n{guidance}"
        question = _fill(self.given, values)
        content: str | list[TextPart | ImagePart] = question
        if images:
            parts: list[TextPart | ImagePart] = [
                {"type": "image", "image": image} for image in images
            ]
            content = [*parts, {"type": "text", "text": question}]
        return [{"role": "system", "content": system}, {"role": "user", "content": content}]


def mark_for(texts: Iterable[str]) -> str:
    """Return six letters that occur in none of the texts and that none of them can foresee."""
    whole = "\0".join(texts)
    number = 0
    while True:
        digest = blake2b(f"{number}\0{whole}".encode("utf-8", "surrogatepass"), digest_size=6)
        mark = "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest.digest())
        if mark not in whole.casefold():
            return mark
        number += 1


def harmless(text: str) -> str:
    """Return the text with a blank within whatever a chat template might take for its own."""
    return _CONTROL.sub(lambda match: f"{match[0]} ", text)


def _framed(name: str, text: str, mark: str) -> str:
    return f"<{name}-{mark}>\n{harmless(text)}\n</{name}-{mark}>"


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Put the values into their {slots}, once: braces within a value are text.

    A paragraph with a slot that has no value goes.
    """
    paragraphs = [
        paragraph
        for paragraph in template.split("\n\n")
        if all(name in values for name in _SLOT.findall(paragraph))
    ]
    return _SLOT.sub(lambda slot: values[slot[1]], "\n\n".join(paragraphs))


@cache
def load_prompt(name: str) -> JudgePrompt:
    """Return the prompt of prompts/NAME.txt."""
    text = resources.files("seqit.evaluate").joinpath("prompts", f"{name}.txt").read_text("utf-8")
    _, *pieces = _SECTION.split(text)
    sections = dict(zip(pieces[::2], (piece.strip("\n") for piece in pieces[1::2]), strict=True))
    return JudgePrompt(name, xxh3_64_hexdigest(text.encode()), sections["task"], sections["given"])


def prompts_version(*names: str) -> str:
    """Return the version of several prompts together: 16 hexadecimal digits."""
    versions = (f"{name} {load_prompt(name).version}" for name in names)
    return xxh3_64_hexdigest("\n".join(versions).encode())
