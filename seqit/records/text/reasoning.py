"""What a reasoning model thinks before it answers, told from the answer."""

import re

UNCLOSED = "the reasoning is cut off: <think> is not closed, and no answer follows it"

_WHOLE = re.compile(r"\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL)
_OPENED = re.compile(r"\s*<(?:think|thinking|reasoning)>")
# Some chat templates open the block themselves, so that the completion only closes it.
_CLOSED_ALONE = re.compile(r"^[ \t]*</(think|thinking|reasoning)>[ \t]*$", re.MULTILINE)


def without_reasoning(text: str) -> str | None:
    """Return the text that follows the reasoning at its beginning; all of it where there is none.

    Where no block is opened, a line that is nothing but its end tag ends it. None: the block is
    never closed, so that nothing of the text is an answer.
    """
    if whole := _WHOLE.match(text):
        return text[whole.end() :]
    if _OPENED.match(text):
        return None
    closed = _CLOSED_ALONE.search(text)
    if closed and f"<{closed[1]}>" not in text:
        return text[closed.end() :]
    return text
