"""The least that a filter costs: three predicates with msgspec, rows written as they came."""

import sys
from pathlib import Path

import msgspec


class Row(msgspec.Struct):
    """What the predicates look at; msgspec checks the types of these and skips the rest."""

    instruction: str
    output: str


decode = msgspec.json.Decoder(Row).decode
with Path(sys.argv[1]).open("rb") as file, Path(sys.argv[2]).open("wb") as out:
    for line in file:
        row = decode(line)
        if row.output and row.instruction != row.output and len(row.output) < 20_000:
            out.write(line)
