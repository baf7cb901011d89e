"""Judge prompts: one text file each in prompts/, and the delimited frames around inserted texts.

A file has two sections, each started by a line `%% NAME`: `task` is the system message, `given`
the user message; both have {slots}. The version of a prompt is the hash of its file.
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
# Control tokens of chat templates and tokenizers: <|im_end|>, <｜User｜>, [INST], </s>.
_CONTROL_TOKEN = re.compile(
    r"<(?=[|｜]|/?s>|<SYS>>|</SYS>>|/?(?:bos|eos|unk|pad|think)>|(?:start|end)_of_turn>|(?:image|video|audio)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class JudgePrompt:
    """The prompt of a judge: templates of the system and the user message."""

    name: str
    version: str  # 16 hexadecimal digits, the hash of the file
    task: str
    question: str

    def render(
        self,
        texts: Mapping[str, str],
        instructions: str,
        *,
        images: Sequence[str] = (),
        unframed: Mapping[str, str] | None = None,
    ) -> list[Message]:
        """Return the chat messages that ask for a judgement of the texts.

        texts: slot → text; each is put into a frame whose delimiter occurs in none of them. A
        paragraph of the prompt is left out if its text is missing. instructions: the output
        format. unframed: slot → text that is inserted without a frame.
        """
        delimiter = delimiter_for(texts.values())
        framed = {name: _frame(name, text, delimiter) for name, text in texts.items()}
        values = {"mark": delimiter, **(unframed or {}), **framed}
        system = f"{_fill_slots(self.task, values)}\n\n{instructions}"
        question = _fill_slots(self.question, values)
        content: str | list[TextPart | ImagePart] = question
        if images:
            parts: list[TextPart | ImagePart] = [
                {"type": "image", "image": image} for image in images
            ]
            content = [*parts, {"type": "text", "text": question}]
        return [{"role": "system", "content": system}, {"role": "user", "content": content}]


def delimiter_for(texts: Iterable[str]) -> str:
    """Return six letters that occur in none of the texts, and that no text can predict.

    They are derived from a hash of all texts.
    """
    joined = "\0".join(texts)
    number = 0
    while True:
        digest = blake2b(f"{number}\0{joined}".encode("utf-8", "surrogatepass"), digest_size=6)
        delimiter = "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest.digest())
        if delimiter not in joined.casefold():
            return delimiter
        number += 1


def neutralize_control_tokens(text: str) -> str:
    """Return the text with a space inside every control token, so that it has no effect."""
    return _CONTROL_TOKEN.sub(lambda match: f"{match[0]} ", text)


def _frame(name: str, text: str, delimiter: str) -> str:
    return f"<{name}-{delimiter}>\n{neutralize_control_tokens(text)}\n</{name}-{delimiter}>"


def _fill_slots(template: str, values: Mapping[str, str]) -> str:
    """Replace each {slot} by its value; braces in values are not slots.

    A paragraph with a slot that has no value is left out.
    """
    paragraphs = [
        paragraph
        for paragraph in template.split("\n\n")
        if all(name in values for name in _SLOT.findall(paragraph))
    ]
    return _SLOT.sub(lambda slot: values[slot[1]], "\n\n".join(paragraphs))


@cache
def load_prompt(name: str) -> JudgePrompt:
    """Load the prompt prompts/NAME.txt."""
    text = resources.files("seqit.evaluate").joinpath("prompts", f"{name}.txt").read_text("utf-8")
    _, *pieces = _SECTION.split(text)
    sections = dict(zip(pieces[::2], (piece.strip("\n") for piece in pieces[1::2]), strict=True))
    return JudgePrompt(name, xxh3_64_hexdigest(text.encode()), sections["task"], sections["given"])


def prompts_version(*names: str) -> str:
    """Return one version for several prompts: 16 hexadecimal digits."""
    versions = (f"{name} {load_prompt(name).version}" for name in names)
    return xxh3_64_hexdigest("\n".join(versions).encode())
