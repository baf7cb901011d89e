"""A subset of records as different from one another as can be: farthest points first.

Greedy k-center (Gonzalez 1985): each record drawn is the one farthest from all drawn before, so
that no record is farther from the subset than twice what the best subset of this size allows.
"""

import re
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any

from xxhash import xxh3_64_intdigest

from seqit.engine.spool import Spool, value_of
from seqit.records.identity import stable_hash
from seqit.records.run_stats import Row, RunStats

WIDTH = 256
"""Numbers of a hashed embedding."""
LENGTH = 1000
"""Length of an embedding. Its numbers are whole: every product and sum of theirs below is under
2^24, which 32-bit floats hold exactly, so that the subset is the same on every machine."""
BLOCK = 1 << 14
"""Embeddings that are looked at at once."""
STEPS = 1 << 29
"""Distances computed for one set of rows; above it, rows are first parted into groups."""
STAGE = "diverse"

_WORD = re.compile(r"\w+|[^\w\s]")
_AT_ONCE = 256  # rows that are embedded together

Array = Any  # numpy's

Embed = Callable[[Sequence[str]], Array]
"""Gives a vector of length 1, or of zeros, for each text."""


def hashed(tasks: Sequence[str]) -> Array:
    """Return embeddings of tasks, tasks × WIDTH: hashed words and pairs of words."""
    import numpy as np

    return np.stack([_hashed(task) for task in tasks])


def _hashed(task: str) -> Array:
    import numpy as np

    words = _WORD.findall(task.lower())
    counts: dict[str, int] = {}
    for feature in (*words, *map(" ".join, pairwise(words))):
        counts[feature] = counts.get(feature, 0) + 1
    vector = np.zeros(WIDTH)
    for feature, count in counts.items():
        place = xxh3_64_intdigest(feature.encode())
        # The sign makes features that share a place cancel out, on average.
        vector[place % WIDTH] += count**0.5 if place >> 63 else -(count**0.5)
    norm = float(np.sqrt((vector * vector).sum()))
    return vector / norm if norm else vector


def diverse(
    rows: Iterable[Row], stats: RunStats, *, count: int, seed: int, embed: Embed = hashed
) -> Iterator[Row]:
    """Yield `count` rows in their order, each far from the others; the rest is rejected.

    The first is drawn by the seed. `embed` is given instruction and input as one text. Rows and
    embeddings, 1 KB a row where words are hashed, wait in temporary files; the memory holds 40
    bytes a row, and the embeddings as far as the system has room for files. Above STEPS
    distances, rows are first parted by the nearest of some far points, and each group gives
    in proportion to how much it spreads. `stats.results["diverse"]` tells rows, drawn, and the
    mean and largest distance to the nearest drawn one (0: the same words, 1.41: none in common).
    """
    with Spool(stats) as spool, tempfile.NamedTemporaryFile(prefix="seqit-filter-") as file:
        lots = array("Q")
        fitting = (row for row in map(value_of, rows) if spool.add(row))
        while batch := list(islice(fitting, _AT_ONCE)):
            tasks = [f"{row.value['instruction']}\n{row.value['input']}" for row in batch]
            file.write(_whole(embed(tasks)).tobytes())
            lots.extend(stable_hash(seed, row.value["id"], 0, STAGE) >> 64 for row in batch)
        file.flush()
        drawn, away = choose(_mapped(file.name, len(lots)), lots, count)
        stats.results["diverse"] = {
            "rows": len(lots),
            "drawn": int(drawn.sum()),
            "mean_distance": round(float(away.mean()), 4) if len(lots) else 0.0,
            "largest_distance": round(float(away.max()), 4) if len(lots) else 0.0,
        }
        for number, row in enumerate(spool.rows()):
            if drawn[number]:
                yield row
            else:
                nearest = round(float(away[number]), 4)
                message = (
                    f"the nearest of the {count:,} rows drawn is at a distance of {nearest:.2f}"
                )
                stats.reject(row, STAGE, "not-diverse", message, distance=nearest)


def report_line(told: dict[str, Any]) -> str:
    """Return the report as one closing line."""
    return (
        f"drew {told['drawn']:,} of {told['rows']:,} rows; distance to the nearest one: mean "
        f"{told['mean_distance']:.2f}, largest {told['largest_distance']:.2f}"
    )


def choose(points: Array, lots: "array[int]", count: int) -> tuple[Array, Array]:
    """Return which points are drawn, and how far each is from the nearest of them.

    `points` are rows of whole numbers as float32; the point with the lowest of `lots` comes
    first. Distances are of unit vectors.
    """
    import numpy as np

    subset = _Subset(points)
    if len(points):
        first = min(range(len(points)), key=lots.__getitem__)
        groups = -(-min(count, len(points)) * len(points) // STEPS)
        if groups == 1:
            subset.draw(np.arange(len(points)), count, first)
        else:
            subset.draw_by_groups(count, groups, first)
    return subset.drawn, np.sqrt(subset.away) / LENGTH


class _Subset:
    """The points drawn so far, and the squared distance of each point to the nearest one."""

    def __init__(self, points: Array) -> None:
        import numpy as np

        self.points = points
        self.drawn = np.zeros(len(points), bool)
        self.away = np.full(len(points), np.inf, np.float32)
        self._norms = _norms(points)

    def draw(self, members: Array, count: int, first: int | None = None) -> None:
        """Draw `count` more of the members, places in order: always the farthest."""
        import numpy as np

        away, drawn = self.away[members], self.drawn[members]
        is_all = len(members) == len(self.points)
        for _ in range(min(count, len(members) - int(drawn.sum()))):
            # Once nothing is left but copies of what is drawn, each is drawn once all the same.
            place = int(np.where(drawn, -1, away).argmax())
            if first is not None:
                place, first = int(np.searchsorted(members, first)), None
            drawn[place] = True
            center, norm = np.array(self.points[members[place]]), self._norms[members[place]]
            for start in range(0, len(members), BLOCK):
                part = slice(start, start + BLOCK)
                those = part if is_all else members[part]
                squares = self._norms[those] + norm - 2 * (self.points[those] @ center)
                np.minimum(away[part], squares, out=away[part])
        self.away[members], self.drawn[members] = away, drawn

    def draw_by_groups(self, count: int, groups: int, first: int) -> None:
        """Draw from groups by themselves, which the nearest of far points part, then from all.

        The last ones, from all, fill the gaps where a group had more to cover than its part.
        """
        import numpy as np

        everyone = np.arange(len(self.points))
        far = _Subset(self.points)
        far.draw(everyone, groups, first)
        pivots = np.flatnonzero(far.drawn)
        nearest = np.empty(len(self.points), np.int32)
        for start in range(0, len(self.points), BLOCK):
            block = self.points[start : start + BLOCK]
            nearest[start : start + BLOCK] = _squares(block, self.points[pivots]).argmin(axis=1)
        sizes = np.bincount(nearest, minlength=len(pivots))
        # A group of copies spreads nowhere, and gives a row all the same.
        spread = np.bincount(nearest, np.sqrt(far.away), minlength=len(pivots)) + 1
        last = min(count // 8, STEPS // len(self.points))
        quotas = _divide(count - last, spread, sizes)
        for number in np.flatnonzero(sizes):
            self.draw(np.flatnonzero(nearest == number), int(quotas[number]))
        self.draw(everyone, count - int(self.drawn.sum()))


def _divide(count: int, weights: Array, most: Array) -> Array:
    """Return whole numbers that sum up to `count`, in proportion to the weights; `most` bounds."""
    import numpy as np

    quotas = np.zeros(len(weights), np.int64)
    while (left := min(count, int(most.sum())) - int(quotas.sum())) > 0:
        open_ = quotas < most
        exact = left * np.where(open_, weights, 0) / weights[open_].sum()
        more = np.minimum(np.maximum(np.floor(exact), 0).astype(np.int64), most - quotas)
        if not more.any():
            for place in np.argsort(-exact, kind="stable")[:left]:
                more[place] = int(open_[place])
        quotas += more
    return quotas


def _squares(points: Array, others: Array) -> Array:
    """Return the squared distances of all points to all others."""
    import numpy as np

    products = np.asarray(points) @ np.asarray(others).T
    return _norms(points)[:, None] + _norms(others)[None, :] - 2 * products


def _norms(points: Array) -> Array:
    import numpy as np

    norms = np.empty(len(points), np.float32)
    for start in range(0, len(points), BLOCK):
        block = np.asarray(points[start : start + BLOCK])
        norms[start : start + BLOCK] = np.einsum("ij,ij->i", block, block)
    return norms


def _whole(vectors: Array) -> Array:
    import numpy as np

    return np.rint(vectors * LENGTH).astype(np.float32)


def _mapped(name: str, rows: int) -> Array:
    """Return the embeddings in the file, which the system reads as they are needed."""
    import numpy as np

    if not rows:
        return np.zeros((0, WIDTH), np.float32)
    return np.memmap(name, np.float32, "r").reshape(rows, -1)
