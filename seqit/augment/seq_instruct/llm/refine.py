"""The refine stage: a second look at a chain, which mends what the first one missed."""

from seqit.augment.form import AnswerField, TaggedForm, Values
from seqit.augment.seq_instruct.llm.chain import RewrittenChain, check_chain
from seqit.augment.seq_instruct.llm.question import StageCaller
from seqit.augment.seq_instruct.llm.source import RewriteSource, beside, numbered
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.llm.model_call import ModelCall, ParseError

STAGE = "refine"
COMPLETE, INCOMPLETE = "complete", "incomplete"
FORM = TaggedForm(
    (
        AnswerField("thought"),
        AnswerField("verdict", choices=(COMPLETE, INCOMPLETE)),
        AnswerField("instruction", empty=True),
        AnswerField("steps", several=True, empty=True),
    )
)


def refine(
    questions: StageCaller, source: RewriteSource, chain: RewrittenChain, operation: ChainOperation
) -> ModelCall[RewrittenChain]:
    """Ask whether the chain is complete; return it, or the mended one. Raises Unanswered."""
    record = questions.record

    def judge(values: Values) -> RewrittenChain:
        mended = RewrittenChain.of(values)
        same = mended.instruction in ("", chain.instruction)
        if values["verdict"] == COMPLETE:
            if not same:
                raise ParseError("the verdict is complete, but another instruction is given")
            return chain
        if same and mended.steps in ([], chain.steps):
            raise ParseError("the verdict is incomplete, but no mended instruction is given")
        if not mended.instruction or (chain.steps and not mended.steps):
            raise ParseError("the mended chain lacks its instruction or its steps")
        return check_chain(mended, record, source, operation)

    shown = {
        "original": source.instruction,
        "beside": beside(record, source),
        "chain": chain.instruction,
        "tasks": numbered(chain.steps),
    }
    return (yield from questions.complete(STAGE, STAGE, shown, FORM, judge))
