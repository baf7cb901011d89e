"""Select a subset of records that are as different from one another as possible.

Greedy k-center (Gonzalez 1985): the next record is always the one farthest from all selected ones.
The largest distance of a record to the subset is at most twice that of the best subset.
"""

import re
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any

from xxhash import xxh3_64_intdigest

from seqit.engine.spool import Spool, ensure_decoded
from seqit.records.identity import stable_hash
from seqit.records.run_stats import Row, RunStats

EMBEDDING_SIZE = 256
"""Dimensions of a hashed embedding."""
EMBEDDING_SCALE = 1000
"""Norm of the stored embeddings, whose components are integers: all products and sums below are
under 2^24, which 32-bit floats represent exactly, so the subset is the same on every machine."""
BLOCK_SIZE = 1 << 14
"""Embeddings per matrix operation."""
MAX_DISTANCES = 1 << 29
"""Distances computed for one set of rows; above it, rows are first divided into groups."""
STAGE = "diverse"

_WORD = re.compile(r"\w+|[^\w\s]")
_BATCH_SIZE = 256  # rows embedded at once

Array = Any  # numpy's

Embed = Callable[[Sequence[str]], Array]
"""Returns a vector of norm 1, or of zeros, for each text."""


def embed_hashed(tasks: Sequence[str]) -> Array:
    """Return embeddings of tasks by hashed words and pairs of words, tasks × EMBEDDING_SIZE."""
    import numpy as np

    return np.stack([_embed(task) for task in tasks])


def _embed(task: str) -> Array:
    import numpy as np

    words = _WORD.findall(task.lower())
    counts: dict[str, int] = {}
    for feature in (*words, *map(" ".join, pairwise(words))):
        counts[feature] = counts.get(feature, 0) + 1
    vector = np.zeros(EMBEDDING_SIZE)
    for feature, count in counts.items():
        index = xxh3_64_intdigest(feature.encode())
        # With random signs, features that share an index cancel out on average.
        vector[index % EMBEDDING_SIZE] += count**0.5 if index >> 63 else -(count**0.5)
    norm = float(np.sqrt((vector * vector).sum()))
    return vector / norm if norm else vector


def select_diverse(
    rows: Iterable[Row], stats: RunStats, *, count: int, seed: int, embed: Embed = embed_hashed
) -> Iterator[Row]:
    """Yield `count` rows in input order, each far from the others; the rest are rejected.

    The seed decides the first one. `embed` gets instruction and input as one text. Rows and
    embeddings (1 KB per row for `embed_hashed`) are in temporary files, memory-mapped; besides,
    a row takes 40 bytes of memory. Above MAX_DISTANCES distances, rows are first grouped by the
    nearest of some distant pivots, and each group gets a quota in proportion to its spread.
    `stats.results["diverse"]` has rows, drawn, and the mean and largest distance to the nearest
    selected row (0: the same words, 1.41: none in common).
    """
    with Spool(stats) as spool, tempfile.NamedTemporaryFile(prefix="seqit-filter-") as file:
        hashes = array("Q")
        spooled = (row for row in map(ensure_decoded, rows) if spool.add(row))
        while batch := list(islice(spooled, _BATCH_SIZE)):
            tasks = [f"{row.value['instruction']}\n{row.value['input']}" for row in batch]
            file.write(_to_integers(embed(tasks)).tobytes())
            hashes.extend(stable_hash(seed, row.value["id"], 0, STAGE) >> 64 for row in batch)
        file.flush()
        selected, distances = select_farthest(_memory_map(file.name, len(hashes)), hashes, count)
        stats.results["diverse"] = {
            "rows": len(hashes),
            "drawn": int(selected.sum()),
            "mean_distance": round(float(distances.mean()), 4) if len(hashes) else 0.0,
            "largest_distance": round(float(distances.max()), 4) if len(hashes) else 0.0,
        }
        for number, row in enumerate(spool.rows()):
            if selected[number]:
                yield row
            else:
                nearest = round(float(distances[number]), 4)
                message = (
                    f"the nearest of the {count:,} rows drawn is at a distance of {nearest:.2f}"
                )
                stats.reject(row, STAGE, "not-diverse", message, distance=nearest)


def report_line(report: dict[str, Any]) -> str:
    """Format the report as one line."""
    return (
        f"selected {report['drawn']:,} of {report['rows']:,} rows; distance to the nearest: mean "
        f"{report['mean_distance']:.2f}, largest {report['largest_distance']:.2f}"
    )


def select_farthest(points: Array, hashes: "array[int]", count: int) -> tuple[Array, Array]:
    """Return which points are selected, and the distance of each point to the nearest of them.

    `points` are rows of integers as float32; the point with the lowest of `hashes` is selected
    first. Distances are those of unit vectors.
    """
    import numpy as np

    selection = _Selection(points)
    if len(points):
        first = min(range(len(points)), key=hashes.__getitem__)
        groups = -(-min(count, len(points)) * len(points) // MAX_DISTANCES)
        if groups == 1:
            selection.select(np.arange(len(points)), count, first)
        else:
            selection.select_by_groups(count, groups, first)
    return selection.selected, np.sqrt(selection.squared_distances) / EMBEDDING_SCALE


class _Selection:
    """The points selected so far, and the squared distance of each point to the nearest one."""

    def __init__(self, points: Array) -> None:
        import numpy as np

        self.points = points
        self.selected = np.zeros(len(points), bool)
        self.squared_distances = np.full(len(points), np.inf, np.float32)
        self._norms = _norms(points)

    def select(self, members: Array, count: int, first: int | None = None) -> None:
        """Select `count` more of the members (sorted indices), always the farthest one."""
        import numpy as np

        squared, selected = self.squared_distances[members], self.selected[members]
        is_all = len(members) == len(self.points)
        for _ in range(min(count, len(members) - int(selected.sum()))):
            # If only copies of selected points are left, each of them is selected once.
            index = int(np.where(selected, -1, squared).argmax())
            if first is not None:
                index, first = int(np.searchsorted(members, first)), None
            selected[index] = True
            center, norm = np.array(self.points[members[index]]), self._norms[members[index]]
            for start in range(0, len(members), BLOCK_SIZE):
                part = slice(start, start + BLOCK_SIZE)
                indices = part if is_all else members[part]
                squares = self._norms[indices] + norm - 2 * (self.points[indices] @ center)
                np.minimum(squared[part], squares, out=squared[part])
        self.squared_distances[members], self.selected[members] = squared, selected

    def select_by_groups(self, count: int, groups: int, first: int) -> None:
        """Select from groups around distant pivots, then the last points from all members.

        The last ones fill gaps in groups whose quota was too small.
        """
        import numpy as np

        all_members = np.arange(len(self.points))
        pivot_selection = _Selection(self.points)
        pivot_selection.select(all_members, groups, first)
        pivots = np.flatnonzero(pivot_selection.selected)
        nearest = np.empty(len(self.points), np.int32)
        for start in range(0, len(self.points), BLOCK_SIZE):
            block = self.points[start : start + BLOCK_SIZE]
            nearest[start : start + BLOCK_SIZE] = _squared_distances(
                block, self.points[pivots]
            ).argmin(axis=1)
        sizes = np.bincount(nearest, minlength=len(pivots))
        # + 1, so that a group of copies, without any spread, gets a quota, too.
        distances = np.sqrt(pivot_selection.squared_distances)
        spread = np.bincount(nearest, distances, minlength=len(pivots)) + 1
        last = min(count // 8, MAX_DISTANCES // len(self.points))
        quotas = _allocate(count - last, spread, sizes)
        for number in np.flatnonzero(sizes):
            self.select(np.flatnonzero(nearest == number), int(quotas[number]))
        self.select(all_members, count - int(self.selected.sum()))


def _allocate(count: int, weights: Array, max_sizes: Array) -> Array:
    """Return integers that sum up to `count`, in proportion to the weights, at most `max_sizes`."""
    import numpy as np

    quotas = np.zeros(len(weights), np.int64)
    while (remaining := min(count, int(max_sizes.sum())) - int(quotas.sum())) > 0:
        open_ = quotas < max_sizes
        exact = remaining * np.where(open_, weights, 0) / weights[open_].sum()
        more = np.minimum(np.maximum(np.floor(exact), 0).astype(np.int64), max_sizes - quotas)
        if not more.any():
            for index in np.argsort(-exact, kind="stable")[:remaining]:
                more[index] = int(open_[index])
        quotas += more
    return quotas


def _squared_distances(points: Array, others: Array) -> Array:
    """Return the squared distances of all points to all others: points × others."""
    import numpy as np

    products = np.asarray(points) @ np.asarray(others).T
    return _norms(points)[:, None] + _norms(others)[None, :] - 2 * products


def _norms(points: Array) -> Array:
    import numpy as np

    norms = np.empty(len(points), np.float32)
    for start in range(0, len(points), BLOCK_SIZE):
        block = np.asarray(points[start : start + BLOCK_SIZE])
        norms[start : start + BLOCK_SIZE] = np.einsum("ij,ij->i", block, block)
    return norms


def _to_integers(vectors: Array) -> Array:
    import numpy as np

    return np.rint(vectors * EMBEDDING_SCALE).astype(np.float32)


def _memory_map(name: str, rows: int) -> Array:
    """Return the embeddings in the file, which are paged in as needed."""
    import numpy as np

    if not rows:
        return np.zeros((0, EMBEDDING_SIZE), np.float32)
    return np.memmap(name, np.float32, "r").reshape(rows, -1)
