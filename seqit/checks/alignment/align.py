"""Assign parts of an answer to the steps of its chain so that the most checks pass."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from seqit.checks import text_units, verify
from seqit.records.record import Step

MAX_PIECES = 16
"""The largest number of pieces of an answer whose combinations are all tried."""

# "Step 2: 48", "**Task 2** 48", "2. 48": the label of the part that follows.
_LABEL = re.compile(r"[\W_]*(?:(?:step|task|part)\s*\d{1,2}\b[\W_]*|\(?\d{1,2}[.)]\s+)", re.I)
_HEADING = re.compile(
    r"#{1,6} .*|\*\*[^*\n]{1,80}\*\*:?|[\W_]*(?:step|task|part)\s*\d{1,2}\b[^\n]{0,80}:?", re.I
)

PartSpan = tuple[int, int]
"""A run of pieces (start, end), end exclusive; empty if both are equal."""
AlignmentScore = tuple[int, int]
"""(steps whose check passes, steps without a check that have a part)"""
_Row = dict[PartSpan, tuple[AlignmentScore, PartSpan]]
"""For each part of a step: the best score, and the part of the step before that gives it."""


class AlignedStep(NamedTuple):
    """A step's part of the answer, and what is wrong with it; "" if it passes.

    `misplaced`: some part of the answer passes the check, but not in the order of the steps.
    """

    part: str
    problem: str
    misplaced: bool = False


def align(steps: Sequence[Step], answer: str) -> list[AlignedStep]:
    """Return each step's part of the answer; the parts are in the order of the steps.

    The answer is split at blank lines, then at lines, then at sentences; the first segmentation
    under which everything passes is used, or else the one with the highest score. Text between
    parts may belong to no step; but the part of a derived step must directly follow the part that
    it works on, except for headings. A label such as "Step 2:" is not a part of the step's answer.
    """
    best: list[AlignedStep] = []
    best_score = (-1, -1)
    for pieces in _segmentations(answer):
        score, aligned = _AlignmentSearch(steps, answer, pieces).best()
        if score > best_score:
            best_score, best = score, aligned
        if all(not each.problem and each.part for each in aligned):
            break
    return best


def _segmentations(answer: str) -> Iterator[list[PartSpan]]:
    """Yield the positions of the pieces at each granularity, with at most MAX_PIECES pieces."""
    earlier: list[list[PartSpan]] = []
    for split in (text_units.paragraphs, text_units.lines, text_units.sentences):
        positions = _locate(answer, split(answer))
        if split is not text_units.sentences:
            positions = _join_middle(positions)
        if positions not in earlier and len(positions) <= MAX_PIECES:
            earlier.append(positions)
            yield positions


def _locate(answer: str, pieces: Sequence[str]) -> list[PartSpan]:
    """Return (start, end) in the answer of each piece, in order."""
    positions, start = [], 0
    for piece in pieces:
        found = answer.find(piece, start)
        if found < 0:  # the split has changed the piece's text; it is left out
            continue
        positions.append((found, found + len(piece)))
        start = found + len(piece)
    return positions


def _join_middle(positions: list[PartSpan]) -> list[PartSpan]:
    """Return at most MAX_PIECES pieces: the first and last ones, and those in the middle joined."""
    if len(positions) <= MAX_PIECES:
        return positions
    half = MAX_PIECES // 2
    middle = (positions[half - 1][0], positions[-half][1])
    return [*positions[: half - 1], middle, *positions[1 - half :]]


class _AlignmentSearch:
    """Dynamic programming over the steps: the best score for each part of the latest step."""

    def __init__(self, steps: Sequence[Step], answer: str, pieces: Sequence[PartSpan]) -> None:
        self._steps = steps
        self._answer = answer
        self._pieces = pieces
        count = len(pieces)
        self._spans = [(a, b) for a in range(count) for b in range(a + 1, count + 1)]
        self._cached_verify: Callable[[int, str, str], str | None] = cache(self._verify)

    def best(self) -> tuple[AlignmentScore, list[AlignedStep]]:
        """Return the highest score, and the steps with the parts that give it."""
        rows: list[_Row] = []
        before: dict[PartSpan, AlignmentScore] = {(0, 0): (0, 0)}
        for number in range(len(self._steps)):
            row = self._score_parts(number, before)
            rows.append(row)
            before = {span: score for span, (score, _) in row.items()}
        last = max(before, key=lambda span: (before[span], -span[1], -span[0]))
        spans = [last]
        for row in rows[:0:-1]:
            spans.append(row[spans[-1]][1])
        spans.reverse()
        return before[last], self._aligned_steps(spans)

    def _score_parts(self, number: int, before: dict[PartSpan, AlignmentScore]) -> _Row:
        """Return the best scores for the parts of a step, given those of the step before."""
        row: _Row = {}

        def update(span: PartSpan, score: AlignmentScore, earlier: PartSpan) -> None:
            if span not in row or score > row[span][0]:
                row[span] = score, earlier

        reachable = self._best_up_to(before)
        for end, (score, earlier) in reachable.items():
            update((end, end), score, earlier)  # an empty part for this step
        derived = self._is_derived(number)
        for span in self._spans:
            if span[0] not in reachable:
                continue
            (passed, unchecked), earlier = reachable[span[0]]
            if "check" not in self._steps[number]:
                update(span, (passed, unchecked + 1), earlier)
            elif not derived and self._cached_verify(number, self._text(span), "") is None:
                update(span, (passed + 1, unchecked), earlier)
        if derived:
            for earlier, (passed, unchecked) in before.items():
                if earlier[0] == earlier[1]:
                    continue
                for span in self._spans_after(earlier[1]):
                    if self._cached_verify(number, self._text(span), self._text(earlier)) is None:
                        update(span, (passed + 1, unchecked), earlier)
        return row

    def _spans_after(self, position: int) -> Iterator[PartSpan]:
        """Yield the spans that begin at a piece, or after the headings that begin there."""
        count = len(self._pieces)
        for start in range(position, count):
            for end in range(start + 1, count + 1):
                yield start, end
            if not _HEADING.fullmatch(self._text((start, start + 1))):
                break

    def _best_up_to(
        self, before: dict[PartSpan, AlignmentScore]
    ) -> dict[int, tuple[AlignmentScore, PartSpan]]:
        """Return for each position the best of the parts that end there or earlier."""
        ends: dict[int, tuple[AlignmentScore, PartSpan]] = {}
        for span, score in before.items():
            if span[1] not in ends or score > ends[span[1]][0]:
                ends[span[1]] = score, span
        best_up_to: dict[int, tuple[AlignmentScore, PartSpan]] = {}
        best: tuple[AlignmentScore, PartSpan] | None = None
        for position in range(len(self._pieces) + 1):
            if position in ends and (best is None or ends[position][0] > best[0]):
                best = ends[position]
            if best is not None:
                best_up_to[position] = best
        return best_up_to

    def _is_derived(self, number: int) -> bool:
        return self._steps[number].get("check", {}).get("of") == "previous"

    def _verify(self, number: int, part: str, earlier: str) -> str | None:
        """Return None if the step's check passes with or without the parts' labels."""
        check = self._steps[number].get("check", {})
        problem: str | None = None
        for before in _with_and_without_label(earlier):
            for answer in _with_and_without_label(part):
                found = verify(check, answer, [before] if before else [])
                if found is None:
                    return None
                problem = problem or found
        return problem

    def _text(self, span: PartSpan) -> str:
        first, last = span
        if first == last:
            return ""
        return self._answer[self._pieces[first][0] : self._pieces[last - 1][1]]

    def _aligned_steps(self, spans: Sequence[PartSpan]) -> list[AlignedStep]:
        aligned: list[AlignedStep] = []
        for number, span in enumerate(spans):
            part = self._text(span)
            if "check" in self._steps[number]:
                earlier = aligned[-1].part if aligned else ""
                problem = self._verify(number, part, earlier) or ""
                misplaced = bool(problem) and self._passes_somewhere(number, earlier)
                aligned.append(AlignedStep(part, problem, misplaced))
            else:
                aligned.append(AlignedStep(part, "" if part else "nothing is said for this step"))
        return aligned

    def _passes_somewhere(self, number: int, earlier: str) -> bool:
        before = earlier if self._is_derived(number) else ""
        texts = map(self._text, self._spans)
        return any(self._cached_verify(number, text, before) is None for text in texts)


def _with_and_without_label(part: str) -> list[str]:
    """Return the part, and the part without its label if it has one."""
    label = _LABEL.match(part)
    return [part, part[label.end() :]] if label and label.end() < len(part) else [part]
