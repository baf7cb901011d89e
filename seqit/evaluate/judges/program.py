"""The program judge: verifies the checks of a chain without a model."""

from collections.abc import Iterator

from seqit.checks.alignment.align import AlignedStep, align
from seqit.checks.kinds import CHECK_KINDS
from seqit.evaluate.judges.candidate import Candidate


class ProgramJudge:
    """Verifies every step that has a check, and whether the chain is followed.

    A step is right if a part of the answer passes its check, and the parts of the steps are in
    order. The chain is followed if all steps with a check are right and every other step has a
    part of the answer. Chains without a check are not judged.
    """

    name = "program"

    def run(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield each candidate with its scores added."""
        for candidate in candidates:
            steps = candidate.item.get("steps", [])
            if any("check" in step for step in steps):
                self._add_scores(candidate, align(steps, candidate.answer))
            yield candidate

    def _add_scores(self, candidate: Candidate, aligned: list[AlignedStep]) -> None:
        steps = candidate.item["steps"]
        for position, (step, found) in enumerate(zip(steps, aligned, strict=True), 1):
            if "check" not in step:
                continue
            kind = step["check"]["kind"]
            state = "misplaced" if found.misplaced else "omitted" if found.problem else "done"
            evidence = {"verdict": state, "task": step["instruction"], "check": kind}
            if "name" in step:
                evidence["name"] = step["name"]
            reason = ""
            if found.misplaced:
                reason = "a part of the answer passes, but not in its turn"
            elif found.problem:
                what = CHECK_KINDS[kind].description if kind in CHECK_KINDS else kind
                reason = f"no part of the answer {what}: {found.problem}"
            else:
                evidence["part"] = found.part
            candidate.add_score(
                "step",
                self.name,
                int(not found.problem),
                position=position,
                chain=len(steps),
                reason=reason,
                evidence=evidence,
            )
        candidate.add_score(
            "following",
            self.name,
            int(all(not found.problem and found.part.strip() for found in aligned)),
            chain=len(steps),
            evidence={"verified": sum("check" in step for step in steps)},
        )
