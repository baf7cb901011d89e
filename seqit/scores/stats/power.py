"""Power of paired comparisons: the items needed for a difference, and the reverse."""

from math import ceil, sqrt

from seqit.errors import UsageError
from seqit.scores.stats.interval import LEVEL
from seqit.scores.stats.quantiles import normal_quantile

POWER = 0.8


def items_needed(
    difference: float, deviation: float, *, power: float = POWER, level: float = LEVEL
) -> int:
    """Return the number of items on which a paired difference is significant with this power.

    `deviation` is the standard deviation of the differences by item; normal approximation. Raises
    UsageError for a difference of 0, which no number of items shows.
    """
    if not difference:
        raise UsageError("a difference of 0 cannot be shown with any number of items")
    return max(2, ceil((_standard_errors(power, level) * deviation / difference) ** 2))


def smallest_difference(
    items: int, deviation: float, *, power: float = POWER, level: float = LEVEL
) -> float:
    """Return the paired difference that this number of items shows with this power."""
    return _standard_errors(power, level) * deviation / sqrt(items)


def _standard_errors(power: float, level: float) -> float:
    """Return how many standard errors a difference must have to be shown with this power."""
    if not 0 < power < 1 or not 0 < level < 1:
        raise UsageError("power and level are probabilities, such as 0.8 and 0.95")
    return normal_quantile((1 + level) / 2) + normal_quantile(power)
