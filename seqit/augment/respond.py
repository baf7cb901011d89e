"""The respond stage: the teacher answers a record's instruction."""

from seqit.backends.asking import Asking
from seqit.backends.chat import chat_of
from seqit.backends.model import Model
from seqit.records.record import Record

STAGE = "respond"


def respond(model: Model, record: Record, seed: int) -> Asking[str]:
    """Ask for the answer to a record's instruction; raises Unanswered.

    A completion that is cut off, withheld or empty is no answer.
    """
    return (yield from model.ask(record, STAGE, chat_of(record), str.strip, seed=seed))
