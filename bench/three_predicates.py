"""The lower bound of a filter: three predicates with msgspec, rows written unchanged."""

import sys
from pathlib import Path

import msgspec


class Row(msgspec.Struct):
    """The fields that the predicates use; msgspec checks their types and skips all others."""

    instruction: str
    output: str


decode = msgspec.json.Decoder(Row).decode
with Path(sys.argv[1]).open("rb") as file, Path(sys.argv[2]).open("wb") as out:
    for line in file:
        row = decode(line)
        if row.output and row.instruction != row.output and len(row.output) < 20_000:
            out.write(line)
