"""The rewrite stage: the instruction becomes a chain by the option that was chosen."""

from seqit.augment.form import AnswerField, TaggedForm, Values
from seqit.augment.seq_instruct.llm.chain import RewrittenChain, check_chain
from seqit.augment.seq_instruct.llm.question import StageCaller
from seqit.augment.seq_instruct.llm.source import RewriteSource, beside
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.llm.model_call import ModelCall

STAGE = "rewrite"
FORM = TaggedForm(
    (AnswerField("thought"), AnswerField("instruction"), AnswerField("steps", several=True))
)


def rewrite(
    questions: StageCaller, source: RewriteSource, operation: ChainOperation
) -> ModelCall[RewrittenChain]:
    """Ask for the chain, until one passes the checks; raises Unanswered."""
    record = questions.record

    def judge(values: Values) -> RewrittenChain:
        return check_chain(RewrittenChain.of(values), record, source, operation)

    shown = {"original": source.instruction, "beside": beside(record, source)}
    return (yield from questions.complete(STAGE, operation, shown, FORM, judge))
