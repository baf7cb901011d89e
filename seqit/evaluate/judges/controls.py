"""Control items: answers for which the right judgement is known. They measure the judge."""

from bisect import insort
from collections import Counter
from collections.abc import Iterator
from typing import Any

from seqit.evaluate.judges.candidate import CONTROL_MODEL, Candidate, Control, Score
from seqit.records.identity import rng_for, stable_hash
from seqit.records.record import Record

STAGE = "control"
REWARD = "reward"

_HashSample = list[tuple[int, str, Candidate]]
"""(hash, item id, response) of the items with the smallest hashes: a uniform random sample."""


class ControlInjector:
    """Samples `count` items for each kind of control as they pass, and adds controls at the end.

    good: the item's reference. empty: no text. off-topic: the answer to an item of another root.
    step-dropped: the reference without one step. A kind that no item allows is left out. In a
    pairwise comparison, so are good and step-dropped, because the right outcome is unknown.
    Memory: `count` items of each kind, whatever the number of rows.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._samples: dict[Control, _HashSample] = {}

    def inject(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield the candidates, then the control items."""
        for candidate in candidates:
            if self._count:
                self._sample(candidate)
            yield candidate
        yield from self._control_items()

    def _sample(self, candidate: Candidate) -> None:
        """Add a candidate to the sample of each kind that its item allows."""
        item = candidate.item
        item_hash = stable_hash(self._seed, item["id"], 0, STAGE)
        is_pairwise = candidate.against is not None
        self._add("empty", item_hash, candidate)
        if candidate.answer.strip() or item["output"].strip():
            self._add("off-topic", item_hash, candidate)
        if not is_pairwise and item["output"].strip():
            self._add("good", item_hash, candidate)
        if not is_pairwise and len(_parts(item)) > 1:
            self._add("step-dropped", item_hash, candidate)

    def _add(self, kind: Control, item_hash: int, candidate: Candidate) -> None:
        sample = self._samples.setdefault(kind, [])
        entry = (item_hash, candidate.item["id"], candidate)
        size = self._count + (kind == "off-topic")  # one more, as the source of another answer
        if len(sample) == size and sample[-1][0] <= item_hash:
            return
        if any(item_id == entry[1] for _, item_id, _ in sample):
            return  # another sample or model for the same item
        insort(sample, entry, key=lambda each: each[:2])
        del sample[size:]

    def _control_items(self) -> Iterator[Candidate]:
        for _, _, candidate in self._samples.get("good", []):
            yield _control_item(candidate, "good", candidate.item["output"])
        for _, _, candidate in self._samples.get("empty", []):
            yield _control_item(candidate, "empty", "")
        yield from self._off_topic()
        for _, item_id, candidate in self._samples.get("step-dropped", []):
            parts = _parts(candidate.item)
            dropped = rng_for(self._seed, item_id, 0, "dropped step").randrange(len(parts))
            rest = "\n\n".join(part for n, part in enumerate(parts) if n != dropped)
            yield _control_item(candidate, "step-dropped", rest, dropped + 1)

    def _off_topic(self) -> Iterator[Candidate]:
        sample = [candidate for _, _, candidate in self._samples.get("off-topic", [])]
        for number, candidate in enumerate(sample[: self._count]):
            others = (*sample[number + 1 :], *sample[:number])
            root = candidate.response["lineage"]["root"]
            own = {candidate.answer, candidate.item["output"]}
            answers = (
                other.item["output"] or other.answer
                for other in others
                if other.response["lineage"]["root"] != root
            )
            if answer := next((text for text in answers if text.strip() and text not in own), ""):
                yield _control_item(candidate, "off-topic", answer)


def _parts(item: Record) -> list[str]:
    """Return the answers of the steps; empty if a step has none."""
    parts = [step.get("output", "") for step in item.get("steps", [])]
    return parts if all(part.strip() for part in parts) else []


def _control_item(base: Candidate, kind: Control, answer: str, dropped: int = 0) -> Candidate:
    response = {**base.response, "model": CONTROL_MODEL, "sample": 0, "output": answer}
    for name in ("training", "prompt_tokens", "output_tokens"):
        response.pop(name, None)
    return Candidate(base.row, response, kind, dropped, base.against)


def is_correct(score: Score, dropped: int) -> bool | None:
    """Return whether a judge is right about a control item; None if that is not decidable.

    quality: good at least 4, empty 1, off-topic at most 2, step-dropped below 5. following and
    win: 1 for the good one only. step: 1 for all of the good one, 0 for empty and off-topic, and
    0 for the step that was dropped.
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
    """Counts of one judge's and metric's scores of control items by kind: decidable, wrong, unread.

    A reward has no scale: it is wrong if it is not less than the reward of the item's good answer.
    """

    def __init__(self) -> None:
        self._good_rewards: dict[str, float] = {}  # by item
        self.judged: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.unread: Counter[str] = Counter()

    def count(self, score: Score, dropped: int) -> None:
        """Count one score of a control item."""
        kind = score["control"]
        if score["status"] != "scored":
            self.unread[kind] += 1
            return
        correct = is_correct(score, dropped)
        if score["metric"] == REWARD:
            good = self._good_rewards.get(score["id"])
            correct = None if good is None else bool(score["value"] < good)
            if kind == "good":
                self._good_rewards[score["id"]] = score["value"]
        if correct is not None:
            self.judged[kind] += 1
            self.wrong[kind] += not correct

    def counts(self) -> dict[str, Any]:
        """Return the counts for the manifest."""
        kinds = sorted({*self.judged, *self.unread})
        return {
            kind: {
                "n": self.judged[kind],
                "wrong": self.wrong[kind],
                "unread": self.unread[kind],
            }
            for kind in kinds
        }

    def summary(self) -> str:
        """Return the counts as a text for the run report; empty if there were no control items."""
        if not self.judged and not self.unread:
            return ""
        wrong = [f"{kind} {n} of {self.judged[kind]}" for kind, n in self.wrong.items() if n]
        text = f"control items: {self.wrong.total()} of {self.judged.total()} judged wrongly"
        text += f" ({', '.join(wrong)})" if wrong else ""
        return text + (f", {self.unread.total()} without a judgement" if self.unread else "")
