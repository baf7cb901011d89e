"""Pairwise: which of two answers is better, asked in both orders; a flip is a tie."""

from seqit.evaluate.judges.candidate import Candidate
from seqit.evaluate.judges.metric import (
    AddScore,
    JudgeContext,
    complete_judgement,
    instruction_texts,
)
from seqit.evaluate.judges.output_form import JudgeField, JudgeOutput, JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt
from seqit.llm.model_call import CompletionFailed, ModelCall

FORM = JudgeOutputForm((JudgeField("better", "Better", ("first", "second", "tie")),))


class Pairwise:
    """Asks the judge twice with the answers swapped, so that their order decides nothing."""

    metric = "win"

    def judge(self, context: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask whether the candidate is better than the baseline; equal texts are a tie."""
        assert candidate.against is not None
        answer, baseline = candidate.answer, candidate.against["output"]
        outputs: list[JudgeOutput] = []
        if answer.strip() != baseline.strip():
            texts = instruction_texts(context, candidate)
            for first, second in ((answer, baseline), (baseline, answer)):
                pair = {**texts, "first": first, "second": second}
                output, _ = yield from complete_judgement(
                    context, candidate, "pairwise", FORM, pair
                )
                outputs.append(output)

        def add_score(candidate: Candidate) -> None:
            choices = [output.values["better"] for output in outputs]
            value, flipped = outcome(*choices) if choices else (0.5, False)
            version = load_prompt("pairwise").version
            candidate.add_score(
                self.metric,
                context.model.name,
                value,
                reason="\n\n".join(output.reason for output in outputs if output.reason),
                evidence={"prompt": version, "verdicts": choices, "flipped": flipped},
                **context.score_fields,
            )

        return add_score

    def add_unscored(
        self, context: JudgeContext, candidate: Candidate, failure: CompletionFailed
    ) -> None:
        """Add a score row without a value."""
        name = context.model.name
        candidate.add_unscored(self.metric, name, failure, **context.score_fields)


def outcome(shown_first: str, shown_second: str) -> tuple[float, bool]:
    """Return the candidate's points, and whether the judge's choice flipped with the order.

    The arguments are the judge's choices with the candidate shown first, then second. Choosing
    the same position twice is a flip, which is a tie; so is a win in one order and a tie in the
    other.
    """
    points = {"first": 1.0, "second": 0.0, "tie": 0.5}[shown_first]
    swapped = {"first": 0.0, "second": 1.0, "tie": 0.5}[shown_second]
    return (points if points == swapped else 0.5), abs(points - swapped) == 1
