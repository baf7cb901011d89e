"""MinHash: a short signature for a set, of which equal shares tell the Jaccard index.

The sketch is rensa's R-MinHash: 64 slots of 32 bits. Of a slot 8 bits are kept for the estimate
(b-bit minwise hashing: Li and König 2010, arXiv 0910.3349).
"""

import math
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from xxhash import xxh32_intdigest

from seqit.filter.shingles import missing

if TYPE_CHECKING:
    from seqit.filter.shingles import Shingles

SLOTS = 64

_SEED = 42
_MISSED = 0.01  # of the pairs whose Jaccard index is the threshold; of more similar ones, fewer
_CHANCE = 1 / 256  # two slots that differ have the same 8 bits
_LOWEST_BITS = int.from_bytes(b"\1" * SLOTS)


class Sketch(NamedTuple):
    """What is compared of a set: a key a band, 32 bits each, and 8 bits a slot."""

    keys: tuple[int, ...]
    signature: bytes


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


def sketcher(threshold: float) -> Callable[["Shingles"], Sketch]:
    """Return the function that sketches shingles, of which there is one at least.

    Raises SeqitError where rensa is not installed.
    """
    try:
        from rensa import RMinHash
    except ImportError:
        raise missing("rensa") from None
    bands, rows = bands_for(threshold)
    cut = Struct(f"{4 * rows}s" * bands).unpack_from
    join = Struct(f"{SLOTS}I").pack
    matrix = RMinHash.digest_matrix_from_flat_token_hashes

    def sketch(shingles: "Shingles") -> Sketch:
        raw = join(*matrix(shingles, [0, len(shingles)], SLOTS, _SEED).to_rows()[0])
        return Sketch(tuple(map(xxh32_intdigest, cut(raw))), raw[::4])

    return sketch


def estimate(one: bytes, other: bytes) -> float:
    """Return the Jaccard index as two signatures tell it, within 0.1 or so."""
    differing = int.from_bytes(one) ^ int.from_bytes(other)
    for shift in (4, 2, 1):  # a byte's lowest bit becomes 1 where any of its bits is
        differing |= differing >> shift
    equal = 1 - (differing & _LOWEST_BITS).bit_count() / SLOTS
    return max(0.0, (equal - _CHANCE) / (1 - _CHANCE))


def least_estimate(threshold: float) -> float:
    """Return the estimate below which a pair is not at the threshold: four deviations less."""
    return threshold - 4 * math.sqrt(threshold * (1 - threshold) / SLOTS)
