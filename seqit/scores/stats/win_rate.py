"""Win rate of a model against a baseline, from preferences between 1 (baseline) and 2 (model)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seqit.scores.stats.interval import mean_interval

_TIES = (0, 1.5)  # older annotations write 0


@dataclass(frozen=True, slots=True)
class WinRate:
    """Shares in percent, as on AlpacaEval's leaderboard; None if there is no preference.

    `missing` counts annotations without a valid preference; they are in no other number.
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
    """Return the model's share of the win, 0 to 1; None if the preference is not valid."""
    if isinstance(preference, str):
        try:
            preference = float(preference)
        except ValueError:
            return None
    if isinstance(preference, bool) or not isinstance(preference, int | float):
        return None
    if preference in _TIES:
        return 0.5
    return preference - 1 if 1 <= preference <= 2 else None


def win_rate(preferences: Iterable[Any]) -> WinRate:
    """Return the win rate with its standard error: of independent items, n - 1 in the variance."""
    shares = [win_share(preference) for preference in preferences]
    mean = mean_interval(shares)
    wins = sum(share is not None and share > 0.5 for share in shares)
    ties = sum(share == 0.5 for share in shares)
    return WinRate(
        win_rate=None if mean.mean is None else 100 * mean.mean,
        standard_error=None if mean.error is None else 100 * mean.error,
        n_wins=wins,
        n_wins_base=mean.n - wins - ties,
        n_draws=ties,
        n_total=mean.n,
        discrete_win_rate=100 * (wins + ties / 2) / mean.n if mean.n else None,
        missing=mean.missing,
    )
