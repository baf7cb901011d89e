"""The rewrite stage: turn the instruction into a chain by the chosen operation."""

from seqit.augment.form import AnswerField, FieldValues, TaggedForm
from seqit.augment.seq_instruct.llm.chain import RewrittenChain, check_chain
from seqit.augment.seq_instruct.llm.source import RewriteSource, render_context
from seqit.augment.seq_instruct.llm.stage_caller import StageCaller
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.llm.model_call import ModelCall

STAGE = "rewrite"
FORM = TaggedForm(
    (AnswerField("thought"), AnswerField("instruction"), AnswerField("steps", is_list=True))
)


def rewrite(
    caller: StageCaller, source: RewriteSource, operation: ChainOperation
) -> ModelCall[RewrittenChain]:
    """Return a chain that passes the checks; raises CompletionFailed."""
    record = caller.record

    def parse(values: FieldValues) -> RewrittenChain:
        return check_chain(RewrittenChain.from_fields(values), record, source, operation)

    slots = {"original": source.instruction, "beside": render_context(record, source)}
    return (yield from caller.complete(STAGE, operation, slots, FORM, parse))
