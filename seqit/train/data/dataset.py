"""Prepared datasets: tokens on disk, written once and memory-mapped by every rank.

One Arrow file per split, so that any rank can read any example; its schema is written out. A
folder contains the rows for one combination of data, tokenizer, template and length, and is named
by their hash.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

from seqit.errors import SeqitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seqit.train.data.chat_encoder import Encoded

Split = Literal["train", "eval"]

COUNTS_FILE = "counts.json"
"""Statistics of the preparation; written last."""

REJECTS_FILE = "rejects.jsonl"
"""The rows that are not trained on, in the format of --rejects."""

BATCH_SIZE = 512
"""Rows per Arrow record batch; reading one row maps the whole batch without reading it."""


class Example(NamedTuple):
    """One row as tokens.

    ids: int32 (tokens,); loss_mask: bool (tokens,), True for supervised tokens; row_id: id of the
    record; images: paths from the record, empty for text.
    """

    ids: "NDArray[np.int32]"
    loss_mask: "NDArray[np.bool_]"
    row_id: str
    images: tuple[str, ...] = ()


class PreparedDataset:
    """The examples of one split, in the order of the sources, in a memory-mapped file."""

    def __init__(self, file: Path) -> None:
        import numpy as np
        import pyarrow as pa

        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(file)))
        except (OSError, pa.ArrowInvalid) as error:
            raise SeqitError(f"{file} cannot be read as prepared rows: {error}") from None
        self._columns = lru_cache(maxsize=4096)(self._load_columns)
        batches = map(self._batch, range(self._reader.num_record_batches))
        arrays = [batch.column("length").to_numpy() for batch in batches]
        self.lengths: NDArray[np.int32] = np.concatenate(arrays or [np.zeros(0, np.int32)])
        """Tokens of each example, int32."""

    @classmethod
    def open(cls, folder: str | Path, split: Split = "train") -> "PreparedDataset":
        """Open a split of a folder that `prepare` wrote; raises SeqitError if it is incomplete."""
        if not (Path(folder) / COUNTS_FILE).is_file():
            raise SeqitError(f"{folder} contains no prepared rows, or not all of them")
        return cls(Path(folder) / f"{split}.arrow")

    def __len__(self) -> int:
        return len(self.lengths)

    def example(self, number: int) -> Example:
        """Return an example by its number, from 0; `ids` is a read-only view of the file."""
        if not 0 <= number < len(self):
            raise IndexError(f"example {number} of {len(self)}")
        columns = self._columns(number // BATCH_SIZE)
        row = number % BATCH_SIZE
        start, end = columns.bounds[row], columns.bounds[row + 1]
        loss_mask = columns.loss_mask.slice(start, end - start).to_numpy(zero_copy_only=False)
        images = tuple(columns.images[row].as_py())
        return Example(columns.ids[start:end], loss_mask, columns.row_ids[row].as_py(), images)

    def find(self, row_id: str) -> int | None:
        """Return the number of the first example whose row id starts with `row_id`."""
        import pyarrow.compute as pc

        for number in range(self._reader.num_record_batches):
            matches = pc.starts_with(self._batch(number).column("id"), row_id)
            index: int = pc.index(matches, True).as_py()
            if index >= 0:
                return number * BATCH_SIZE + index
        return None

    def _batch(self, number: int) -> Any:
        return self._reader.get_batch(number)

    def _load_columns(self, number: int) -> "_Columns":
        batch = self._batch(number)
        ids = batch.column("ids")
        return _Columns(
            ids.offsets.to_numpy(),
            ids.values.to_numpy(),
            batch.column("targets").values,
            batch.column("id"),
            batch.column("images"),
        )


class _Columns(NamedTuple):
    """The columns of one record batch; lists are flat, with the offsets of the rows in `bounds`."""

    bounds: Any
    ids: Any
    loss_mask: Any
    row_ids: Any
    images: Any


def load_counts(folder: str | Path) -> dict[str, Any]:
    """Return the statistics of a prepared dataset; raises SeqitError if it is incomplete."""
    try:
        counts: dict[str, Any] = orjson.loads((Path(folder) / COUNTS_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise SeqitError(
            f"{folder} contains no prepared rows, or not all of them: {error}"
        ) from None
    return counts


class PreparedDatasetWriter:
    """Writes the examples of one split in order."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa

        self._schema = pa.schema(
            {
                "id": pa.string(),
                "ids": pa.list_(pa.int32()),
                "targets": pa.list_(pa.bool_()),
                "length": pa.int32(),
                "images": pa.list_(pa.string()),
            }
        )
        self._file = file.open("wb")  # not pyarrow's: Python's errors name a full disk
        self._writer = pa.ipc.new_file(self._file, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, row_id: str, encoded: "Encoded", images: list[str]) -> None:
        """Add one example."""
        ids = encoded.ids
        row = {"id": row_id, "ids": ids, "length": len(ids), "images": images}
        self._rows.append(row | {"targets": encoded.loss_mask})
        if len(self._rows) == BATCH_SIZE:
            self._flush()

    def close(self) -> None:
        """Write the remaining rows and close the file."""
        try:
            self._flush()
            self._writer.close()
        finally:
            self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()
