"""The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475).

A logistic regression explains each preference by the difference of lengths, the difficulty of the
instruction, and the model; the win rate is then predicted with no difference of lengths. Two of
its inputs were published apart from the annotations: each instruction's difficulty, from a joint
fit over the leaderboard, and the preferences about a verbose and a concise variant of the
baseline, which restrain the length's coefficient. `Reference` holds both.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqit.errors import SeqitError
from seqit.scores.stats.arrays import numpy_for
from seqit.scores.stats.logistic import fit_logistic, logistic
from seqit.scores.stats.win_rate import win_share

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_RESTRAINT = 0.2  # weight of the baseline's variants, together, against the model's own rows
_FOLDS = 5
_PENALTIES = tuple(10 ** (4 - 8 * k / 9) for k in range(10))  # strongest first
_COLUMNS = ("index", "preference", "std_delta_len", "instruction_difficulty")


class Judged(NamedTuple):
    """A preference (1 baseline, 2 model; anything else: none) and the answers' characters.

    A length is None where the answer is not there: the row has no part in the fit.
    """

    preference: Any
    baseline_length: int | None
    model_length: int | None


@dataclass(frozen=True, slots=True)
class Reference:
    """What was published: difficulty by instruction (n,), and rows about the baseline's variants.

    `variants` has columns index, preference (0 to 1), difference of lengths in standard
    deviations; shape (m, 3).
    """

    difficulty: "Array"
    variants: "Array"


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """The win rate in percent at equal lengths.

    `complete`: fitted as published; else without difficulty and restraint, which is another
    number than the leaderboard's, mostly far higher for a model that writes less.
    """

    win_rate: float
    standard_error: float | None
    length: float
    difficulty: float
    model: float
    complete: bool


def length_controlled(
    rows: Sequence[Judged], reference: Reference | None = None
) -> LengthControlled:
    """Return the length-controlled win rate of one model over its judged answers.

    With a reference the rows stand in the order of its instructions, one for each. Raises
    SeqitError where they do not, or where no row has a preference.
    """
    np = numpy_for("a length-controlled win rate")
    if reference and len(rows) != len(reference.difficulty):
        raise SeqitError(
            f"the reference has {len(reference.difficulty)} instructions and the model's file "
            f"{len(rows)} rows; give all rows in the benchmark's order, also those not judged"
        )
    shares = np.array([win_share(row.preference) for row in rows], float)
    gap = np.array([_gap(row) for row in rows], float)
    known = gap[~np.isnan(gap)]
    judged = ~np.isnan(shares) & ~np.isnan(gap)
    if not judged.any():
        raise SeqitError("no row has two answers and a preference between 1 and 2")
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    length = np.tanh(gap / spread) if spread else np.zeros(len(gap))
    difficulty = reference.difficulty if reference else np.zeros(len(rows))
    columns = np.stack([length, difficulty, np.ones(len(rows))], axis=1)
    if reference:
        found = _fit_published(columns[judged], shares[judged], reference)
    else:
        used = [0, 2] if spread else [2]
        found = np.zeros(3)
        found[used] = fit_logistic(columns[judged][:, used], shares[judged])
    columns[:, 0] = 0
    predicted = logistic(columns @ found)
    error = 100 * float(predicted.std(ddof=1)) / len(rows) ** 0.5 if reference else None
    win_rate = 100 * float(predicted.mean())
    at_length, at_difficulty, at_model = map(float, found)
    return LengthControlled(
        win_rate, error, at_length, at_difficulty, at_model, reference is not None
    )


def _gap(row: Judged) -> float | None:
    if row.baseline_length is None or row.model_length is None:
        return None
    return row.baseline_length - row.model_length


def _fit_published(columns: "Array", shares: "Array", reference: Reference) -> "Array":
    """Fit with a lasso whose strength is chosen by cross-validation, as published."""
    import numpy as np

    index, preference, gap = reference.variants.T
    variants = np.stack(
        [np.tanh(gap), reference.difficulty[index.astype(int)], np.zeros(len(gap))], axis=1
    )
    rows = np.concatenate([variants, columns])
    chances = np.concatenate([preference, shares])
    # Of two variants, each has half of the weight.
    weights = np.concatenate([np.full(len(gap), _RESTRAINT / 2), np.ones(len(shares))])
    folds = np.arange(len(rows))[::-1] % _FOLDS
    losses = [_held_out_loss(rows, chances, weights, folds, penalty) for penalty in _PENALTIES]
    return fit_logistic(rows, chances, weights, penalty=_PENALTIES[int(np.argmin(losses))])


def _held_out_loss(
    rows: "Array", chances: "Array", weights: "Array", folds: "Array", penalty: float
) -> float:
    import numpy as np

    losses = []
    for fold in range(_FOLDS):
        out = folds == fold
        found = fit_logistic(rows[~out], chances[~out], weights[~out], penalty=penalty)
        score = rows[out] @ found
        losses.append(np.mean(weights[out] * (np.logaddexp(0, score) - chances[out] * score)))
    return float(np.mean(losses))


def read_reference(name: str) -> Reference:
    """Read the CSV that the benchmark's authors publish as df_gamed.csv.

    Columns: index, preference (0 to 1), std_delta_len, instruction_difficulty. Raises SeqitError
    for a file that cannot be read so.
    """
    np = numpy_for("a length-controlled win rate")
    rows: list[tuple[float, ...]] = []
    with Path(name).open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if lost := [column for column in _COLUMNS if column not in (reader.fieldnames or ())]:
            raise SeqitError(
                f"{name}: the column {lost[0]} is missing; this reads AlpacaEval's df_gamed.csv"
            )
        for row in reader:
            try:
                rows.append(tuple(float(row[column]) for column in _COLUMNS))
            except (TypeError, ValueError):
                where = f"{name}: line {reader.line_num}"
                raise SeqitError(f"{where}: expected numbers in {', '.join(_COLUMNS)}") from None
    by_index = {int(row[0]): row[3] for row in reversed(rows)}
    if not rows or sorted(by_index) != list(range(len(by_index))):
        raise SeqitError(f"{name}: the column index must hold every number from 0 on")
    table = np.array(rows)
    if not np.isfinite(table[:, [0, 2, 3]]).all():
        raise SeqitError(f"{name}: std_delta_len and instruction_difficulty must be numbers")
    difficulty = np.array([by_index[k] for k in range(len(by_index))])
    return Reference(difficulty, table[~np.isnan(table[:, 1]), :3])
