"""Logistic regression on probabilities, with weights and a lasso; for few columns, many rows."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_MAX_ITERATIONS = 200
_MAX_SWEEPS = 1000


def logistic(x: "Array") -> "Array":
    """Return 1 / (1 + e^-x) without overflow."""
    import numpy as np

    return np.exp(-np.logaddexp(0, -x))


def fit_logistic(
    rows: "Array", targets: "Array", weights: "Array | None" = None, *, penalty: float = 0.0
) -> "Array":
    """Return the coefficients that minimise the weighted log loss + penalty * sum |coefficient|.

    rows: (n, k), without an added intercept; targets: (n,), 0 to 1; weights: (n,). Proximal Newton
    with a line search, each step's quadratic solved by coordinate descent.
    """
    import numpy as np

    weights = np.ones(len(rows)) if weights is None else weights
    coefficients = np.zeros(rows.shape[1])
    loss = _loss(rows, targets, weights, coefficients, penalty)
    for _ in range(_MAX_ITERATIONS):
        fitted = logistic(rows @ coefficients)
        gradient = rows.T @ (weights * (fitted - targets))
        hessian = (rows * (weights * fitted * (1 - fitted))[:, None]).T @ rows
        hessian += 1e-12 * max(1.0, float(np.trace(hessian))) * np.eye(len(coefficients))
        step = _coordinate_descent(hessian, gradient, coefficients, penalty) - coefficients
        size = 1.0
        while (new := _loss(rows, targets, weights, coefficients + size * step, penalty)) > loss:
            size /= 2
            if size < 1e-10:
                return coefficients
        coefficients = coefficients + size * step
        if float(np.abs(size * step).max()) < 1e-10:
            return coefficients
        loss = new
    return coefficients


def _loss(
    rows: "Array", targets: "Array", weights: "Array", coefficients: "Array", penalty: float
) -> float:
    import numpy as np

    logits = rows @ coefficients
    log_loss = float(weights @ (np.logaddexp(0, logits) - targets * logits))
    return log_loss + penalty * float(np.abs(coefficients).sum())


def _coordinate_descent(
    hessian: "Array", gradient: "Array", start: "Array", penalty: float
) -> "Array":
    """Return the minimum of the quadratic with this hessian and gradient at `start`, plus lasso."""
    import numpy as np

    if not penalty:
        step: Array = np.linalg.solve(hessian, gradient)
        return start - step
    found = start.copy()
    for _ in range(_MAX_SWEEPS):
        change = 0.0
        for k in range(len(found)):
            slope = gradient[k] + hessian[k] @ (found - start) - hessian[k, k] * found[k]
            new = -np.sign(slope) * max(abs(slope) - penalty, 0.0) / hessian[k, k]
            change, found[k] = max(change, abs(new - found[k])), new
        if change < 1e-12:
            break
    return found
