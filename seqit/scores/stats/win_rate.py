"""Win rate of a model against a baseline, from preferences between 1 (baseline) and 2 (model)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seqit.scores.stats.interval import mean_interval

_DRAWS = (0, 1.5)  # older annotations write 0


@dataclass(frozen=True, slots=True)
class WinRate:
    """Shares in percent, as AlpacaEval's leaderboard has them; None where nothing was preferred.

    `missing` annotations without a readable preference entered nothing.
    """

    win_rate: float | None
    standard_error: float | None
    n_wins: int
    n_wins_base: int
    n_draws: int
    n_total: int
    discrete_win_rate: float | None
    missing: int


def win_share(preference: Any) -> float | None:
    """Return the model's share of the win, 0 to 1; None for what is no preference."""
    if isinstance(preference, str):
        try:
            preference = float(preference)
        except ValueError:
            return None
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        return None
    if preference in _DRAWS:
        return 0.5
    return preference - 1 if 1 <= preference <= 2 else None


def win_rate(preferences: Iterable[Any]) -> WinRate:
    """Return the win rate with its standard error: of independent items, n - 1 in the variance."""
    shares = [win_share(preference) for preference in preferences]
    found = mean_interval(shares)
    wins = sum(share is not None and share > 0.5 for share in shares)
    draws = sum(share == 0.5 for share in shares)
    return WinRate(
        win_rate=None if found.mean is None else 100 * found.mean,
        standard_error=None if found.error is None else 100 * found.error,
        n_wins=wins,
        n_wins_base=found.n - wins - draws,
        n_draws=draws,
        n_total=found.n,
        discrete_win_rate=100 * (wins + draws / 2) / found.n if found.n else None,
        missing=found.missing,
    )
