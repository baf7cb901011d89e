"""Tokens on disk: written once, memory-mapped by every rank.

An Arrow file a split, so that any rank reads any example without the others; its schema is written
out. A folder holds the rows of one data, tokenizer, template and length, and is named after them.
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
"""What was counted while the rows were prepared; written last."""

REJECTS_FILE = "rejects.jsonl"
"""The rows that are not trained on, as --rejects keeps them."""

BATCH = 512
"""Rows of an Arrow batch: whoever reads one row has the whole batch mapped, not read."""


class Example(NamedTuple):
    """One row as tokens.

    ids: int32; targets: bool, which of them the loss is on; row_id: the record's; images: what the
    record names, none for text.
    """

    ids: "NDArray[np.int32]"
    targets: "NDArray[np.bool_]"
    row_id: str
    images: tuple[str, ...] = ()


class PreparedDataset:
    """The examples of one split, in the order of the sources; read from a memory-mapped file."""

    def __init__(self, file: Path) -> None:
        import numpy as np
        import pyarrow as pa

        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(file)))
        except (OSError, pa.ArrowInvalid) as error:
            raise SeqitError(f"{file} cannot be read as prepared rows: {error}") from None
        self._columns = lru_cache(maxsize=4096)(self._columns_of)
        parts = [self._batch(n).column("length") for n in range(self._reader.num_record_batches)]
        arrays = [part.to_numpy() for part in parts]
        self.lengths: NDArray[np.int32] = np.concatenate(arrays or [np.zeros(0, np.int32)])
        """Tokens of each example, int32."""

    @classmethod
    def open(cls, folder: str | Path, split: Split = "train") -> "PreparedDataset":
        """Open a split of a folder that `prepare` made; raises SeqitError where it is not whole."""
        if not (Path(folder) / COUNTS_FILE).is_file():
            raise SeqitError(f"{folder} holds no prepared rows, or not all of them")
        return cls(Path(folder) / f"{split}.arrow")

    def __len__(self) -> int:
        return len(self.lengths)

    def example(self, number: int) -> Example:
        """Return one example, from 0; `ids` lies in the file, and cannot be written."""
        if not 0 <= number < len(self):
            raise IndexError(f"example {number} of {len(self)}")
        columns = self._columns(number // BATCH)
        row = number % BATCH
        start, end = columns.bounds[row], columns.bounds[row + 1]
        targets = columns.targets.slice(start, end - start).to_numpy(zero_copy_only=False)
        images = tuple(columns.images[row].as_py())
        return Example(columns.ids[start:end], targets, columns.row_ids[row].as_py(), images)

    def find(self, row_id: str) -> int | None:
        """Return the number of the first example whose row's id begins so."""
        import pyarrow.compute as pc

        for number in range(self._reader.num_record_batches):
            begins = pc.starts_with(self._batch(number).column("id"), row_id)
            place: int = pc.index(begins, True).as_py()
            if place >= 0:
                return number * BATCH + place
        return None

    def _batch(self, number: int) -> Any:
        return self._reader.get_batch(number)

    def _columns_of(self, number: int) -> "_Columns":
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
    """One batch's columns; those of lists are flat, `bounds` says where each row's part ends."""

    bounds: Any
    ids: Any
    targets: Any
    row_ids: Any
    images: Any


def counts_of(folder: str | Path) -> dict[str, Any]:
    """Return what seqit.train.data.prepare counted; raises SeqitError where it has not ended."""
    try:
        counts: dict[str, Any] = orjson.loads((Path(folder) / COUNTS_FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise SeqitError(f"{folder} holds no prepared rows, or not all of them: {error}") from None
    return counts


class Writer:
    """Writes one split's examples, in order."""

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
        self._file = file.open("wb")  # Python's own: its errors name the disk that is full
        self._writer = pa.ipc.new_file(self._file, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, row_id: str, encoded: "Encoded", images: list[str]) -> None:
        """Add one example."""
        ids, targets = encoded.ids, encoded.targets
        row = {"id": row_id, "ids": ids, "targets": targets, "length": len(ids), "images": images}
        self._rows.append(row)
        if len(self._rows) == BATCH:
            self._flush()

    def close(self) -> None:
        """Write what is left."""
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
