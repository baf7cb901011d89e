"""Parquet in and out: the only home of pyarrow. The Arrow schema is written out, never inferred."""

import tempfile
from collections.abc import Iterator
from typing import IO, Any

import orjson

from seqit.stores.sources import BrokenSource, SourceStream

ROW_GROUP = 8192


def record_schema() -> Any:
    """Return the Arrow schema of records; free-form parts (metadata, checks) are JSON text."""
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
    """Writes records to a Parquet file in row groups; memory holds one group."""

    def __init__(self, file: IO[bytes]) -> None:
        from pyarrow import parquet

        self._schema = record_schema()
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, record: dict[str, Any]) -> None:
        """Add one record."""
        flat = dict(record)
        if "metadata" in flat:
            flat["metadata"] = _text(flat["metadata"])
        if "steps" in flat:
            flat["steps"] = [_flat_step(step) for step in flat["steps"]]
        self._rows.append(flat)
        if len(self._rows) == ROW_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        """Write the last group and the footer; without it the file is not Parquet."""
        self._write_group()
        self._writer.close()


def read_parquet(source: SourceStream) -> Iterator[list[Any]]:
    """Yield the rows in batches as JSON values: absent parts left out, JSON columns decoded.

    A pipe is copied to a temporary file first, since Parquet keeps its table of contents at its
    end. Raises BrokenSource where the file is damaged.
    """
    with tempfile.TemporaryFile() as spool:
        file: Any = spool
        if source.path and not source.is_compressed:
            file = source.path
        else:
            for chunk in source.chunks():
                spool.write(chunk)
            spool.seek(0)
        for rows in _batches(file):
            yield list(map(_json, rows))
            if source.before_read:  # may fail too: the reader of the output may be gone
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


def _json(row: dict[str, Any]) -> dict[str, Any]:
    clean = {key: value for key, value in row.items() if value is not None}
    for key in ("lineage", "source"):
        if isinstance(clean.get(key), dict):
            clean[key] = _present(clean[key])
    if isinstance(clean.get("metadata"), str):
        clean["metadata"] = _value(clean["metadata"])
    steps = clean.get("steps")
    if isinstance(steps, list):
        clean["steps"] = [_full_step(step) if isinstance(step, dict) else step for step in steps]
    return clean


def _present(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if value is not None}


def _flat_step(step: dict[str, Any]) -> dict[str, Any]:
    return step | {"check": _text(step["check"])} if "check" in step else step


def _full_step(step: dict[str, Any]) -> dict[str, Any]:
    step = _present(step)
    if isinstance(step.get("check"), str):
        step["check"] = _value(step["check"])
    return step


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # another writer's column; the schema decides
