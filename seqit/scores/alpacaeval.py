"""AlpacaEval's annotations: as score rows, and as standings like those of its leaderboard."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seqit.errors import RowError
from seqit.records.normalize import normalize
from seqit.records.validation import describe
from seqit.scores.stats.length_controlled import (
    Judged,
    LengthControlled,
    Reference,
    length_controlled,
)
from seqit.scores.stats.win_rate import WinRate, win_rate, win_share

BENCHMARK = "alpaca_eval"
_TEXTS = ("instruction", "generator_1", "generator_2")


@dataclass(frozen=True, slots=True)
class Standing:
    """One model against one baseline; `length`: mean characters of its answers."""

    model: str
    baseline: str
    rate: WinRate
    length: float | None
    controlled: LengthControlled | None


def is_annotation(row: Any) -> bool:
    """Tell whether a row is an annotation: two answers to an instruction, and a preference."""
    return isinstance(row, dict) and {"instruction", "generator_2", "preference"} <= set(row)


def standings(annotations: Iterable[Any], reference: Reference | None = None) -> list[Standing]:
    """Return the standing of each model, in order of appearance.

    The length-controlled win rate needs the reference that was published beside the annotations;
    without it `controlled` is the fit that the annotations alone allow, and says so. Raises
    RowError for what is no annotation, SeqitError where reference and rows do not match.
    """
    judged: dict[tuple[str, str], list[Judged]] = {}
    for row in annotations:
        texts = _checked(row)
        pair = texts["generator_2"], texts["generator_1"]
        known = Judged(
            row.get("preference"), _length(row.get("output_1")), _length(row.get("output_2"))
        )
        judged.setdefault(pair, []).append(known)
    found = []
    for (model, baseline), rows in judged.items():
        rate = win_rate(row.preference for row in rows)
        lengths = [row.model_length for row in rows if row.model_length is not None]
        length = sum(lengths) / len(lengths) if lengths else None
        controlled = length_controlled(rows, reference) if _is_fit(rows) else None
        found.append(Standing(model, baseline, rate, length, controlled))
    return found


def annotation_scores(annotations: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield a score row, metric `win`, for each annotation; a draw counts half.

    A missing or unreadable preference is an unparseable verdict, never a number. Raises RowError
    for what is no annotation.
    """
    for row in annotations:
        texts = _checked(row)
        share = win_share(row.get("preference"))
        record = normalize({"instruction": texts["instruction"]})
        score: dict[str, Any] = {
            "id": record["id"],
            "model": texts["generator_2"],
            "benchmark": BENCHMARK,
            "sample": 0,
            "metric": "win",
            "value": share,
            "status": "unparseable" if share is None else "scored",
            "judge": str(row.get("annotator") or "unknown"),
            "root": record["id"],
            "against": texts["generator_1"],
        }
        if isinstance(answer := row.get("output_2"), str):
            score["length"] = len(answer.split())
        yield score


def _length(answer: Any) -> int | None:
    return len(answer) if isinstance(answer, str) else None


def _is_fit(rows: Iterable[Judged]) -> bool:
    """Tell whether any row has what a length-controlled win rate is fitted to."""
    return any(win_share(row.preference) is not None and None not in row[1:] for row in rows)


def _checked(row: Any) -> Mapping[str, str]:
    if not isinstance(row, dict):
        raise RowError(f"expected an annotation of AlpacaEval, found {describe(row)}")
    for name in _TEXTS:
        if not isinstance(row.get(name), str):
            raise RowError(f"expected text, found {describe(row.get(name))}", name)
    return row
