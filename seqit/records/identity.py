"""Content ids, and random choices that depend only on a seed and a record's id."""

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import orjson
from xxhash import xxh3_128_hexdigest

from seqit.records.record import Record

_CONTENT = ("instruction", "input", "output", "system", "history", "images")


def content_id(record: Mapping[str, Any]) -> str:
    """Return 20 hexadecimal digits that depend only on what the model sees and answers.

    The same on every machine, in every file and with every number of workers: XXH3 over the
    content as one JSON array, absent parts null (input and output are empty, not absent). 80 bits:
    the probability of any collision among ten million different records is below 1e-10. It is not
    a signature: two records with the same id can be constructed on purpose.
    """
    content = [*map(record.get, _CONTENT)]
    return xxh3_128_hexdigest(orjson.dumps(content))[:20]


def with_id(record: Record) -> Record:
    """Return the record with the id of its current content, `id` first."""
    return {**record, "id": content_id(record)}


def stable_hash(seed: int, record_id: str, iteration: int, stage: str) -> int:
    """Return a number of 128 uniform bits, for one random choice about one record.

    Every random choice in seqit comes from here, so none depends on the order of the rows, on
    other rows, or on the number of workers.
    """
    key = f"{seed}\n{record_id}\n{iteration}\n{stage}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big")


def rng_for(seed: int, record_id: str, iteration: int, stage: str) -> random.Random:
    """Return a generator seeded with `stable_hash`, for choices that need more than one number."""
    return random.Random(stable_hash(seed, record_id, iteration, stage))
