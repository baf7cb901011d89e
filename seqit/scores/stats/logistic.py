"""Logistic regression on probabilities, with weights and a lasso; few columns, many rows."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_ROUNDS = 200
_SWEEPS = 1000


def logistic(x: "Array") -> "Array":
    """Return 1 / (1 + e^-x) without overflow."""
    import numpy as np

    return np.exp(-np.logaddexp(0, -x))


def fit_logistic(
    rows: "Array", chances: "Array", weights: "Array | None" = None, *, penalty: float = 0.0
) -> "Array":
    """Return the coefficients that minimise the weighted log loss + penalty * sum |coefficient|.

    rows: (n, k), no intercept of its own; chances: (n,), 0 to 1; weights: (n,). Proximal Newton
    with a line search, each step's quadratic solved by coordinate descent.
    """
    import numpy as np

    weights = np.ones(len(rows)) if weights is None else weights
    found = np.zeros(rows.shape[1])
    loss = _loss(rows, chances, weights, found, penalty)
    for _ in range(_ROUNDS):
        fitted = logistic(rows @ found)
        slope = rows.T @ (weights * (fitted - chances))
        curve = (rows * (weights * fitted * (1 - fitted))[:, None]).T @ rows
        curve += 1e-12 * max(1.0, float(np.trace(curve))) * np.eye(len(found))
        step = _descend(curve, slope, found, penalty) - found
        size = 1.0
        while (new := _loss(rows, chances, weights, found + size * step, penalty)) > loss:
            size /= 2
            if size < 1e-10:
                return found
        found = found + size * step
        if float(np.abs(size * step).max()) < 1e-10:
            return found
        loss = new
    return found


def _loss(rows: "Array", chances: "Array", weights: "Array", at: "Array", penalty: float) -> float:
    import numpy as np

    score = rows @ at
    whole = float(weights @ (np.logaddexp(0, score) - chances * score))
    return whole + penalty * float(np.abs(at).sum())


def _descend(curve: "Array", slope: "Array", at: "Array", penalty: float) -> "Array":
    """Return the minimum of the quadratic with this curve and slope at `at`, plus the lasso."""
    import numpy as np

    if not penalty:
        step: Array = np.linalg.solve(curve, slope)
        return at - step
    found = at.copy()
    for _ in range(_SWEEPS):
        moved = 0.0
        for k in range(len(found)):
            pull = slope[k] + curve[k] @ (found - at) - curve[k, k] * found[k]
            new = -np.sign(pull) * max(abs(pull) - penalty, 0.0) / curve[k, k]
            moved, found[k] = max(moved, abs(new - found[k])), new
        if moved < 1e-12:
            break
    return found
