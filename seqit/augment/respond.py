"""The respond stage: the teacher answers a record's instruction."""

from functools import partial

from seqit.checks.placeholder import EDGES, placeholder_kind
from seqit.llm.chat import chat_of
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall, ParseError
from seqit.records.record import Record
from seqit.records.text.reasoning import UNCLOSED, without_reasoning
from seqit.records.validation import shorten

STAGE = "respond"


def respond(model: ModelClient, record: Record, seed: int) -> ModelCall[str]:
    """Ask for the answer to a record's instruction; raises Unanswered.

    A completion that is cut off, withheld or empty is no answer, and neither is the reasoning
    that a model may put before it.
    """
    given = f"{record['instruction']}\n{record['input']}"
    read = partial(_answer, given=given)
    return (yield from model.complete(record, STAGE, chat_of(record), read, seed=seed))


def _answer(text: str, given: str) -> str:
    answer = without_reasoning(text)
    if answer is None:
        raise ParseError(UNCLOSED, "truncated")
    if not answer.strip():
        raise ParseError("no answer follows the reasoning", "empty")
    answer = answer.strip()
    # What a server says for a failed call; "Error" alone may be what a program prints.
    failed = placeholder_kind(answer) in ("failed-call", "unfilled-slot")
    if failed and answer.strip(EDGES).casefold() != "error" and answer not in given:
        raise ParseError(f"{shorten(answer)!r} stands where the answer should be", "placeholder")
    return answer
