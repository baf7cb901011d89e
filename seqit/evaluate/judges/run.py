"""Run judges over responses: each response passes one judge after the other, and becomes scores."""

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

STAGE = "judge"


def judge_metrics(names: Sequence[str], pairwise: bool) -> list[JudgeMetric]:
    """Return the metrics of these names; if `pairwise`, the comparison of two models instead."""
    if pairwise:
        return [Pairwise()]
    metrics: dict[str, JudgeMetric] = {
        "quality": Quality(),
        "following": Following(),
        "steps": Steps(with_following="following" not in names),
    }
    return [metrics[name] for name in names]


class _JudgeCall(NamedTuple):
    candidate: Candidate
    metric: JudgeMetric
    context: JudgeContext
    is_last: bool  # of its candidate


class ModelJudge:
    """An LLM judge: scores every metric, `votes` times each.

    references: whether the items' reference answers are shown to it. weighted: adds to the
    quality the mean of the scale under the judge's probabilities, if the backend returns log
    probabilities.
    """

    def __init__(
        self,
        model: ModelClient,
        metrics: Sequence[JudgeMetric],
        *,
        seed: int,
        votes: int = 1,
        references: bool = True,
        weighted: bool = False,
    ) -> None:
        self.name = model.name
        self._model = model
        numbers = range(1, votes + 1) if votes > 1 else [0]
        contexts = [JudgeContext(model, seed, vote, references, weighted) for vote in numbers]
        self._calls = [(metric, context) for metric in metrics for context in contexts]

    def run(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield each candidate with this judge's scores added, in order."""

        def calls() -> Iterator[_JudgeCall]:
            for candidate in candidates:
                for number, (metric, context) in enumerate(self._calls, 1):
                    yield _JudgeCall(candidate, metric, context, number == len(self._calls))

        def work(call: _JudgeCall) -> ModelCall[AddScore]:
            return (yield from call.metric.judge(call.context, call.candidate))

        for call, result in self._model.run(calls(), work):
            if isinstance(result, CompletionFailed):
                call.metric.add_unscored(call.context, call.candidate, result)
            else:
                result(call.candidate)
            if call.is_last:
                yield call.candidate


@dataclass(slots=True)
class JudgeTally:
    """Totals over one judge's scores of one metric, with and without a value."""

    total: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    flips: int = 0
    controls: ControlResults = field(default_factory=ControlResults)

    def count(self, score: Score, dropped: int) -> None:
        """Count one score."""
        if "control" in score:
            self.controls.count(score, dropped)
            return
        self.statuses[score["status"]] += 1
        self.total += score["value"] or 0.0
        self.flips += bool(score.get("evidence", {}).get("flipped"))

    def counts(self) -> dict[str, Any]:
        """Return the counts for the manifest."""
        counts: dict[str, Any] = dict(self.statuses)
        if scored := self.statuses["scored"]:
            counts["mean"] = round(self.total / scored, 6)
        if self.flips:
            counts["flipped"] = self.flips
        if controls := self.controls.counts():
            counts["controls"] = controls
        return counts

    def summary(self) -> str:
        """Return the counts as one line of the run report."""
        scored = self.statuses["scored"]
        text = f"mean {self.total / scored:.3f} of {scored:,}" if scored else "no score"
        without = [f"{n:,} {name}" for name, n in self.statuses.items() if name != "scored" and n]
        text += f", without a number: {', '.join(without)}" if without else ""
        text += f", {self.flips:,} flipped with the order" if self.flips else ""
        controls = self.controls.summary()
        return f"{text}; {controls}" if controls else text


class JudgeTallies:
    """A tally for each judge and metric."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], JudgeTally] = {}

    def count(self, score: Score, dropped: int) -> None:
        """Count one score."""
        tally = self._tallies.setdefault((score["judge"], score["metric"]), JudgeTally())
        tally.count(score, dropped)

    def counts(self) -> dict[str, Any]:
        """Return the counts for the manifest, by judge and metric."""
        counts: dict[str, Any] = {}
        for (judge, metric), tally in self._tallies.items():
            counts.setdefault(judge, {})[metric] = tally.counts()
        return counts

    def summary_lines(self) -> list[str]:
        """Return one line of the run report for each judge and metric."""
        return [
            f"{judge}, {metric}: {tally.summary()}"
            for (judge, metric), tally in self._tallies.items()
        ]


def judge_responses(
    rows: Iterable[Row],
    stats: RunStats,
    *,
    judges: Sequence[Judge],
    tallies: JudgeTallies,
    seed: int,
    controls: int,
    baseline: "BaselineResponses | None" = None,
) -> Iterator[Row]:
    """Yield the scores of every response, in input order, then those of the control items.

    controls: items sampled for each kind of control item. baseline: the responses to compare with.
    A judgement that is refused, missing or cannot be parsed is written as a score without a value
    and also counted as failed. A response that no judge scores is rejected.
    """
    candidates = ControlInjector(controls, seed).inject(_candidates(rows, stats, baseline))
    for judge in judges:
        candidates = judge.run(candidates)
    for candidate in candidates:
        if not candidate.scores and not candidate.control:
            message = "no step of this item has a check that a program could verify"
            stats.reject(candidate.row, STAGE, "no-check", message)
        stats.added += len(candidate.scores)
        if candidate.scores and not candidate.control:
            stats.added -= 1  # one of the scores counts for the row that was read
        for score in candidate.scores:
            tallies.count(score, candidate.dropped)
            yield candidate.row.with_value(score)
            if score["status"] != "scored":
                _fail(stats, candidate.row, score)
    stats.results["judges"] = tallies.counts()


def _fail(stats: RunStats, row: Row, score: Score) -> None:
    """Report a score without a value as failed, in addition to its row that was written."""
    stats.added += 1
    evidence: dict[str, Any] = dict(score.get("evidence", {}))
    evidence |= {name: score[name] for name in ("judge", "metric", "control") if name in score}
    reason = evidence.pop("problem", score["status"])
    stats.fail(row, STAGE, reason, f"no {score['metric']}: {score['reason']}", **evidence)


def _candidates(
    rows: Iterable[Row], stats: RunStats, baseline: "BaselineResponses | None"
) -> Iterator[Candidate]:
    for row in rows:
        if baseline is None:
            yield Candidate(row, row.value)
        elif against := baseline.find(row.value):
            yield Candidate(row, row.value, against=against)
        else:
            message = (
                f"{baseline.name} has no answer to this item: there is nothing to compare with"
            )
            stats.fail(row, STAGE, "no-counterpart", message)


class BaselineResponses:
    """The other model's responses, by item and sample; `unmatched` counts those never looked up.

    Raises SeqitError if an item and sample occur twice.
    """

    def __init__(self, name: str, responses: Iterable[dict[str, Any]]) -> None:
        self.name = name
        self._responses: dict[tuple[str, int], dict[str, Any]] = {}
        for response in responses:
            key = (response["id"], response["sample"])
            if key in self._responses:
                raise SeqitError(
                    f"{name} answers item {key[0]} more than once (sample {key[1]}); name a file "
                    "with the responses of one model"
                )
            self._responses[key] = {name: response[name] for name in ("model", "output")}
        self._unmatched = set(self._responses)

    def find(self, response: dict[str, Any]) -> dict[str, Any] | None:
        """Return the baseline's response to the same item and sample, or None."""
        key = (response["id"], response["sample"])
        self._unmatched.discard(key)
        return self._responses.get(key)

    @property
    def unmatched(self) -> int:
        return len(self._unmatched)
