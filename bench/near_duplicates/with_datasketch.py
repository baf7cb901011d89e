"""datasketch, as its documentation has it: with_datasketch.py RECORDS OUT FIELDS."""

import sys
from collections.abc import Iterator

import orjson
from datasketch import MinHash, MinHashLSH

FIELDS = sys.argv[3].split("+")


def shingles(row: dict[str, str]) -> Iterator[bytes]:
    words = "\n".join(row[field] for field in FIELDS).lower().encode().split()
    return map(b" ".join, zip(*(words[start:] for start in range(5)), strict=False))


with open(sys.argv[1], "rb") as records, open(sys.argv[2], "wb") as out:  # noqa: PTH123
    lsh = MinHashLSH(threshold=0.8, num_perm=128)
    for line in records:
        row = orjson.loads(line)
        sketch = MinHash(num_perm=128)
        sketch.update_batch(list(shingles(row)))
        if not lsh.query(sketch):
            lsh.insert(row["id"], sketch)
            out.write(line)
