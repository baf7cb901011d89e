"""The part of a record that is rewritten, its context, and how prompts show both."""

from collections.abc import Iterable
from dataclasses import dataclass

from seqit.records.record import Record


@dataclass(frozen=True, slots=True)
class RewriteSource:
    """The part of a record's instruction that is rewritten, and the content that is not.

    `content` is a span of the instruction, byte for byte. It comes before the rest if
    `content_first` is true, else after it, with `separator` in between.
    """

    instruction: str
    content: str = ""
    content_first: bool = False
    separator: str = ""

    def with_content(self, instruction: str) -> str:
        """Return a rewritten instruction with the content in its original place."""
        if not self.content:
            return instruction
        separator = self.separator if "\n" in self.separator else "\n\n"
        if self.content_first:
            return f"{self.content}{separator}{instruction}"
        return f"{instruction}{separator}{self.content}"


def material(record: Record, source: RewriteSource) -> str:
    """Return the text that the instruction works on: the input, or the extracted content."""
    return record["input"] or source.content


def steps_of(record: Record, source: RewriteSource) -> list[str]:
    """Return the tasks of the record's chain; the instruction itself if it is not a chain."""
    return [step["instruction"] for step in record.get("steps", ())] or [source.instruction]


def render_context(record: Record, source: RewriteSource) -> str:
    """Return everything that belongs to the instruction, each part in full within its tags."""
    turns = [f"User: {user}\nAssistant: {reply}" for user, reply in record.get("history", ())]
    images = len(record.get("images", ()))
    parts = {
        "system": record.get("system", ""),
        "conversation": "\n".join(turns),
        "images": str(images) if images else "",
        "input": material(record, source),
        "steps": numbered_list(step["instruction"] for step in record.get("steps", ())),
    }
    return "\n".join(f"<{tag}>\n{text}\n</{tag}>" for tag, text in parts.items() if text)


def numbered_list(texts: Iterable[str]) -> str:
    """Return the texts as a numbered list."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
