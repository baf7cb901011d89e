"""gaoya with its 5-grams and threads, in batches: with_gaoya.py RECORDS OUT FIELDS [verified].

verified: with a threshold at which it finds 99 % of the pairs at 0.8, and each pair found
compared exactly.
"""

import sys
from collections.abc import Iterator
from itertools import islice

import orjson
from gaoya.minhash import MinHashStringIndex
from verify import KeptRows, shingles

FIELDS = sys.argv[3].split("+")


def make_index(threshold: float) -> MinHashStringIndex:
    return MinHashStringIndex(
        hash_size=32,
        jaccard_threshold=threshold,
        num_bands=16,
        band_size=6,
        analyzer="word",
        lowercase=True,
        ngram_range=(5, 5),
        id_container="smallvec",
    )


def run(records: Iterator[bytes], verified: bool) -> Iterator[bytes]:
    index = make_index(0.65 if verified else 0.8)
    kept = KeptRows()
    first = 0
    while lines := list(islice(records, 1000)):
        rows = list(map(orjson.loads, lines))
        texts = ["\n".join(row[field] for field in FIELDS) for row in rows]
        numbers = range(first, first + len(lines))
        index.par_bulk_insert_docs(list(numbers), texts)
        near = index.par_bulk_query(texts)
        for number, line, row, similar in zip(numbers, lines, rows, near, strict=True):
            if verified:
                is_new = kept.is_new(number, shingles(row, FIELDS), similar)
            else:
                is_new = min(similar, default=number) >= number
            if is_new:
                yield line
        first += len(lines)


with open(sys.argv[1], "rb") as records, open(sys.argv[2], "wb") as out:  # noqa: PTH123
    out.writelines(run(records, bool(sys.argv[4:])))
