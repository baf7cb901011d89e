"""gaoya, its own 5-grams, bands and threads, in batches: with_gaoya.py RECORDS OUT FIELDS."""

import sys
from itertools import islice

import orjson
from gaoya.minhash import MinHashStringIndex

FIELDS = sys.argv[3].split("+")


def text(line: bytes) -> str:
    row = orjson.loads(line)
    return "\n".join(row[field] for field in FIELDS)


with open(sys.argv[1], "rb") as records, open(sys.argv[2], "wb") as out:  # noqa: PTH123
    index = MinHashStringIndex(
        hash_size=32,
        jaccard_threshold=0.8,
        num_bands=16,
        band_size=6,
        analyzer="word",
        lowercase=True,
        ngram_range=(5, 5),
        id_container="smallvec",
    )
    first = 0
    while lines := list(islice(records, 1000)):
        texts = [text(line) for line in lines]
        numbers = range(first, first + len(lines))
        index.par_bulk_insert_docs(list(numbers), texts)
        for number, line, similar in zip(numbers, lines, index.par_bulk_query(texts), strict=True):
            if min(similar, default=number) >= number:
                out.write(line)
        first += len(lines)
