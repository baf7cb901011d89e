"""Following: whether an answer attempts every task of a chain, in order; yes or no."""

from seqit.evaluate.judges.candidate import Candidate
from seqit.evaluate.judges.metric import (
    AddScore,
    JudgeContext,
    complete_judgement,
    instruction_texts,
)
from seqit.evaluate.judges.output_form import JudgeField, JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt
from seqit.llm.model_call import CompletionFailed, ModelCall

FORM = JudgeOutputForm((JudgeField("followed", "Followed", ("yes", "no")),))


class Following:
    """Asks the judge once about the whole chain, as the paper does."""

    metric = "following"

    def judge(self, context: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask whether the answer follows its instruction."""
        texts = {**instruction_texts(context, candidate), "answer": candidate.answer}
        texts.pop("reference", None)  # the quality of the answer does not matter here
        output, _ = yield from complete_judgement(context, candidate, self.metric, FORM, texts)

        def add_score(candidate: Candidate) -> None:
            candidate.add_score(
                self.metric,
                context.model.name,
                int(output.values["followed"] == "yes"),
                chain=len(candidate.chain),
                reason=output.reason,
                evidence={"prompt": load_prompt(self.metric).version},
                **context.score_fields,
            )

        return add_score

    def add_unscored(
        self, context: JudgeContext, candidate: Candidate, failure: CompletionFailed
    ) -> None:
        """Add a score row without a value."""
        fields = {"chain": len(candidate.chain), **context.score_fields}
        candidate.add_unscored(self.metric, context.model.name, failure, **fields)
