"""Judging: responses go by one judge after the other, and come out as scores."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seqit.errors import SeqitError
from seqit.evaluate.judges.candidate import Candidate, Judge, Score
from seqit.evaluate.judges.controls import ControlInjector, ControlResults
from seqit.evaluate.judges.following import Following
from seqit.evaluate.judges.metric import AddScore, JudgeContext, JudgeMetric
from seqit.evaluate.judges.pairwise import Pairwise
from seqit.evaluate.judges.quality import Quality
from seqit.evaluate.judges.steps import Steps
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.run_stats import Row, RunStats

CONTROLS = 5
STAGE = "judge"


def judge_metrics(metrics: Sequence[str], compared: bool) -> list[JudgeMetric]:
    """Return the measures by name; where two models are compared, the comparison."""
    if compared:
        return [Pairwise()]
    made: dict[str, JudgeMetric] = {
        "quality": Quality(),
        "following": Following(),
        "steps": Steps(whole="following" not in metrics),
    }
    return [made[name] for name in metrics]


class _JudgeCall(NamedTuple):
    candidate: Candidate
    measure: JudgeMetric
    bench: JudgeContext
    is_last: bool  # of its candidate


class ModelJudge:
    """A language model that judges: every measure, `votes` times each.

    References are shown to it unless `references` is false. `weighted` adds to the quality the
    mean of the scale under the judge's own chances, where the backend gives log probabilities.
    """

    def __init__(
        self,
        model: ModelClient,
        measures: Sequence[JudgeMetric],
        *,
        seed: int,
        votes: int = 1,
        references: bool = True,
        weighted: bool = False,
    ) -> None:
        self.name = model.name
        self._model = model
        numbers = range(1, votes + 1) if votes > 1 else [0]
        benches = [JudgeContext(model, seed, vote, references, weighted) for vote in numbers]
        self._asked = [(measure, bench) for measure in measures for bench in benches]

    def run(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield each candidate with this judge's scores added, in order."""

        def tasks() -> Iterator[_JudgeCall]:
            for candidate in candidates:
                for number, (measure, bench) in enumerate(self._asked, 1):
                    yield _JudgeCall(candidate, measure, bench, number == len(self._asked))

        def work(task: _JudgeCall) -> ModelCall[AddScore]:
            return (yield from task.measure.ask(task.bench, task.candidate))

        for task, found in self._model.run(tasks(), work):
            if isinstance(found, CompletionFailed):
                task.measure.unscored(task.bench, task.candidate, found)
            else:
                found(task.candidate)
            if task.is_last:
                yield task.candidate


@dataclass(slots=True)
class JudgeTally:
    """What one judge said of one metric: the numbers, and those without one."""

    total: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    flips: int = 0
    health: ControlResults = field(default_factory=ControlResults)

    def count(self, score: Score, dropped: int) -> None:
        """Count one score."""
        if "control" in score:
            self.health.count(score, dropped)
            return
        self.statuses[score["status"]] += 1
        self.total += score["value"] or 0.0
        self.flips += bool(score.get("evidence", {}).get("flipped"))

    def counts(self) -> dict[str, Any]:
        """Return the counts as the manifest has them."""
        found: dict[str, Any] = dict(self.statuses)
        if scored := self.statuses["scored"]:
            found["mean"] = round(self.total / scored, 6)
        if self.flips:
            found["flipped"] = self.flips
        if planted := self.health.counts():
            found["controls"] = planted
        return found

    def line(self) -> str:
        """Return what a person is told."""
        scored = self.statuses["scored"]
        text = f"mean {self.total / scored:.3f} of {scored:,}" if scored else "no score"
        without = [f"{n:,} {name}" for name, n in self.statuses.items() if name != "scored" and n]
        text += f", without a number: {', '.join(without)}" if without else ""
        text += f", {self.flips:,} flipped with the order" if self.flips else ""
        health = self.health.line()
        return f"{text}; {health}" if health else text


class JudgeTallies:
    """What all judges said, judge by judge and metric by metric."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], JudgeTally] = {}

    def count(self, score: Score, dropped: int) -> None:
        """Count one score."""
        self._tallies.setdefault((score["judge"], score["metric"]), JudgeTally()).count(
            score, dropped
        )

    def counts(self) -> dict[str, Any]:
        """Return the counts as the manifest has them."""
        found: dict[str, Any] = {}
        for (judge, metric), tally in self._tallies.items():
            found.setdefault(judge, {})[metric] = tally.counts()
        return found

    def lines(self) -> list[str]:
        """Return one line for each judge and metric."""
        return [f"{judge}, {metric}: {t.line()}" for (judge, metric), t in self._tallies.items()]


def judge(
    rows: Iterable[Row],
    stats: RunStats,
    *,
    judges: Sequence[Judge],
    tallies: JudgeTallies,
    seed: int,
    controls: int = CONTROLS,
    others: "BaselineResponses | None" = None,
) -> Iterator[Row]:
    """Yield the scores of every response, in input order, then those of the planted answers.

    A verdict that is refused, cannot be read or never came is a score without a number, and fails
    in the account besides. A response that no judge has anything to say about is rejected.
    """
    candidates = ControlInjector(controls, seed).watch(_candidates(rows, stats, others))
    for each in judges:
        candidates = each.run(candidates)
    for candidate in candidates:
        if not candidate.scores and not candidate.control:
            message = "no step of this item has a check that a program could verify"
            stats.reject(candidate.row, STAGE, "no-check", message)
        stats.added += len(candidate.scores)
        if candidate.scores and not candidate.control:
            stats.added -= 1  # the first of them stands for the row that was read
        for score in candidate.scores:
            tallies.count(score, candidate.dropped)
            yield candidate.row.changed(score)
            if score["status"] != "scored":
                _fail(stats, candidate.row, score)
    stats.results["judges"] = tallies.counts()


def _fail(stats: RunStats, row: Row, score: Score) -> None:
    """Tell of a verdict that is none; its row, without a number, was written already."""
    stats.added += 1
    evidence: dict[str, Any] = dict(score.get("evidence", {}))
    evidence |= {name: score[name] for name in ("judge", "metric", "control") if name in score}
    reason = evidence.pop("problem", score["status"])
    stats.fail(row, STAGE, reason, f"no {score['metric']}: {score['reason']}", **evidence)


def _candidates(
    rows: Iterable[Row], stats: RunStats, others: "BaselineResponses | None"
) -> Iterator[Candidate]:
    for row in rows:
        if others is None:
            yield Candidate(row, row.value)
        elif against := others.answer_to(row.value):
            yield Candidate(row, row.value, against=against)
        else:
            message = f"{others.name} has no answer to this item: there is nothing to compare with"
            stats.fail(row, STAGE, "no-counterpart", message)


class BaselineResponses:
    """The other model's responses, by item and sample; `unmatched` are those not asked for.

    Raises SeqitError where an item is answered twice.
    """

    def __init__(self, name: str, responses: Iterable[dict[str, Any]]) -> None:
        self.name = name
        self._responses: dict[tuple[str, int], dict[str, Any]] = {}
        for each in responses:
            key = (each["id"], each["sample"])
            if key in self._responses:
                raise SeqitError(
                    f"{name} answers item {key[0]} more than once (sample {key[1]}); name a file "
                    "with the responses of one model"
                )
            self._responses[key] = {name: each[name] for name in ("model", "output")}
        self._unasked = set(self._responses)

    def answer_to(self, response: dict[str, Any]) -> dict[str, Any] | None:
        """Return the response to the same item and sample, if there is one."""
        key = (response["id"], response["sample"])
        self._unasked.discard(key)
        return self._responses.get(key)

    @property
    def unmatched(self) -> int:
        return len(self._unasked)
