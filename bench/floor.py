"""The floor under every command over rows: parse and write each line of a file, nothing else."""

import sys
from pathlib import Path

import orjson

with Path(sys.argv[1]).open("rb") as file:
    for line in file:
        sys.stdout.buffer.write(orjson.dumps(orjson.loads(line)) + b"\n")
