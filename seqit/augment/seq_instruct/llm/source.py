"""What of a record is rewritten, what stays beside it, and how a model is shown both."""

from collections.abc import Iterable
from dataclasses import dataclass

from seqit.records.record import Record


@dataclass(frozen=True, slots=True)
class RewriteSource:
    """The part of a record's instruction that is rewritten, and the content that is not.

    `content` is a span of the instruction, byte for byte; `content_first` says that it stands
    before the rest, with `gap` between them.
    """

    instruction: str
    content: str = ""
    content_first: bool = False
    gap: str = ""

    def lay_out(self, instruction: str) -> str:
        """Return a rewritten instruction with the content where it stood."""
        if not self.content:
            return instruction
        gap = self.gap if "\n" in self.gap else "\n\n"
        if self.content_first:
            return f"{self.content}{gap}{instruction}"
        return f"{instruction}{gap}{self.content}"


def material(record: Record, source: RewriteSource) -> str:
    """Return the text that stays beside the rewritten instruction."""
    return record["input"] or source.content


def steps_of(record: Record, source: RewriteSource) -> list[str]:
    """Return the tasks of which the instruction consists already; itself where it is no chain."""
    return [step["instruction"] for step in record.get("steps", ())] or [source.instruction]


def beside(record: Record, source: RewriteSource) -> str:
    """Return all that belongs to the instruction, in full, each part in tags of its own."""
    turns = [f"User: {user}\nAssistant: {said}" for user, said in record.get("history", ())]
    images = len(record.get("images", ()))
    parts = {
        "system": record.get("system", ""),
        "conversation": "\n".join(turns),
        "images": str(images) if images else "",
        "input": material(record, source),
        "steps": numbered(step["instruction"] for step in record.get("steps", ())),
    }
    return "\n".join(f"<{tag}>\n{text}\n</{tag}>" for tag, text in parts.items() if text)


def numbered(texts: Iterable[str]) -> str:
    """Return the texts as a numbered list."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
