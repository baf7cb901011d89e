"""Following: whether an answer attempts every task of a chain, in order; yes or no."""

from seqit.evaluate.judges.candidate import Candidate
from seqit.evaluate.judges.metric import AddScore, JudgeContext, ask_judge, material
from seqit.evaluate.judges.output_form import JudgeField, JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt
from seqit.llm.model_call import CompletionFailed, ModelCall

FORM = JudgeOutputForm((JudgeField("followed", "Followed", ("yes", "no")),))


class Following:
    """Asks once for the whole chain, as the paper does."""

    metric = "following"

    def ask(self, bench: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask whether an answer follows its instruction."""
        texts = {**material(bench, candidate), "answer": candidate.answer}
        texts.pop("reference", None)  # how good it is does not matter here
        verdict, _ = yield from ask_judge(bench, candidate, self.metric, FORM, texts)

        def mark(candidate: Candidate) -> None:
            candidate.score(
                self.metric,
                bench.model.name,
                int(verdict.values["followed"] == "yes"),
                chain=len(candidate.chain),
                reason=verdict.reason,
                evidence={"prompt": load_prompt(self.metric).version},
                **bench.about,
            )

        return mark

    def unscored(self, bench: JudgeContext, candidate: Candidate, why: CompletionFailed) -> None:
        """Add to the candidate that nobody knows whether it follows."""
        chain = len(candidate.chain)
        candidate.unscored(self.metric, bench.model.name, why, chain=chain, **bench.about)
