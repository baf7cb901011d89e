"""datasketch: with_datasketch.py RECORDS OUT FIELDS [verified].

Run as documented; verified: with bands that find 99 % of the pairs at the threshold, and
each pair found compared exactly.
"""

import sys
from collections.abc import Iterator

import orjson
from datasketch import MinHash, MinHashLSH
from verify import KeptRows, shingles

FIELDS = sys.argv[3].split("+")


def run(records: Iterator[bytes], verified: bool) -> Iterator[bytes]:
    bands = {"params": (16, 6)} if verified else {"threshold": 0.8}
    lsh = MinHashLSH(num_perm=128, **bands)
    kept = KeptRows()
    for number, line in enumerate(records):
        tokens = shingles(orjson.loads(line), FIELDS)
        sketch = MinHash(num_perm=128)
        sketch.update_batch([token.encode() for token in tokens])
        near = lsh.query(sketch)
        if kept.is_new(number, tokens, near) if verified else not near:
            lsh.insert(number, sketch)
            yield line


with open(sys.argv[1], "rb") as records, open(sys.argv[2], "wb") as out:  # noqa: PTH123
    out.writelines(run(records, bool(sys.argv[4:])))
