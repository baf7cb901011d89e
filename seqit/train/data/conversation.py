"""Convert a record to the conversation that is trained on: the prompt and the answers."""

from seqit.errors import RowError
from seqit.llm.chat import prompt_messages
from seqit.llm.request import Message
from seqit.records.record import Record


class UntrainableRow(RowError):
    """Raised when a row cannot be trained on; `reason` is its reason code in the statistics."""

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(message, field)
        self.reason = reason


def conversation_of(record: Record) -> list[Message]:
    """Return all turns, the answer last; the prompt is the same as at inference.

    Raises UntrainableRow if a turn of the assistant is blank: it would only teach to stop.
    """
    for number, (_, answer) in enumerate(record.get("history", [])):
        if not answer.strip():
            raise UntrainableRow(
                "no-answer", "the assistant's turn is empty", f"history[{number}][1]"
            )
    if not record["output"].strip():
        raise UntrainableRow("no-answer", "there is no answer to learn", "output")
    return [*prompt_messages(record), {"role": "assistant", "content": record["output"]}]
