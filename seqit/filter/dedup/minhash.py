"""MinHash: short signatures of sets, whose share of equal slots estimates the Jaccard index.

The sketch is rensa's R-MinHash: 64 slots of 32 bits. 8 bits per slot are kept for the estimate
(b-bit minwise hashing: Li and König 2010, arXiv 0910.3349).
"""

import math
import os
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from seqit.filter.dedup.shingles import Shingles, missing_package

if TYPE_CHECKING:
    from numpy import uint8, uint32
    from numpy.typing import NDArray

SLOTS = 64

_SEED = 42
_MISS_RATE = 0.01  # of pairs whose Jaccard index is the threshold; lower for more similar ones
_COLLISION_RATE = 1 / 256  # probability that two different slots have the same 8 bits
_LOWEST_BITS = int.from_bytes(b"\1" * SLOTS)
_MULTIPLIER = 0x9E3779B97F4A7C15


class Sketches(NamedTuple):
    """The sketches of several sets: one 32-bit key per band, and 8 bits per slot."""

    keys: "NDArray[uint32]"  # sets × bands
    signatures: "NDArray[uint8]"  # sets × slots


def bands_for(threshold: float) -> tuple[int, int]:
    """Return the number of bands, and of slots per band, that find 99 % of pairs at the threshold.

    Bands are as wide as the slots allow: the wider, the fewer false candidates.
    """
    for rows in range(SLOTS, 0, -1):
        hit = threshold**rows
        bands = 1 if hit == 1 else math.ceil(math.log(_MISS_RATE) / math.log1p(-hit))
        if bands * rows <= SLOTS:
            return bands, rows
    raise ValueError(f"no bands of {SLOTS} slots find pairs at {threshold}")


def sketcher(threshold: float) -> Callable[[Shingles], Sketches]:
    """Return a function that sketches the texts that have shingles, in their order.

    Raises SeqitError if rensa is not installed.
    """
    try:
        from rensa import RMinHash
    except ImportError:
        raise missing_package("rensa") from None
    import numpy as np

    bands, rows = bands_for(threshold)
    join = Struct(f"{SLOTS}I").pack
    matrix = RMinHash.digest_matrix_from_flat_token_hashes
    _force_single_thread(matrix)
    # Odd, so that no bit of a slot is lost; the upper half of the sum depends on all bits.
    factors = np.array([pow(_MULTIPLIER, place + 1, 1 << 64) for place in range(rows)], np.uint64)

    def sketch(shingles: Shingles) -> Sketches:
        hashes, ends = shingles
        offsets = [0, *np.unique(ends[ends > 0]).tolist()]
        found = matrix(hashes, offsets, SLOTS, _SEED).to_rows() if len(offsets) > 1 else []
        slots = np.frombuffer(b"".join([join(*row) for row in found]), "<u4").reshape(-1, SLOTS)
        banded = slots[:, : bands * rows].reshape(-1, bands, rows)
        keys = ((banded * factors).sum(axis=2, dtype=np.uint64) >> np.uint64(32)).astype(np.uint32)
        return Sketches(keys, slots.astype(np.uint8))

    return sketch


def _force_single_thread(matrix: Callable[..., Any]) -> None:
    """Make rensa choose a single thread, which it does at its first large call.

    Otherwise it starts a thread pool, which does not survive a fork: a worker of
    `seqit.engine.processes` would wait for it forever.
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
    """Return the number of equal slots of two signatures."""
    differing = int.from_bytes(one) ^ int.from_bytes(other)
    for shift in (4, 2, 1):  # a byte's lowest bit becomes 1 if any of its bits is
        differing |= differing >> shift
    return SLOTS - (differing & _LOWEST_BITS).bit_count()


def estimate_jaccard(equal: int) -> float:
    """Return the Jaccard index estimated from the number of equal slots, within 0.1 or so."""
    return max(0.0, (equal / SLOTS - _COLLISION_RATE) / (1 - _COLLISION_RATE))


def min_equal_slots(threshold: float) -> int:
    """Return the least number of equal slots of a pair at the threshold, at four deviations."""
    lowest = threshold - 4 * math.sqrt(threshold * (1 - threshold) / SLOTS)
    return math.ceil((lowest * (1 - _COLLISION_RATE) + _COLLISION_RATE) * SLOTS)
