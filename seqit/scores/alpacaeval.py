"""AlpacaEval's annotations: as score rows, and as entries like those of its leaderboard."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seqit.errors import RowError
from seqit.records.normalize import normalize
from seqit.records.validation import describe
from seqit.scores.stats.length_controlled import (
    JudgedPair,
    LengthControlledWinRate,
    Reference,
    length_controlled_win_rate,
)
from seqit.scores.stats.win_rate import WinRate, win_rate, win_share

BENCHMARK = "alpaca_eval"
_TEXT_FIELDS = ("instruction", "generator_1", "generator_2")


@dataclass(frozen=True, slots=True)
class LeaderboardEntry:
    """One model against one baseline; `length` is the mean number of characters of its answers."""

    model: str
    baseline: str
    rate: WinRate
    length: float | None
    controlled: LengthControlledWinRate | None


def is_annotation(row: Any) -> bool:
    """Return whether a row is an annotation: two answers to an instruction, and a preference."""
    return isinstance(row, dict) and {"instruction", "generator_2", "preference"} <= set(row)


def leaderboard_entries(
    annotations: Iterable[Any], reference: Reference | None = None
) -> list[LeaderboardEntry]:
    """Return an entry for each pair of model and baseline, in order of appearance.

    The length-controlled win rate needs the reference that was published with the annotations;
    without it `controlled` is the fit that the annotations alone allow (`complete` is False).
    Raises RowError if a row is not an annotation, SeqitError if reference and rows do not match.
    """
    by_models: dict[tuple[str, str], list[JudgedPair]] = {}
    for row in annotations:
        texts = _check_annotation(row)
        models = texts["generator_2"], texts["generator_1"]
        lengths = _char_count(row.get("output_1")), _char_count(row.get("output_2"))
        by_models.setdefault(models, []).append(JudgedPair(row.get("preference"), *lengths))
    entries = []
    for (model, baseline), pairs in by_models.items():
        rate = win_rate(pair.preference for pair in pairs)
        known = [pair.model_length for pair in pairs if pair.model_length is not None]
        length = sum(known) / len(known) if known else None
        controlled = length_controlled_win_rate(pairs, reference) if _can_be_fitted(pairs) else None
        entries.append(LeaderboardEntry(model, baseline, rate, length, controlled))
    return entries


def annotation_scores(annotations: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield a score row, metric `win`, for each annotation; a tie counts half.

    A preference that is missing or cannot be parsed gives the status `unparseable`, never a
    number. Raises RowError if a row is not an annotation.
    """
    for row in annotations:
        texts = _check_annotation(row)
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


def _char_count(answer: Any) -> int | None:
    return len(answer) if isinstance(answer, str) else None


def _can_be_fitted(pairs: Iterable[JudgedPair]) -> bool:
    """Return whether any pair has what a length-controlled win rate is fitted to."""
    return any(win_share(pair.preference) is not None and None not in pair[1:] for pair in pairs)


def _check_annotation(row: Any) -> Mapping[str, str]:
    if not isinstance(row, dict):
        raise RowError(f"expected an annotation of AlpacaEval, found {describe(row)}")
    for name in _TEXT_FIELDS:
        if not isinstance(row.get(name), str):
            raise RowError(f"expected text, found {describe(row.get(name))}", name)
    return row
