"""How many items it takes to see a difference, and which difference the items can show."""

from math import ceil, sqrt

from seqit.errors import UsageError
from seqit.scores.stats.interval import LEVEL
from seqit.scores.stats.quantiles import normal_quantile

POWER = 0.8


def items_needed(
    difference: float, deviation: float, *, power: float = POWER, level: float = LEVEL
) -> int:
    """Return the items on which a paired difference of this size is significant so often.

    `deviation` is the standard deviation of the differences by item; the normal approximation.
    Raises UsageError for a difference of 0, which no number of items shows.
    """
    if not difference:
        raise UsageError("a difference of 0 cannot be seen with any number of items")
    return max(2, ceil((_reach(power, level) * deviation / difference) ** 2))


def smallest_difference(
    items: int, deviation: float, *, power: float = POWER, level: float = LEVEL
) -> float:
    """Return the paired difference that so many items show with this power."""
    return _reach(power, level) * deviation / sqrt(items)


def paired_deviation(first: float, other: float, correlation: float = 0.0) -> float:
    """Return the deviation of differences between shares of right answers, before any is seen.

    `correlation` is that of the two models' answers over items; 0 is the cautious assumption.
    """
    one, two = first * (1 - first), other * (1 - other)
    return sqrt(one + two - 2 * correlation * sqrt(one * two))


def _reach(power: float, level: float) -> float:
    if not 0 < power < 1 or not 0 < level < 1:
        raise UsageError("power and level are probabilities, such as 0.8 and 0.95")
    return normal_quantile((1 + level) / 2) + normal_quantile(power)
