"""Reading and writing Parquet with an explicit Arrow schema; the only module to import pyarrow."""

import tempfile
from collections.abc import Iterator
from typing import IO, Any

import orjson

from seqit.stores.sources import BrokenSource, SourceStream

ROW_GROUP = 8192


def record_schema() -> Any:
    """Return the Arrow schema of records; free-form parts (metadata, checks) are JSON strings."""
    import pyarrow as pa

    text = pa.string()
    step = pa.struct([("instruction", text), ("output", text), ("check", text), ("name", text)])
    lineage = pa.struct(
        [
            ("root", text),
            ("parent", text),
            ("iteration", pa.int32()),
            ("operation", text),
            ("method", text),
            ("teacher", text),
            ("prompt", text),
            ("seed", pa.int64()),
            ("kept", pa.int32()),
        ]
    )
    return pa.schema(
        [
            pa.field("id", text, nullable=False),
            pa.field("instruction", text, nullable=False),
            pa.field("input", text, nullable=False),
            pa.field("output", text, nullable=False),
            ("system", text),
            ("history", pa.list_(pa.list_(text))),
            ("images", pa.list_(text)),
            ("steps", pa.list_(step)),
            pa.field("lineage", lineage, nullable=False),
            ("source", pa.struct([("format", text), ("name", text)])),
            ("metadata", text),
        ]
    )


class ParquetRecords:
    """Writes records to a Parquet file in row groups, with one group in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        from pyarrow import parquet

        self._schema = record_schema()
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, record: dict[str, Any]) -> None:
        """Add one record."""
        flat = dict(record)
        if "metadata" in flat:
            flat["metadata"] = _encode(flat["metadata"])
        if "steps" in flat:
            flat["steps"] = [_encode_check(step) for step in flat["steps"]]
        self._rows.append(flat)
        if len(self._rows) == ROW_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        """Write the last group and the footer, without which the file is not valid."""
        self._write_group()
        self._writer.close()


def read_parquet(source: SourceStream) -> Iterator[list[Any]]:
    """Yield the rows in batches as JSON values: without absent parts, JSON columns decoded.

    A pipe is copied to a temporary file first, because a Parquet file has its metadata at its end.
    Raises BrokenSource if the file is damaged.
    """
    with tempfile.TemporaryFile() as copy:
        file: Any = copy
        if source.path and not source.is_compressed:
            file = source.path
        else:
            for chunk in source.chunks():
                copy.write(chunk)
            copy.seek(0)
        for rows in _batches(file):
            yield list(map(_json_row, rows))
            if source.before_read:  # outside `_batches`: its errors are not about this file
                source.before_read()


def _batches(file: Any) -> Iterator[list[dict[str, Any]]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=1024):
            yield batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        message = str(error).splitlines()[0]
        raise BrokenSource(f"the Parquet file is damaged or cut off: {message}") from None


def _json_row(row: dict[str, Any]) -> dict[str, Any]:
    clean = {key: value for key, value in row.items() if value is not None}
    for key in ("lineage", "source"):
        if isinstance(clean.get(key), dict):
            clean[key] = _without_nulls(clean[key])
    if isinstance(clean.get("metadata"), str):
        clean["metadata"] = _decode(clean["metadata"])
    steps = clean.get("steps")
    if isinstance(steps, list):
        clean["steps"] = [_decode_step(step) if isinstance(step, dict) else step for step in steps]
    return clean


def _without_nulls(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value is not None}


def _encode_check(step: dict[str, Any]) -> dict[str, Any]:
    return step | {"check": _encode(step["check"])} if "check" in step else step


def _decode_step(step: dict[str, Any]) -> dict[str, Any]:
    step = _without_nulls(step)
    if isinstance(step.get("check"), str):
        step["check"] = _decode(step["check"])
    return step


def _encode(value: Any) -> str:
    return orjson.dumps(value).decode()


def _decode(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # a text column of another writer; the record schema checks it
