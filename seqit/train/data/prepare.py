"""Prepare a dataset: encode rows to tokens on disk, and count rejected and failed rows."""

import contextlib
import dataclasses
import hashlib
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import orjson

from seqit.errors import RowError
from seqit.records.identity import stable_hash
from seqit.records.readers.rows import read_records
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.stores.partial import partial_file, partial_folder
from seqit.stores.sources import STDIN, check_sources
from seqit.train.data.chat_encoder import Encoded, Encoder
from seqit.train.data.conversation import UntrainableRow
from seqit.train.data.dataset import COUNTS_FILE, REJECTS_FILE, PreparedDatasetWriter, Split
from seqit.train.recipe import Data, TrainRecipe

FORMAT_VERSION = 1
"""The version of the folder's format; part of its name."""

ENCODE_BATCH_SIZE = 256
"""Rows per call of the tokenizer."""

REJECT_REASONS = {"too-long", "control-token"}
"""Reasons for which a row counts as rejected; all others count as failed."""

SPLITS: tuple[Split, ...] = ("train", "eval")

RowTracker = Callable[[Iterator[Row]], Iterator[Row]]
"""Passes rows on and reports progress."""


@dataclasses.dataclass(slots=True)
class PreparedCounts:
    """Statistics of the prepared rows, in addition to RunStats; field names are keys on disk."""

    rows: Counter[str] = dataclasses.field(default_factory=Counter)
    tokens: Counter[str] = dataclasses.field(default_factory=Counter)
    targets: Counter[str] = dataclasses.field(default_factory=Counter)
    by: dict[str, dict[str, dict[str, int]]] = dataclasses.field(default_factory=dict)
    truncated: int = 0
    tokens_cut: int = 0
    turns_left_out: int = 0
    images: int = 0
    longest: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return all counts as JSON values."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def add(self, split: Split, row: Row, encoded: Encoded) -> None:
        """Count one row that is kept."""
        size, supervised = len(encoded.ids), sum(encoded.loss_mask)
        self.rows[split] += 1
        self.tokens[split] += size
        self.targets[split] += supervised
        self.turns_left_out += encoded.turns_left_out
        self.images += len(row.value.get("images", ()))
        self.longest = max(self.longest, size)
        if split == "train":
            for field, value in _groups(row):
                group = self.by.setdefault(field, {}).setdefault(value, Counter())
                for name, number in (("rows", 1), ("tokens", size), ("targets", supervised)):
                    group[name] = group.get(name, 0) + number


def _groups(row: Row) -> Iterator[tuple[str, str]]:
    record: Record = row.value
    origin = record.get("source", {})
    yield "source", origin.get("name") or origin.get("format") or row.source
    yield "operation", record["lineage"]["operation"]
    yield "iteration", str(record["lineage"]["iteration"])


def dataset_key(data: Data, seed: int, encoder: Encoder) -> tuple[str, dict[str, str]]:
    """Return the name of the folder for this data and encoder, and the sha256 of each source."""
    hashes = {name: _sha256(name) for name in check_sources((*data.sources, *data.eval))}
    key = {
        "form": FORMAT_VERSION,
        "sources": [hashes[name] for name in data.sources],
        "eval": [hashes[name] for name in data.eval],
        "hold_out": [data.held_out, seed] if data.held_out else None,
        "length": data.length,
        "truncate": data.truncate,
        "encoder": encoder.identity(),
    }
    text = orjson.dumps(key, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16], hashes


def save_stdin(recipe: TrainRecipe, parent: Path) -> TrainRecipe:
    """Return the recipe with standard input replaced by a copy of it in `parent`.

    So the run can be resumed, and its data are known. Without a source, it is standard input.
    """
    sources = recipe.data.sources or (STDIN,)
    if STDIN not in check_sources(sources):
        return recipe
    parent.mkdir(parents=True, exist_ok=True)
    with partial_file(parent / "stdin") as partial:
        with partial.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        name = str(partial.replace(parent / f"stdin-{_sha256(str(partial))[:16]}"))
    files = tuple(name if source == STDIN else source for source in sources)
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, sources=files))


def prepare(
    recipe: TrainRecipe,
    encoder: Encoder,
    parent: Path,
    open_stats: Callable[[IO[bytes]], RunStats],
    track: RowTracker = iter,
) -> Path:
    """Write the rows of a recipe as tokens into a folder of `parent`, and return it.

    The folder is written atomically; an existing one is reused. `open_stats` gets the file for the
    rows that are not trained on. Raises SeqitError if a source cannot be read.
    """
    key, hashes = dataset_key(recipe.data, recipe.tuning.seed, encoder)
    folder = parent / key
    if (folder / COUNTS_FILE).is_file():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    with partial_folder(folder) as partial:
        with (partial / REJECTS_FILE).open("wb") as rejects:
            stats, counts = open_stats(rejects), PreparedCounts()
            preparation = _Preparation(recipe.data, recipe.tuning.seed, encoder, stats, counts)
            with preparation.open_writers(partial):
                for split in SPLITS:
                    names = recipe.data.sources if split == "train" else recipe.data.eval
                    preparation.write(track(read_records(names, stats)), split)
            stats.close()
        document = stats.manifest() | {"sources": hashes} | counts.to_dict()
        (partial / COUNTS_FILE).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / COUNTS_FILE).is_file():  # otherwise another run has written the same
                raise
    return folder


@dataclasses.dataclass
class _Preparation:
    """Encodes rows and passes them to the writers of both splits."""

    data: Data
    seed: int
    encoder: Encoder
    stats: RunStats
    counts: PreparedCounts
    writers: dict[Split, PreparedDatasetWriter] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def open_writers(self, folder: Path) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for split in SPLITS:
                self.writers[split] = writer = PreparedDatasetWriter(folder / f"{split}.arrow")
                stack.callback(writer.close)
            yield

    def write(self, rows: Iterator[Row], split: Split) -> None:
        while batch := list(islice(rows, ENCODE_BATCH_SIZE)):
            results = self.encoder.encode_all([row.value for row in batch])
            for row, encoded in zip(batch, results, strict=True):
                self._add(row, encoded, "eval" if self._is_held_out(row.value) else split)

    def _add(self, row: Row, encoded: Encoded | RowError, split: Split) -> None:
        try:
            if isinstance(encoded, RowError):
                raise encoded
            encoded = self._fit_length(row.value, encoded)
        except RowError as error:
            reason = getattr(error, "reason", "invalid")
            record = self.stats.reject if reason in REJECT_REASONS else self.stats.fail
            message = f"{error.field}: {error}" if error.field else str(error)
            evidence = {"field": error.field} if error.field else {}
            record(row, "prepare", reason, message, **evidence)
            return
        self.writers[split].write(row.value["id"], encoded, row.value.get("images", []))
        self.counts.add(split, row, encoded)
        if split == "train":
            self.stats.written += 1
        else:
            self.stats.held_out += 1

    def _fit_length(self, record: Record, encoded: Encoded) -> Encoded:
        """Return the example, truncated if allowed.

        Raises UntrainableRow if it is too long, or if no supervised token is left.
        """
        size, limit = len(encoded.ids), self.data.length
        if size > limit:
            if not self.data.truncate:
                raise UntrainableRow(
                    "too-long",
                    f"the row has {size:,} tokens, but an example has at most {limit:,}; raise "
                    "--length, or --truncate it",
                )
            if record.get("images"):
                raise UntrainableRow(
                    "too-long", f"a row with images is not truncated, and has {size:,} tokens"
                )
            encoded = encoded._replace(ids=encoded.ids[:limit], loss_mask=encoded.loss_mask[:limit])
        if not any(encoded.loss_mask[1:]):
            raise UntrainableRow(
                "fully-masked",
                f"no supervised token is left: the prompt alone has {limit:,} tokens or more",
            )
        if size > limit:
            self.counts.truncated += 1
            self.counts.tokens_cut += size - limit
        return encoded

    def _is_held_out(self, record: Record) -> bool:
        """Return True if the row's root, with all its rows, is held out for the evaluation."""
        share = self.data.held_out
        return (
            bool(share)
            and stable_hash(self.seed, record["lineage"]["root"], 0, "eval") < share * 2**128
        )


def _sha256(name: str) -> str:
    with Path(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
