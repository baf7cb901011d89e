"""The refine stage: a second look at a chain, which mends what the first one missed."""

from seqit.augment.form import Field, Form, Values
from seqit.augment.seq_instruct.llm.chain import Chain, check_chain
from seqit.augment.seq_instruct.llm.question import Questions
from seqit.augment.seq_instruct.llm.source import Source, beside, numbered
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.llm.model_call import Asking, Unreadable

STAGE = "refine"
COMPLETE, INCOMPLETE = "complete", "incomplete"
FORM = Form(
    (
        Field("thought"),
        Field("verdict", choices=(COMPLETE, INCOMPLETE)),
        Field("instruction", empty=True),
        Field("steps", several=True, empty=True),
    )
)


def refine(
    questions: Questions, source: Source, chain: Chain, operation: ChainOperation
) -> Asking[Chain]:
    """Ask whether the chain is complete; return it, or the mended one. Raises Unanswered."""
    record = questions.record

    def judge(values: Values) -> Chain:
        mended = Chain.of(values)
        same = mended.instruction in ("", chain.instruction)
        if values["verdict"] == COMPLETE:
            if not same:
                raise Unreadable("the verdict is complete, but another instruction is given")
            return chain
        if same and mended.steps in ([], chain.steps):
            raise Unreadable("the verdict is incomplete, but no mended instruction is given")
        if not mended.instruction or (chain.steps and not mended.steps):
            raise Unreadable("the mended chain lacks its instruction or its steps")
        return check_chain(mended, record, source, operation)

    shown = {
        "original": source.instruction,
        "beside": beside(record, source),
        "chain": chain.instruction,
        "tasks": numbered(chain.steps),
    }
    return (yield from questions.ask(STAGE, STAGE, shown, FORM, judge))
