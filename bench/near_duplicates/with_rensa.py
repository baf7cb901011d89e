"""rensa's deduplicator, 16 bands, in batches: with_rensa.py RECORDS OUT FIELDS."""

import sys
from itertools import islice

import orjson
from rensa import RMinHashDeduplicator  # noqa: TID253

FIELDS = sys.argv[3].split("+")


def tokens(line: bytes) -> tuple[str, list[str]]:
    row = orjson.loads(line)
    words = "\n".join(row[field] for field in FIELDS).lower().split()
    return row["id"], list(map(" ".join, zip(*(words[at:] for at in range(5)), strict=False)))


with open(sys.argv[1], "rb") as records, open(sys.argv[2], "wb") as out:  # noqa: PTH123
    kept = RMinHashDeduplicator(threshold=0.8, num_perm=128, use_lsh=True, num_bands=16, seed=42)
    while lines := list(islice(records, 1000)):
        flags = kept.add_pairs(map(tokens, lines))
        out.writelines(line for line, keep in zip(lines, flags, strict=True) if keep)
