"""Sets of shingles (n words in a row) of texts, and the Jaccard index of two sets.

Texts are processed in batches: words, their hashes and those of the shingles are computed in a few
passes over all bytes, at two fifths of the cost of splitting texts and hashing word by word.
"""

import re
import unicodedata
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from xxhash import xxh3_64_intdigest

from seqit.errors import SeqitError

if TYPE_CHECKING:
    from numpy import int64, uint64
    from numpy.typing import NDArray

    Hashes = NDArray[uint64]
    Counts = NDArray[int64]

_WORD_GAP = b" "
_TEXT_END = b"\n"  # within a text, white space becomes a gap

# Translates ASCII to lower case, and white space to blanks.
_FOLDED_BYTES = bytes(
    32 if 9 <= byte <= 13 or 28 <= byte <= 31 else byte for byte in bytes(range(256)).lower()
)

# Scripts written without spaces: Thai, Lao, Tibetan, Myanmar, Khmer, kana, Han and the
# punctuation between their characters.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)

_CHUNK_SIZE = 1 << 18  # bytes hashed at once; a longer word counts as several
_BASE = 0x9E3779B97F4A7C15  # odd, so that it can be divided by modulo 2**64


class Shingles(NamedTuple):
    """The shingles of several texts: their hashes, concatenated, and where each text ends."""

    hashes: "Hashes"
    ends: "Counts"


def normalize_words(text: str) -> bytes:
    """Return the words of a text, case-folded and in NFC, as UTF-8 with gaps between them.

    Words are separated by white space and include punctuation: ``5+3`` is not ``5-3``. In scripts
    written without spaces each character is a word.
    """
    if text.isascii():
        return text.encode().translate(_FOLDED_BYTES)
    normal = unicodedata.normalize("NFC", text.casefold())
    return " ".join(_UNSPACED.sub(r" \g<0> ", normal).split()).encode("utf-8", "surrogatepass")


def shingler(n: int) -> Callable[[Sequence[str], Sequence[bytes]], Shingles]:
    """Return a function from texts and their contexts to the hashes of each `n` words in a row.

    A text of fewer words has one shingle, a text without words none. Texts of different contexts
    share no shingle; empty means no context. Hashes may occur several times. Raises SeqitError if
    numpy is not installed.
    """
    try:
        import numpy as np
    except ImportError:
        raise missing_package("numpy") from None

    # The words' hashes weighted by position and summed modulo 2**64; odd weights lose no bits.
    weights = np.array([xxh3_64_intdigest(bytes([place])) | 1 for place in range(n)], np.uint64)
    hash_words = _word_hasher()

    def shingles(texts: Sequence[str], contexts: Sequence[bytes]) -> Shingles:
        words, counts = hash_words(b"".join([normalize_words(text) + _TEXT_END for text in texts]))
        words, slots = _pad(words, counts, n)
        found = np.maximum(slots - (n - 1), 0)
        ends = np.cumsum(found)
        if len(words) < n:
            return Shingles(words[:0], ends)
        hashes = np.correlate(words, weights)
        # Drop those that begin in one text and end in another.
        crossing = (np.cumsum(slots)[:, None] - np.arange(1, n)).ravel()
        inside = np.ones(len(hashes), np.bool_)
        inside[crossing[(crossing >= 0) & (crossing < len(hashes))]] = False
        hashes = hashes[inside]
        if any(contexts):
            salts = [xxh3_64_intdigest(context) if context else 0 for context in contexts]
            hashes ^= np.repeat(np.array(salts, np.uint64), found)
        return Shingles(hashes, ends)

    return shingles


def _pad(words: "Hashes", counts: "Counts", n: int) -> "tuple[Hashes, Counts]":
    """Return the words and their number in each text, texts of fewer than `n` padded with zeros."""
    import numpy as np

    slots = np.where(counts > 0, np.maximum(counts, n), 0)
    added = slots - counts
    if not added.any():
        return words, slots
    padded = np.zeros(slots.sum(), np.uint64)
    before = np.cumsum(added) - added
    padded[np.arange(len(words)) + np.repeat(before, counts)] = words
    return padded, slots


def _word_hasher() -> "Callable[[bytes], tuple[Hashes, Counts]]":
    """Return a function from normalized, terminated texts to the hashes and numbers of their words.

    A word is a number whose digits, in a base modulo 2**64, are its bytes (Karp and Rabin 1987):
    the sums up to each byte give the numbers of all words. MurmurHash3's finalizer mixes them.
    """
    import numpy as np

    base, inverse = np.uint64(_BASE), np.uint64(pow(_BASE, -1, 1 << 64))
    powers, inverses = (
        np.cumprod(np.concatenate(([np.uint64(1)], np.full(_CHUNK_SIZE - 1, factor))))
        for factor in (base, inverse)
    )
    sums = np.zeros(_CHUNK_SIZE + 1, np.uint64)

    def hash_chunk(data: "NDArray[np.uint8]", gaps: "NDArray[np.bool_]") -> "tuple[Any, Any]":
        """Return the hashes of the words of a chunk, and where they begin."""
        edges = np.empty(len(data) + 1, np.bool_)
        edges[0], edges[-1] = not gaps[0], not gaps[-1]
        np.not_equal(gaps[1:], gaps[:-1], out=edges[1:-1])
        places = np.flatnonzero(edges)
        starts, stops = places[::2], places[1::2]
        digits = data.astype(np.uint64)
        digits += np.uint64(1)  # so that a NUL byte counts
        digits *= powers[: len(data)]
        np.cumsum(digits, out=sums[1 : len(data) + 1])
        hashes = (sums[stops] - sums[starts]) * inverses[starts]
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            hashes ^= hashes >> np.uint64(33)
            hashes *= np.uint64(factor)
        return hashes ^ (hashes >> np.uint64(33)), starts

    def hash_words(texts: bytes) -> "tuple[Hashes, Counts]":
        data = np.frombuffer(texts, np.uint8)
        lines = data == ord(_TEXT_END)
        gaps = lines | (data == ord(_WORD_GAP))
        hashes, starts = [], []
        place = 0
        while place < len(texts):
            stop = place + _CHUNK_SIZE
            if stop < len(texts):
                cut = max(texts.rfind(_WORD_GAP, place, stop), texts.rfind(_TEXT_END, place, stop))
                stop = cut + 1 if cut >= 0 else stop
            words, begins = hash_chunk(data[place:stop], gaps[place:stop])
            hashes.append(words)
            starts.append(begins + place)
            place = stop
        ends = np.flatnonzero(lines)
        begun = np.concatenate(starts) if starts else np.zeros(0, np.int64)
        counts = np.diff(np.searchsorted(begun, ends), prepend=0)
        found = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
        return found, counts.astype(np.int64)

    return hash_words


def pack(hashes: "Hashes") -> bytes:
    """Return shingles as bytes: 32 of the 64 bits of each.

    Collisions change the Jaccard index of texts of 1,000 words by less than 1e-6.
    """
    return hashes.view("uint32")[1::2].tobytes()


def unpack(packed: bytes) -> set[int]:
    """Return the set of shingles packed by `pack`."""
    return set(array("I", packed))


def jaccard(one: set[int], other: set[int]) -> float:
    """Return the size of the intersection divided by that of the union; neither set is empty."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def missing_package(module: str) -> SeqitError:
    """Return the error for a missing package, with how to install it."""
    return SeqitError(f"near-duplicate needs {module}: pip install 'seqit[near]'")
