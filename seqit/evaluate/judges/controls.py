"""Planted answers whose verdict is known: they measure the judge, not a model."""

from bisect import insort
from collections import Counter
from collections.abc import Iterator
from typing import Any

from seqit.evaluate.judges.candidate import CONTROL_MODEL, Candidate, Control, Score
from seqit.records.identity import rng_for, stable_hash
from seqit.records.record import Record

STAGE = "control"
REWARD = "reward"

_Kept = list[tuple[int, str, Candidate]]
"""Lot, id and response of the rows with the least lots: a fair sample of all that have come."""


class ControlInjector:
    """Draws `count` items for each kind of control while they pass, and plants them at the end.

    good: the item's reference. empty: nothing. off-topic: what another root's item was answered.
    step-dropped: the reference without one step. A kind that no item allows is not planted; where
    two responses are compared, good and step-dropped are not, whose outcome nobody knows. It
    keeps `count` items of each kind in memory, whatever the number of rows.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._kept: dict[Control, _Kept] = {}

    def watch(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield the candidates as they come, then the planted ones."""
        for candidate in candidates:
            if self._count:
                self._consider(candidate)
            yield candidate
        yield from self._planted()

    def _consider(self, candidate: Candidate) -> None:
        item = candidate.item
        number = stable_hash(self._seed, item["id"], 0, STAGE)
        compared = candidate.against is not None
        self._keep("empty", number, candidate)
        if candidate.answer.strip() or item["output"].strip():
            self._keep("off-topic", number, candidate)
        if not compared and item["output"].strip():
            self._keep("good", number, candidate)
        if not compared and len(_parts(item)) > 1:
            self._keep("step-dropped", number, candidate)

    def _keep(self, kind: Control, number: int, candidate: Candidate) -> None:
        kept = self._kept.setdefault(kind, [])
        entry = (number, candidate.item["id"], candidate)
        most = self._count + (kind == "off-topic")  # one more, whose answer is off the topic
        if len(kept) == most and kept[-1][0] <= number:
            return
        if any(known == entry[1] for _, known, _ in kept):
            return  # another sample, or another model's answer
        insort(kept, entry, key=lambda each: each[:2])
        del kept[most:]

    def _planted(self) -> Iterator[Candidate]:
        for _, _, each in self._kept.get("good", []):
            yield _control(each, "good", each.item["output"])
        for _, _, each in self._kept.get("empty", []):
            yield _control(each, "empty", "")
        yield from self._off_topic()
        for _, key, each in self._kept.get("step-dropped", []):
            parts = _parts(each.item)
            gone = rng_for(self._seed, key, 0, "dropped step").randrange(len(parts))
            left = "\n\n".join(part for n, part in enumerate(parts) if n != gone)
            yield _control(each, "step-dropped", left, gone + 1)

    def _off_topic(self) -> Iterator[Candidate]:
        kept = [each for _, _, each in self._kept.get("off-topic", [])]
        for number, each in enumerate(kept[: self._count]):
            others = (*kept[number + 1 :], *kept[:number])
            root, own = each.response["lineage"]["root"], {each.answer, each.item["output"]}
            answers = (
                other.item["output"] or other.answer
                for other in others
                if other.response["lineage"]["root"] != root
            )
            if answer := next((text for text in answers if text.strip() and text not in own), ""):
                yield _control(each, "off-topic", answer)


def _parts(item: Record) -> list[str]:
    """Return the answer step by step; nothing where a step has none of its own."""
    parts = [step.get("output", "") for step in item.get("steps", [])]
    return parts if all(part.strip() for part in parts) else []


def _control(like: Candidate, kind: Control, answer: str, dropped: int = 0) -> Candidate:
    response = {**like.response, "model": CONTROL_MODEL, "sample": 0, "output": answer}
    for name in ("training", "prompt_tokens", "output_tokens"):
        response.pop(name, None)
    return Candidate(like.row, response, kind, dropped, like.against)


def is_right(score: Score, dropped: int) -> bool | None:
    """Tell whether a judge is right about a planted answer; None where nobody can say.

    quality: good 4 or more, empty 1, off-topic 2 at most, step-dropped below 5. following and
    win: only the good one. step: all of the good one, none of the empty and the off-topic one,
    and not the step that was dropped.
    """
    kind, value, metric = score["control"], score["value"], score["metric"]
    if value is None:
        return None
    if metric in ("quality", "quality_weighted"):
        low, high = {"good": (3.5, 5), "empty": (1, 1.5), "off-topic": (1, 2.5)}.get(kind, (1, 4.9))
        return bool(low <= value <= high)
    if metric in ("following", "win"):
        return bool(value == (kind == "good"))
    if metric == "step":
        if kind != "step-dropped":
            return bool(value == (kind == "good"))
        return bool(value == 0) if score["position"] == dropped else None
    return None


class ControlResults:
    """Counts of planted answers of one judge and metric, by kind: how many, wrong, unread.

    A reward has no scale: it is wrong where it is no less than that of the item's good answer.
    """

    def __init__(self) -> None:
        self._good: dict[str, float] = {}  # the rewards of good answers, by item
        self.seen: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()

    def count(self, score: Score, dropped: int) -> None:
        """Count one score of a planted answer."""
        kind = score["control"]
        if score["status"] != "scored":
            self.unread[kind] += 1
            return
        right = is_right(score, dropped)
        if score["metric"] == REWARD:
            good = self._good.get(score["id"])
            right = None if good is None else bool(score["value"] < good)
            if kind == "good":
                self._good[score["id"]] = score["value"]
        if right is not None:
            self.seen[kind] += 1
            self.wrong[kind] += not right

    def counts(self) -> dict[str, Any]:
        """Return the counts as the manifest has them."""
        kinds = sorted({*self.seen, *self.unread})
        return {
            kind: {n: c[kind] for n, c in (("n", self.seen), ("wrong", self.wrong),
                                           ("unread", self.unread))}
            for kind in kinds
        }  # fmt: skip

    def line(self) -> str:
        """Return what a person is told; empty where nothing was planted."""
        if not self.seen and not self.unread:
            return ""
        wrong = [f"{kind} {n} of {self.seen[kind]}" for kind, n in self.wrong.items() if n]
        text = f"planted answers: {self.wrong.total()} of {self.seen.total()} judged wrongly"
        text += f" ({', '.join(wrong)})" if wrong else ""
        return text + (f", {self.unread.total()} without a verdict" if self.unread else "")
