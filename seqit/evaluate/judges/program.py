"""The judge that is a program: it verifies the checks of a chain, and needs no model."""

from collections.abc import Iterator

from seqit.checks.alignment.align import AlignedStep, align
from seqit.checks.kinds import KINDS
from seqit.evaluate.judges.candidate import Candidate


class ProgramJudge:
    """Verifies every step that has a check, and whether the chain is followed.

    A step is right where some part of the answer passes its check, and the parts of the steps
    stand in the answer in their order. The chain is followed where that holds for every step with
    a check and something is said for each of the others. Chains without a check, and answers in
    more parts than can be told apart, are not judged.
    """

    name = "program"

    def run(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield each candidate with its scores added."""
        for candidate in candidates:
            steps = candidate.item.get("steps", [])
            if any("check" in step for step in steps):
                self._score(candidate, align(steps, candidate.answer))
            yield candidate

    def _score(self, candidate: Candidate, assigned: list[AlignedStep]) -> None:
        steps = candidate.item["steps"]
        for position, (step, found) in enumerate(zip(steps, assigned, strict=True), 1):
            if "check" not in step:
                continue
            kind = step["check"]["kind"]
            verdict = "misplaced" if found.elsewhere else "omitted" if found.problem else "done"
            evidence = {"verdict": verdict, "task": step["instruction"], "check": kind}
            if "name" in step:
                evidence["name"] = step["name"]
            reason = ""
            if found.elsewhere:
                reason = "a part of the answer passes, but not in its turn"
            elif found.problem:
                what = KINDS[kind].description if kind in KINDS else kind
                reason = f"no part of the answer {what}: {found.problem}"
            else:
                evidence["part"] = found.part
            candidate.score(
                "step",
                self.name,
                int(not found.problem),
                position=position,
                chain=len(steps),
                reason=reason,
                evidence=evidence,
            )
        candidate.score(
            "following",
            self.name,
            int(all(not found.problem and found.part.strip() for found in assigned)),
            chain=len(steps),
            evidence={"verified": sum("check" in step for step in steps)},
        )
