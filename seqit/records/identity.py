"""Identity and chance: the same content has the same id, the same seed draws the same lots."""

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import orjson
from xxhash import xxh3_128_hexdigest

from seqit.records.record import Record

_CONTENT = ("instruction", "input", "output", "system", "history", "images")


def content_id(record: Mapping[str, Any]) -> str:
    """Return 20 hexadecimal digits that depend on what the model sees and answers, alone.

    The same on every machine, in every file and at every worker count: XXH3 over the content as
    one JSON array, absent parts null (input and output are empty, not absent). 80 bits: among ten
    million different records two meet by chance with a probability below 1e-10. It is no
    signature: who wants to can make two records of one id.
    """
    content = [*map(record.get, _CONTENT)]
    return xxh3_128_hexdigest(orjson.dumps(content))[:20]


def with_id(record: Record) -> Record:
    """Return the record under the id of its present content, `id` first."""
    return {**record, "id": content_id(record)}


def stable_hash(seed: int, record_id: str, iteration: int, stage: str) -> int:
    """Return the number, of 128 uniform bits, that decides one thing about one record.

    Every random choice in seqit comes from here, so no choice depends on the order of the rows,
    on other rows, or on the number of workers.
    """
    key = f"{seed}\n{record_id}\n{iteration}\n{stage}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big")


def rng_for(seed: int, record_id: str, iteration: int, stage: str) -> random.Random:
    """Return a generator from the lot, for a decision that needs more than one number."""
    return random.Random(stable_hash(seed, record_id, iteration, stage))
