"""The rewrite stage: the instruction becomes a chain by the option that was chosen."""

from seqit.augment.form import Field, Form, Values
from seqit.augment.seq_instruct.llm.chain import Chain, check_chain
from seqit.augment.seq_instruct.llm.question import Questions
from seqit.augment.seq_instruct.llm.source import Source, beside
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.llm.model_call import Asking

STAGE = "rewrite"
FORM = Form((Field("thought"), Field("instruction"), Field("steps", several=True)))


def rewrite(questions: Questions, source: Source, operation: ChainOperation) -> Asking[Chain]:
    """Ask for the chain, until one passes the checks; raises Unanswered."""
    record = questions.record

    def judge(values: Values) -> Chain:
        return check_chain(Chain.of(values), record, source, operation)

    shown = {"original": source.instruction, "beside": beside(record, source)}
    return (yield from questions.ask(STAGE, operation, shown, FORM, judge))
