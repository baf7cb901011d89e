"""The length-controlled win rate of AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475).

A logistic regression explains each preference by the difference of lengths, the difficulty of the
instruction, and the model; the win rate is then predicted with no difference of lengths. Two of
its inputs were published separately from the annotations: each instruction's difficulty, from a
joint fit over the leaderboard, and the preferences about a verbose and a concise variant of the
baseline, which regularise the length's coefficient. `Reference` has both.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seqit.errors import SeqitError
from seqit.scores.stats.arrays import require_numpy
from seqit.scores.stats.logistic import fit_logistic, logistic
from seqit.scores.stats.win_rate import win_share

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_VARIANTS_WEIGHT = 0.2  # of the baseline's variants, together; the model's own rows weigh 1
_FOLDS = 5
_PENALTIES = tuple(10 ** (4 - 8 * k / 9) for k in range(10))  # strongest first
_COLUMNS = ("index", "preference", "std_delta_len", "instruction_difficulty")


class JudgedPair(NamedTuple):
    """A preference (1 baseline, 2 model; anything else: none) and the answers' characters.

    A length is None if there is no answer: the pair is not part of the fit.
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
class LengthControlledWinRate:
    """The win rate in percent at equal lengths, and the fitted coefficients.

    `complete`: fitted as published; else without difficulty and variants, which gives another
    number than the leaderboard's, mostly far higher for a model that writes less.
    """

    win_rate: float
    standard_error: float | None
    length: float
    difficulty: float
    model: float
    complete: bool


def length_controlled_win_rate(
    pairs: Sequence[JudgedPair], reference: Reference | None = None
) -> LengthControlledWinRate:
    """Return the length-controlled win rate of one model over its judged answers.

    With a reference, there is one pair for each of its instructions, in the same order. Raises
    SeqitError if their numbers differ, or if no pair has two answers and a preference.
    """
    np = require_numpy("a length-controlled win rate")
    if reference and len(pairs) != len(reference.difficulty):
        raise SeqitError(
            f"the reference has {len(reference.difficulty)} instructions and the model's file "
            f"{len(pairs)} rows; give all rows in the benchmark's order, also those not judged"
        )
    shares = np.array([win_share(pair.preference) for pair in pairs], float)
    differences = np.array([_length_difference(pair) for pair in pairs], float)
    known = differences[~np.isnan(differences)]
    judged = ~np.isnan(shares) & ~np.isnan(differences)
    if not judged.any():
        raise SeqitError("no row has two answers and a preference between 1 and 2")
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    length = np.tanh(differences / spread) if spread else np.zeros(len(differences))
    difficulty = reference.difficulty if reference else np.zeros(len(pairs))
    columns = np.stack([length, difficulty, np.ones(len(pairs))], axis=1)
    if reference:
        coefficients = _fit_published(columns[judged], shares[judged], reference)
    else:
        used = [0, 2] if spread else [2]
        coefficients = np.zeros(3)
        coefficients[used] = fit_logistic(columns[judged][:, used], shares[judged])
    columns[:, 0] = 0
    predicted = logistic(columns @ coefficients)
    error = 100 * float(predicted.std(ddof=1)) / len(pairs) ** 0.5 if reference else None
    win_rate = 100 * float(predicted.mean())
    of_length, of_difficulty, of_model = map(float, coefficients)
    return LengthControlledWinRate(
        win_rate, error, of_length, of_difficulty, of_model, reference is not None
    )


def _length_difference(pair: JudgedPair) -> float | None:
    if pair.baseline_length is None or pair.model_length is None:
        return None
    return pair.baseline_length - pair.model_length


def _fit_published(columns: "Array", shares: "Array", reference: Reference) -> "Array":
    """Fit with a lasso whose strength is chosen by cross-validation, as published."""
    import numpy as np

    index, preference, length = reference.variants.T
    variants = np.stack(
        [np.tanh(length), reference.difficulty[index.astype(int)], np.zeros(len(length))], axis=1
    )
    rows = np.concatenate([variants, columns])
    targets = np.concatenate([preference, shares])
    # Of two variants, each has half of the weight.
    weights = np.concatenate([np.full(len(length), _VARIANTS_WEIGHT / 2), np.ones(len(shares))])
    folds = np.arange(len(rows))[::-1] % _FOLDS
    losses = [_held_out_loss(rows, targets, weights, folds, penalty) for penalty in _PENALTIES]
    return fit_logistic(rows, targets, weights, penalty=_PENALTIES[int(np.argmin(losses))])


def _held_out_loss(
    rows: "Array", targets: "Array", weights: "Array", folds: "Array", penalty: float
) -> float:
    import numpy as np

    losses = []
    for fold in range(_FOLDS):
        out = folds == fold
        coefficients = fit_logistic(rows[~out], targets[~out], weights[~out], penalty=penalty)
        logits = rows[out] @ coefficients
        losses.append(np.mean(weights[out] * (np.logaddexp(0, logits) - targets[out] * logits)))
    return float(np.mean(losses))


def read_reference(name: str) -> Reference:
    """Read the CSV file that the benchmark's authors publish as df_gamed.csv.

    Columns: index, preference (0 to 1), std_delta_len, instruction_difficulty. Raises SeqitError
    if the file does not have them as numbers.
    """
    np = require_numpy("a length-controlled win rate")
    rows: list[tuple[float, ...]] = []
    with Path(name).open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if absent := [column for column in _COLUMNS if column not in (reader.fieldnames or ())]:
            raise SeqitError(
                f"{name}: the column {absent[0]} is missing; this reads AlpacaEval's df_gamed.csv"
            )
        for row in reader:
            try:
                rows.append(tuple(float(row[column]) for column in _COLUMNS))
            except (TypeError, ValueError):
                where = f"{name}: line {reader.line_num}"
                raise SeqitError(f"{where}: expected numbers in {', '.join(_COLUMNS)}") from None
    by_index = {int(row[0]): row[3] for row in reversed(rows)}
    if not rows or sorted(by_index) != list(range(len(by_index))):
        raise SeqitError(f"{name}: the column index must contain every number from 0 on")
    table = np.array(rows)
    if not np.isfinite(table[:, [0, 2, 3]]).all():
        raise SeqitError(f"{name}: std_delta_len and instruction_difficulty must be numbers")
    difficulty = np.array([by_index[k] for k in range(len(by_index))])
    return Reference(difficulty, table[~np.isnan(table[:, 1]), :3])
