"""A response before the judges, and the rows that say what they measured."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from seqit.checks.measures import words
from seqit.llm.model_call import CompletionFailed
from seqit.records.formats.chat import question_of
from seqit.records.record import Record
from seqit.records.run_stats import Row

Control = Literal["good", "empty", "off-topic", "step-dropped"]
Score = dict[str, Any]
"""One row of schemas/score.schema.json."""

CONTROL_MODEL = "control"
"""Whose response a planted one is: no model's, so that none is blamed for it."""

_UNREAD = ("unparseable", "truncated", "empty", "placeholder")


@dataclass(slots=True, eq=False)
class Candidate:
    """One response, and the scores that it was given so far.

    `control` says what was planted, `dropped` which of the steps it lacks (from 1); no judge sees
    either. `against` is the other model's response, where two are compared.
    """

    row: Row  # where it was read
    response: dict[str, Any]  # schemas/response.schema.json
    control: Control | None = None
    dropped: int = 0
    against: dict[str, Any] | None = None
    scores: list[Score] = field(default_factory=list)

    @property
    def item(self) -> Record:
        item: Record = self.response["item"]
        return item

    @property
    def answer(self) -> str:
        answer: str = self.response["output"]
        return answer

    @property
    def chain(self) -> list[str]:
        """The tasks of the item, in order; empty where it does not tell."""
        return [step["instruction"] for step in self.item.get("steps", [])]

    @property
    def key(self) -> str:
        """What tells this response from all others, for the lots that are drawn for it."""
        other = self.against["model"] if self.against else ""
        parts = (self.response["id"], self.response["model"], str(self.response["sample"]))
        return "\n".join((*parts, self.control or "", other))

    def score(self, metric: str, judge: str, value: float | None, **more: Any) -> None:
        """Add a score; `status` and whatever else the row holds come by name."""
        response, lineage = self.response, self.response["lineage"]
        row: Score = {"id": response["id"], "model": response["model"]}
        row |= {name: response[name] for name in ("benchmark",) if name in response}
        row |= {"sample": response["sample"], "metric": metric, "value": value}
        row |= {"status": more.pop("status", "scored"), "judge": judge}
        named = ("vote", "position", "chain")
        row |= {name: more.pop(name) for name in named if more.get(name)}
        row |= {name: lineage[name] for name in ("iteration", "operation") if name in lineage}
        row["root"] = lineage["root"]
        row |= {"teacher": lineage["teacher"]} if lineage.get("teacher") else {}
        row |= {"training": response["training"]} if "training" in response else {}
        row["length"] = len(words(self.answer))
        if self.against:
            row["against"] = self.against["model"]
        if self.control:
            row["control"] = self.control
        if self.dropped:
            more["evidence"] = {**more.get("evidence", {}), "dropped": self.dropped}
        row |= {name: more[name] for name in ("reason", "evidence") if more.get(name)}
        self.scores.append(row)

    def unscored(self, metric: str, judge: str, why: CompletionFailed, **more: Any) -> None:
        """Add a score without a number: there is no verdict, or none that can be read."""
        status = why.reason if why.reason == "refused" else "failed"
        if why.reason in _UNREAD:
            status = "unparseable"
        evidence = {"problem": why.reason, **why.evidence}
        self.score(metric, judge, None, status=status, reason=str(why), evidence=evidence, **more)


class Judge(Protocol):
    """Measures responses; `name` goes to the scores."""

    @property
    def name(self) -> str: ...

    def run(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield each candidate with this judge's scores added, in order."""
        ...


def instruction_of(item: Record) -> str:
    """Return all that was asked, as one text: earlier turns and the system message, too."""
    turns = [("System", item["system"])] if item.get("system") else []
    for asked, answered in item.get("history", []):
        turns += [("User", asked), ("Assistant", answered)]
    if not turns:
        return question_of(item)
    turns.append(("User", question_of(item)))
    return "\n\n".join(f"{who}: {text}" for who, text in turns)


def numbered(tasks: list[str]) -> str:
    """Return the tasks, one numbered line each."""
    return "\n".join(f"{n}. {' '.join(task.split())}" for n, task in enumerate(tasks, 1))
