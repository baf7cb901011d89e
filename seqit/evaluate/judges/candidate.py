"""A response that is being judged, and the score rows that judges add to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from seqit.checks.text_units import words
from seqit.llm.model_call import CompletionFailed
from seqit.records.formats.chat import prompt_text
from seqit.records.record import Record
from seqit.records.run_stats import Row

Control = Literal["good", "empty", "off-topic", "step-dropped"]
Score = dict[str, Any]
"""One row of schemas/score.schema.json."""

CONTROL_MODEL = "control"
"""The model name of control items, so that their scores count for no real model."""

_UNPARSEABLE = ("unparseable", "truncated", "empty", "placeholder")


@dataclass(slots=True, eq=False)
class Candidate:
    """One response, and the scores that it has so far.

    `control` is the kind of a control item, `dropped` the step that it lacks (from 1); judges see
    neither. `against` is the other model's response in a pairwise comparison.
    """

    row: Row  # the row it was read from
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
        """The tasks of the item, in order; empty if it has no steps."""
        return [step["instruction"] for step in self.item.get("steps", [])]

    @property
    def key(self) -> str:
        """A key that is unique to this candidate; the seeds of its requests depend on it."""
        other = self.against["model"] if self.against else ""
        parts = (self.response["id"], self.response["model"], str(self.response["sample"]))
        return "\n".join((*parts, self.control or "", other))

    def add_score(self, metric: str, judge: str, value: float | None, **fields: Any) -> None:
        """Add a score row; `fields` are `status` and the optional fields of the row by name."""
        response, lineage = self.response, self.response["lineage"]
        row: Score = {"id": response["id"], "model": response["model"]}
        row |= {name: response[name] for name in ("benchmark",) if name in response}
        row |= {"sample": response["sample"], "metric": metric, "value": value}
        row |= {"status": fields.pop("status", "scored"), "judge": judge}
        optional = ("vote", "position", "chain")
        row |= {name: fields.pop(name) for name in optional if fields.get(name)}
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
            fields["evidence"] = {**fields.get("evidence", {}), "dropped": self.dropped}
        row |= {name: fields[name] for name in ("reason", "evidence") if fields.get(name)}
        self.scores.append(row)

    def add_unscored(
        self, metric: str, judge: str, failure: CompletionFailed, **fields: Any
    ) -> None:
        """Add a score row without a value: there is no judgement, or it cannot be parsed."""
        status = failure.reason if failure.reason == "refused" else "failed"
        if failure.reason in _UNPARSEABLE:
            status = "unparseable"
        evidence = {"problem": failure.reason, **failure.evidence}
        fields |= {"status": status, "reason": str(failure), "evidence": evidence}
        self.add_score(metric, judge, None, **fields)


class Judge(Protocol):
    """Scores responses; `name` goes into the scores."""

    @property
    def name(self) -> str: ...

    def run(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield each candidate with this judge's scores added, in order."""
        ...


def full_instruction(item: Record) -> str:
    """Return the whole prompt as one text, including the system message and earlier turns."""
    turns = [("System", item["system"])] if item.get("system") else []
    for user, assistant in item.get("history", []):
        turns += [("User", user), ("Assistant", assistant)]
    if not turns:
        return prompt_text(item)
    turns.append(("User", prompt_text(item)))
    return "\n\n".join(f"{role}: {text}" for role, text in turns)


def numbered_list(tasks: list[str]) -> str:
    """Return the tasks as a numbered list, one task per line."""
    return "\n".join(f"{n}. {' '.join(task.split())}" for n, task in enumerate(tasks, 1))
