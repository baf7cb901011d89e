"""Pairwise: which of two answers is better, asked in both orders; a flip is a tie."""

from seqit.evaluate.judges.candidate import Candidate
from seqit.evaluate.judges.metric import AddScore, JudgeContext, ask_judge, material
from seqit.evaluate.judges.output_form import JudgeField, JudgeOutput, JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt
from seqit.llm.model_call import CompletionFailed, ModelCall

FORM = JudgeOutputForm((JudgeField("better", "Better", ("first", "second", "tie")),))


class Pairwise:
    """Asks twice, so that an answer's place decides nothing."""

    metric = "win"

    def ask(self, bench: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask whether the candidate is better than what it is compared with; same text, a tie."""
        assert candidate.against is not None
        own, other = candidate.answer, candidate.against["output"]
        verdicts: list[JudgeOutput] = []
        if own.strip() != other.strip():
            texts = material(bench, candidate)
            for first, second in ((own, other), (other, own)):
                pair = {**texts, "first": first, "second": second}
                verdict, _ = yield from ask_judge(bench, candidate, "pairwise", FORM, pair)
                verdicts.append(verdict)

        def mark(candidate: Candidate) -> None:
            said = [verdict.values["better"] for verdict in verdicts]
            value, flipped = outcome(*said) if said else (0.5, False)
            version = load_prompt("pairwise").version
            candidate.score(
                self.metric,
                bench.model.name,
                value,
                reason="\n\n".join(verdict.reason for verdict in verdicts if verdict.reason),
                evidence={"prompt": version, "verdicts": said, "flipped": flipped},
                **bench.about,
            )

        return mark

    def unscored(self, bench: JudgeContext, candidate: Candidate, why: CompletionFailed) -> None:
        """Add to the candidate that the comparison has no outcome."""
        candidate.unscored(self.metric, bench.model.name, why, **bench.about)


def outcome(standing_first: str, standing_second: str) -> tuple[float, bool]:
    """Return the candidate's points, and whether the judge flipped when the order did.

    The verdicts are those where the candidate stands first, then second. Two that name the same
    place are a flip, which is a tie; so is a win in one order and a tie in the other.
    """
    own = {"first": 1.0, "second": 0.0, "tie": 0.5}[standing_first]
    turned = {"first": 0.0, "second": 1.0, "tie": 0.5}[standing_second]
    return (own if own == turned else 0.5), abs(own - turned) == 1
