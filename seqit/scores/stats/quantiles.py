"""Student's t and binomial tails without scipy, so that intervals need no heavy dependency."""

from functools import cache
from math import comb, exp, inf, isinf, lgamma, log, log1p
from statistics import NormalDist

_TINY = 1e-300


def normal_quantile(p: float) -> float:
    """Return the number that a standard normal variable stays below with probability p."""
    return NormalDist().inv_cdf(p)


def t_tail(t: float, degrees: float) -> float:
    """Return the probability that |T| >= |t|; NaN for NaN."""
    if isinf(t):
        return 0.0
    return _incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5)


@cache
def t_quantile(p: float, degrees: float) -> float:
    """Return the number that Student's t stays below with probability p, 0.5 <= p < 1."""
    tail, low, high = 2 * (1 - p), 0.0, 1.0
    while t_tail(high, degrees) > tail:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_tail(middle, degrees) > tail else (low, middle)
    return high


def binomial_two_sided(count: int, total: int) -> float:
    """Return the exact probability, for a fair coin, of a split at least as uneven as this one."""
    fewer = min(count, total - count)
    if total <= 1000:
        outcomes = sum(comb(total, k) for k in range(fewer + 1))
        return min(1.0, 2 * outcomes / (1 << total))
    logs = (lgamma(total + 1) - lgamma(k + 1) - lgamma(total - k + 1) for k in range(fewer + 1))
    return min(1.0, 2 * sum(exp(each - total * log(2)) for each in logs))


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function (Lentz's continued fraction)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value, step, m = d, inf, 0
    while abs(step - 1) > 1e-15 and m < 10_000:
        m += 1
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            step = c * d
            value *= step
    return front * value


def _nonzero(number: float) -> float:
    return number if abs(number) > _TINY else _TINY
