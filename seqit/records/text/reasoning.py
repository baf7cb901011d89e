"""Separation of a reasoning model's thinking from its answer."""

import re

UNCLOSED_REASONING = "the reasoning is cut off: <think> is not closed, and no answer follows it"
"""Error message for a completion without an answer. It is sent to models, so it must not change."""

_WHOLE = re.compile(r"\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL)
_OPENED = re.compile(r"\s*<(?:think|thinking|reasoning)>")
# Some chat templates open the block themselves, so that the completion only closes it.
_CLOSED_ONLY = re.compile(r"^[ \t]*</(think|thinking|reasoning)>[ \t]*$", re.MULTILINE)


def strip_reasoning(text: str) -> str | None:
    """Return the text after the reasoning at its start; the whole text if it has none.

    If no block is opened, a line that has only its end tag ends it. None if the block is never
    closed: then no part of the text is an answer.
    """
    if whole := _WHOLE.match(text):
        return text[whole.end() :]
    if _OPENED.match(text):
        return None
    closed = _CLOSED_ONLY.search(text)
    if closed and f"<{closed[1]}>" not in text:
        return text[closed.end() :]
    return text
