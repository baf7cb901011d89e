"""The refine stage: the model reviews a chain and repairs what the rewrite missed."""

from seqit.augment.form import AnswerField, FieldValues, TaggedForm
from seqit.augment.seq_instruct.llm.chain import RewrittenChain, check_chain
from seqit.augment.seq_instruct.llm.source import RewriteSource, numbered_list, render_context
from seqit.augment.seq_instruct.llm.stage_caller import StageCaller
from seqit.augment.seq_instruct.teacher import ChainOperation
from seqit.llm.model_call import ModelCall, ParseError

STAGE = "refine"
COMPLETE, INCOMPLETE = "complete", "incomplete"
FORM = TaggedForm(
    (
        AnswerField("thought"),
        AnswerField("verdict", choices=(COMPLETE, INCOMPLETE)),
        AnswerField("instruction", allow_empty=True),
        AnswerField("steps", is_list=True, allow_empty=True),
    )
)


def refine(
    caller: StageCaller, source: RewriteSource, chain: RewrittenChain, operation: ChainOperation
) -> ModelCall[RewrittenChain]:
    """Return the chain if the model finds it complete, or its repair; raises CompletionFailed."""
    record = caller.record

    def parse(values: FieldValues) -> RewrittenChain:
        repaired = RewrittenChain.from_fields(values)
        same = repaired.instruction in ("", chain.instruction)
        if values["verdict"] == COMPLETE:
            if not same:
                raise ParseError("the verdict is complete, but another instruction is given")
            return chain
        if same and repaired.steps in ([], chain.steps):
            raise ParseError("the verdict is incomplete, but no mended instruction is given")
        if not repaired.instruction or (chain.steps and not repaired.steps):
            raise ParseError("the mended chain lacks its instruction or its steps")
        return check_chain(repaired, record, source, operation)

    slots = {
        "original": source.instruction,
        "beside": render_context(record, source),
        "chain": chain.instruction,
        "tasks": numbered_list(chain.steps),
    }
    return (yield from caller.complete(STAGE, STAGE, slots, FORM, parse))
