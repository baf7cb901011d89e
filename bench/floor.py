"""The lower bound of every command over rows: only parse and write each line of a file."""

import sys
from pathlib import Path

import orjson

with Path(sys.argv[1]).open("rb") as file:
    for line in file:
        sys.stdout.buffer.write(orjson.dumps(orjson.loads(line)) + b"\n")
