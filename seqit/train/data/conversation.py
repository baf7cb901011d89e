"""A record as the conversation that is trained on: what the model is shown, and its answers."""

from seqit.errors import RowError
from seqit.llm.chat import chat_of
from seqit.llm.request import Message
from seqit.records.record import Record


class UntrainableRow(RowError):
    """A row cannot be trained on; `reason` is one word for the account."""

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(message, field)
        self.reason = reason


def conversation_of(record: Record) -> list[Message]:
    """Return all turns, the answer last: the prompt is the one that backends ask with.

    Raises UntrainableRow where a turn of the assistant is blank: nothing but stopping is learnt of it.
    """
    for number, (_, answer) in enumerate(record.get("history", [])):
        if not answer.strip():
            raise UntrainableRow("no-answer", "the assistant says nothing", f"history[{number}][1]")
    if not record["output"].strip():
        raise UntrainableRow("no-answer", "there is no answer to learn", "output")
    return [*chat_of(record), {"role": "assistant", "content": record["output"]}]
