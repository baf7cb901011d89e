"""The respond stage: the teacher answers a record's instruction."""

from functools import partial

from seqit.checks.placeholder import EDGE_CHARACTERS, placeholder_kind
from seqit.llm.chat import prompt_messages
from seqit.llm.client import ModelClient
from seqit.llm.model_call import ModelCall, ParseError
from seqit.records.record import Record
from seqit.records.text.reasoning import UNCLOSED_REASONING, strip_reasoning
from seqit.records.validation import shorten

STAGE = "respond"


def respond(model: ModelClient, record: Record, seed: int) -> ModelCall[str]:
    """Return the model's answer to a record's instruction; raises CompletionFailed.

    A completion that is truncated, filtered or empty is not an answer; reasoning before the
    answer is removed.
    """
    task = f"{record['instruction']}\n{record['input']}"
    parse = partial(_parse_answer, task=task)
    return (yield from model.complete(record, STAGE, prompt_messages(record), parse, seed=seed))


def _parse_answer(text: str, task: str) -> str:
    answer = strip_reasoning(text)
    if answer is None:
        raise ParseError(UNCLOSED_REASONING, "truncated")
    if not answer.strip():
        raise ParseError("no answer follows the reasoning", "empty")
    answer = answer.strip()
    # A server's text for a failed call; "Error" alone may be the correct output of a program.
    failed = placeholder_kind(answer) in ("failed-call", "unfilled-slot")
    if failed and answer.strip(EDGE_CHARACTERS).casefold() != "error" and answer not in task:
        raise ParseError(f"{shorten(answer)!r} stands where the answer should be", "placeholder")
    return answer
