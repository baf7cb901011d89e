"""rensa: with_rensa.py RECORDS OUT FIELDS [verified].

Its deduplicator with 16 bands, in batches; verified: its index with bands that find 99 % of the
pairs at the threshold, and each pair found compared exactly.
"""

import sys
from collections.abc import Iterator
from itertools import islice

import orjson
from rensa import RMinHash, RMinHashDeduplicator, RMinHashLSH  # noqa: TID253
from verify import KeptRows, shingles

FIELDS = sys.argv[3].split("+")


def batches(records: Iterator[bytes]) -> Iterator[tuple[list[bytes], list[list[str]]]]:
    while lines := list(islice(records, 1000)):
        yield lines, [shingles(orjson.loads(line), FIELDS) for line in lines]


def as_documented(records: Iterator[bytes]) -> Iterator[bytes]:
    kept = RMinHashDeduplicator(threshold=0.8, num_perm=128, use_lsh=True, num_bands=16, seed=42)
    first = 0
    for lines, tokens in batches(records):
        flags = kept.add_pairs((str(first + place), each) for place, each in enumerate(tokens))
        yield from (line for line, keep in zip(lines, flags, strict=True) if keep)
        first += len(lines)


def verified(records: Iterator[bytes]) -> Iterator[bytes]:
    index = RMinHashLSH(threshold=0.8, num_perm=128, num_bands=16)
    kept = KeptRows()
    first = 0
    for lines, tokens in batches(records):
        sketches = RMinHash.from_token_sets(tokens, 128, 42)
        index.insert_many(sketches, start_key=first)
        found = index.query_all(sketches)
        for number, (line, each, near) in enumerate(zip(lines, tokens, found, strict=True), first):
            if kept.is_new(number, each, near):
                yield line
        first += len(lines)


with open(sys.argv[1], "rb") as records, open(sys.argv[2], "wb") as out:  # noqa: PTH123
    out.writelines((verified if sys.argv[4:] else as_documented)(records))
