"""Which part of an answer belongs to which step: the assignment under which most checks pass."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from seqit.checks import measures, verify
from seqit.records.record import Step

MOST_PARTS = 16
"""Pieces of an answer that are tried in every combination."""

# "Step 2: 48", "**Task 2** 48", "2. 48": what an answer calls the part that follows.
_LABEL = re.compile(r"[\W_]*(?:(?:step|task|part)\s*\d{1,2}\b[\W_]*|\(?\d{1,2}[.)]\s+)", re.I)
_HEADING = re.compile(
    r"#{1,6} .*|\*\*[^*\n]{1,80}\*\*:?|[\W_]*(?:step|task|part)\s*\d{1,2}\b[^\n]{0,80}:?", re.I
)

PartSpan = tuple[int, int]
"""A run of pieces, from the first to before the last; empty where both are the same."""
Gain = tuple[int, int]
"""Checks that pass, and steps without a check for which something is said."""


class AlignedStep(NamedTuple):
    """A step's part of the answer, and what is wrong with it; nothing where it passes.

    `elsewhere`: some part of the answer passes, but it does not stand in its turn.
    """

    part: str
    problem: str
    elsewhere: bool = False


def align(steps: Sequence[Step], answer: str) -> list[AlignedStep]:
    """Return each step's part of the answer, the parts in the order of the steps.

    The answer is cut at blank lines, then at lines, then at sentences; the first cut under which
    everything passes is taken, or else the one under which most does. Between parts text may
    stand that belongs to none; a step that works on the answer before it follows that directly,
    headings apart. A label such as "Step 2:" is no part of what it labels.
    """
    best: list[AlignedStep] = []
    gained = (-1, -1)
    for pieces in _cuts(answer):
        gain, found = _Search(steps, answer, pieces).best()
        if gain > gained:
            gained, best = gain, found
        if all(not each.problem and each.part for each in found):
            break
    return best


def _cuts(answer: str) -> Iterator[list[PartSpan]]:
    """Yield the ways to cut an answer, as the places of its pieces; not finer than can be tried."""
    seen: list[list[PartSpan]] = []
    for cut in (measures.paragraphs, measures.lines, measures.sentences):
        places = _places(answer, cut(answer))
        if cut is not measures.sentences:
            places = _together(places)
        if places not in seen and len(places) <= MOST_PARTS:
            seen.append(places)
            yield places


def _places(answer: str, pieces: Sequence[str]) -> list[PartSpan]:
    places, start = [], 0
    for piece in pieces:
        found = answer.find(piece, start)
        if found < 0:  # a piece that is no longer the text's own: it goes with the one before
            continue
        places.append((found, found + len(piece)))
        start = found + len(piece)
    return places


def _together(places: list[PartSpan]) -> list[PartSpan]:
    """Return at most MOST_PARTS pieces: the first and last ones alone, those between joined."""
    if len(places) <= MOST_PARTS:
        return places
    half = MOST_PARTS // 2
    middle = (places[half - 1][0], places[-half][1])
    return [*places[: half - 1], middle, *places[1 - half :]]


class _Search:
    """Dynamic programming over the steps: for each part of the last one, the best so far."""

    def __init__(self, steps: Sequence[Step], answer: str, pieces: Sequence[PartSpan]) -> None:
        self._steps = steps
        self._answer = answer
        self._pieces = pieces
        count = len(pieces)
        self._spans = [(a, b) for a in range(count) for b in range(a + 1, count + 1)]
        self._verify: Callable[[int, str, str], str | None] = cache(self._verified)

    def best(self) -> tuple[Gain, list[AlignedStep]]:
        """Return the highest gain, and the parts that give it."""
        rows: list[dict[PartSpan, tuple[Gain, PartSpan]]] = []
        before: dict[PartSpan, Gain] = {(0, 0): (0, 0)}
        for number in range(len(self._steps)):
            row = self._step(number, before)
            rows.append(row)
            before = {span: gain for span, (gain, _) in row.items()}
        last = max(before, key=lambda span: (before[span], -span[1], -span[0]))
        spans = [last]
        for row in rows[:0:-1]:
            spans.append(row[spans[-1]][1])
        spans.reverse()
        return before[last], self._told(spans)

    def _step(
        self, number: int, before: dict[PartSpan, Gain]
    ) -> dict[PartSpan, tuple[Gain, PartSpan]]:
        """Return for each part of a step the best gain, and the part before that gives it."""
        row: dict[PartSpan, tuple[Gain, PartSpan]] = {}

        def offer(span: PartSpan, gain: Gain, earlier: PartSpan) -> None:
            if span not in row or gain > row[span][0]:
                row[span] = gain, earlier

        reach = self._reach(before)
        for end, (gain, earlier) in reach.items():
            offer((end, end), gain, earlier)  # nothing is said for this step
        derived = self._is_derived(number)
        for span in self._spans:
            if span[0] not in reach:
                continue
            (passed, said), earlier = reach[span[0]]
            if "check" not in self._steps[number]:
                offer(span, (passed, said + 1), earlier)
            elif not derived and self._verify(number, self._text(span), "") is None:
                offer(span, (passed + 1, said), earlier)
        if derived:
            for earlier, (passed, said) in before.items():
                if earlier[0] == earlier[1]:
                    continue
                for span in self._behind(earlier[1]):
                    if self._verify(number, self._text(span), self._text(earlier)) is None:
                        offer(span, (passed + 1, said), earlier)
        return row

    def _behind(self, place: int) -> Iterator[PartSpan]:
        """Yield the parts that begin here, or behind the headings that stand here."""
        count = len(self._pieces)
        for start in range(place, count):
            for end in range(start + 1, count + 1):
                yield start, end
            if not _HEADING.fullmatch(self._text((start, start + 1))):
                break

    def _reach(self, before: dict[PartSpan, Gain]) -> dict[int, tuple[Gain, PartSpan]]:
        """Return for each place the best gain of what ends there or earlier."""
        ends: dict[int, tuple[Gain, PartSpan]] = {}
        for span, gain in before.items():
            if span[1] not in ends or gain > ends[span[1]][0]:
                ends[span[1]] = gain, span
        reach: dict[int, tuple[Gain, PartSpan]] = {}
        best: tuple[Gain, PartSpan] | None = None
        for place in range(len(self._pieces) + 1):
            if place in ends and (best is None or ends[place][0] > best[0]):
                best = ends[place]
            if best is not None:
                reach[place] = best
        return reach

    def _is_derived(self, number: int) -> bool:
        return self._steps[number].get("check", {}).get("of") == "previous"

    def _verified(self, number: int, part: str, earlier: str) -> str | None:
        check = self._steps[number].get("check", {})
        problem: str | None = None
        for before in _readings(earlier):
            for reading in _readings(part):
                found = verify(check, reading, [before] if before else [])
                if found is None:
                    return None
                problem = problem or found
        return problem

    def _text(self, span: PartSpan) -> str:
        first, last = span
        if first == last:
            return ""
        return self._answer[self._pieces[first][0] : self._pieces[last - 1][1]]

    def _told(self, spans: Sequence[PartSpan]) -> list[AlignedStep]:
        told: list[AlignedStep] = []
        for number, span in enumerate(spans):
            part = self._text(span)
            if "check" in self._steps[number]:
                earlier = told[-1].part if told else ""
                problem = self._verified(number, part, earlier) or ""
                elsewhere = bool(problem) and self._passes_somewhere(number, earlier)
                told.append(AlignedStep(part, problem, elsewhere))
            else:
                told.append(AlignedStep(part, "" if part else "nothing is said for this step"))
        return told

    def _passes_somewhere(self, number: int, earlier: str) -> bool:
        before = earlier if self._is_derived(number) else ""
        return any(self._verify(number, self._text(span), before) is None for span in self._spans)


def _readings(part: str) -> list[str]:
    """Return the part as it stands, and without the label in front of it."""
    label = _LABEL.match(part)
    return [part, part[label.end() :]] if label and label.end() < len(part) else [part]
