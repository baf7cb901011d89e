"""MinHash: a short signature for a set, of which equal shares tell the Jaccard index.

The sketch is rensa's R-MinHash: 64 slots of 32 bits. Of a slot 8 bits are kept for the estimate
(b-bit minwise hashing: Li and König 2010, arXiv 0910.3349).
"""

import math
import os
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from seqit.filter.dedup.shingles import Shingles, missing

if TYPE_CHECKING:
    from numpy import uint8, uint32
    from numpy.typing import NDArray

SLOTS = 64

_SEED = 42
_MISSED = 0.01  # of the pairs whose Jaccard index is the threshold; of more similar ones, fewer
_CHANCE = 1 / 256  # two slots that differ have the same 8 bits
_LOWEST_BITS = int.from_bytes(b"\1" * SLOTS)
_FACTOR = 0x9E3779B97F4A7C15


class Sketches(NamedTuple):
    """What is compared of several sets: a key a band, 32 bits each, and 8 bits a slot."""

    keys: "NDArray[uint32]"  # sets × bands
    signatures: "NDArray[uint8]"  # sets × slots


def bands_for(threshold: float) -> tuple[int, int]:
    """Return how many bands of how many slots find at least 99 % of the pairs at the threshold.

    Bands as wide as the slots allow: the wider, the fewer pairs are looked at in vain.
    """
    for rows in range(SLOTS, 0, -1):
        hit = threshold**rows
        bands = 1 if hit == 1 else math.ceil(math.log(_MISSED) / math.log1p(-hit))
        if bands * rows <= SLOTS:
            return bands, rows
    raise ValueError(f"no bands of {SLOTS} slots find pairs at {threshold}")


def sketcher(threshold: float) -> Callable[[Shingles], Sketches]:
    """Return the function that sketches the texts that have shingles, in their order.

    Raises SeqitError where rensa is not installed.
    """
    try:
        from rensa import RMinHash
    except ImportError:
        raise missing("rensa") from None
    import numpy as np

    bands, rows = bands_for(threshold)
    join = Struct(f"{SLOTS}I").pack
    matrix = RMinHash.digest_matrix_from_flat_token_hashes
    _keep_to_one_thread(matrix)
    # Odd, so that no bit of a slot is lost; of the sum the upper half depends on all bits.
    factors = np.array([pow(_FACTOR, place + 1, 1 << 64) for place in range(rows)], np.uint64)

    def sketch(shingles: Shingles) -> Sketches:
        hashes, ends = shingles
        offsets = [0, *np.unique(ends[ends > 0]).tolist()]
        found = matrix(hashes, offsets, SLOTS, _SEED).to_rows() if len(offsets) > 1 else []
        slots = np.frombuffer(b"".join([join(*row) for row in found]), "<u4").reshape(-1, SLOTS)
        cut = slots[:, : bands * rows].reshape(-1, bands, rows)
        keys = ((cut * factors).sum(axis=2, dtype=np.uint64) >> np.uint64(32)).astype(np.uint32)
        return Sketches(keys, slots.astype(np.uint8))

    return sketch


def _keep_to_one_thread(matrix: Callable[..., Any]) -> None:
    """Let rensa settle for one thread, which it does when it first has much to do.

    Else it starts a pool of threads, which does not live on in a forked process: a worker of
    `seqit.engine.processes` would wait for it for ever.
    """
    import numpy as np

    name, count = "RAYON_NUM_THREADS", 1 << 18
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        matrix(np.zeros(count, np.uint64), [0, count // 2, count], SLOTS, _SEED)
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def equal_slots(one: bytes, other: bytes) -> int:
    """Return in how many slots two signatures are equal."""
    differing = int.from_bytes(one) ^ int.from_bytes(other)
    for shift in (4, 2, 1):  # a byte's lowest bit becomes 1 where any of its bits is
        differing |= differing >> shift
    return SLOTS - (differing & _LOWEST_BITS).bit_count()


def estimate(equal: int) -> float:
    """Return the Jaccard index that so many equal slots tell, within 0.1 or so."""
    return max(0.0, (equal / SLOTS - _CHANCE) / (1 - _CHANCE))


def least_equal(threshold: float) -> int:
    """Return how many slots of a pair at the threshold are equal at least: four deviations."""
    least = threshold - 4 * math.sqrt(threshold * (1 - threshold) / SLOTS)
    return math.ceil((least * (1 - _CHANCE) + _CHANCE) * SLOTS)
