"""Rows become tokens on disk; every row is trained on, held out, rejected or failed."""

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
from seqit.train.data.dataset import COUNTS_FILE, REJECTS_FILE, Split, Writer
from seqit.train.recipe import Data, TrainRecipe

FORM = 1
"""The form of the folder; a new one is prepared anew."""

TOGETHER = 256
"""Rows that are encoded together."""

RULES = {"too-long", "control-token"}
"""Reasons for which a row is rejected by a rule; all others are failures."""

SPLITS: tuple[Split, ...] = ("train", "eval")

WatchRows = Callable[[Iterator[Row]], Iterator[Row]]


@dataclasses.dataclass(slots=True)
class Counts:
    """What the rows came to, beside the account of them."""

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
        """Return all of them, as JSON values."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def add(self, split: Split, row: Row, encoded: Encoded) -> None:
        """Count one row that is kept."""
        size, learnt = len(encoded.ids), sum(encoded.targets)
        self.rows[split] += 1
        self.tokens[split] += size
        self.targets[split] += learnt
        self.turns_left_out += encoded.left_out
        self.images += len(row.value.get("images", ()))
        self.longest = max(self.longest, size)
        if split == "train":
            for field, value in _groups(row):
                group = self.by.setdefault(field, {}).setdefault(value, Counter())
                for name, number in (("rows", 1), ("tokens", size), ("targets", learnt)):
                    group[name] = group.get(name, 0) + number


def _groups(row: Row) -> Iterator[tuple[str, str]]:
    record: Record = row.value
    origin = record.get("source", {})
    yield "source", origin.get("name") or origin.get("format") or row.source
    yield "operation", record["lineage"]["operation"]
    yield "iteration", str(record["lineage"]["iteration"])


def key_of(data: Data, seed: int, encoder: Encoder) -> tuple[str, dict[str, str]]:
    """Return the name of the folder for this data and encoder, and each source's sha256."""
    hashes = {name: _sha256(name) for name in check_sources((*data.sources, *data.eval))}
    decides = {
        "form": FORM,
        "sources": [hashes[name] for name in data.sources],
        "eval": [hashes[name] for name in data.eval],
        "hold_out": [data.hold_out, seed] if data.hold_out else None,
        "length": data.length,
        "truncate": data.truncate,
        "encoder": encoder.identity(),
    }
    text = orjson.dumps(decides, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:16], hashes


def with_files(recipe: TrainRecipe, parent: Path) -> TrainRecipe:
    """Return the recipe with standard input copied to a file of `parent`, where a source is it.

    So the run can be resumed, and what it was trained on is known.
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
    watch: WatchRows = iter,
) -> Path:
    """Write the rows of a recipe as tokens into a folder of `parent`, and return it.

    The folder appears whole; one that is there already is taken as it is. `open_stats` is given
    the file of the folder that keeps what is not trained on. Raises SeqitError where a source
    cannot be read.
    """
    key, hashes = key_of(recipe.data, recipe.tuning.seed, encoder)
    folder = parent / key
    if (folder / COUNTS_FILE).is_file():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    with partial_folder(folder) as partial:
        with (partial / REJECTS_FILE).open("wb") as rejects:
            work = _Work(recipe.data, recipe.tuning.seed, encoder, open_stats(rejects), Counts())
            with work.opened(partial):
                for split in SPLITS:
                    names = recipe.data.sources if split == "train" else recipe.data.eval
                    work.write(watch(read_records(names, work.stats)), split)
            work.stats.close()
        counts = work.stats.manifest() | {"sources": hashes} | work.counts.to_dict()
        (partial / COUNTS_FILE).write_bytes(orjson.dumps(counts, option=orjson.OPT_INDENT_2))
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / COUNTS_FILE).is_file():  # else another run has made the same
                raise
    return folder


@dataclasses.dataclass
class _Work:
    """Rows on their way to the writers of both splits."""

    data: Data
    seed: int
    encoder: Encoder
    stats: RunStats
    counts: Counts
    writers: dict[Split, Writer] = dataclasses.field(default_factory=dict)

    @contextlib.contextmanager
    def opened(self, folder: Path) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for split in SPLITS:
                self.writers[split] = writer = Writer(folder / f"{split}.arrow")
                stack.callback(writer.close)
            yield

    def write(self, rows: Iterator[Row], split: Split) -> None:
        while batch := list(islice(rows, TOGETHER)):
            found = self.encoder.encode_all([row.value for row in batch])
            for row, encoded in zip(batch, found, strict=True):
                self._settle(row, encoded, "eval" if self._is_held_out(row.value) else split)

    def _settle(self, row: Row, encoded: Encoded | RowError, split: Split) -> None:
        try:
            if isinstance(encoded, RowError):
                raise encoded
            encoded = self._fitted(row.value, encoded)
        except RowError as error:
            reason = getattr(error, "reason", "invalid")
            told = self.stats.reject if reason in RULES else self.stats.fail
            message = f"{error.field}: {error}" if error.field else str(error)
            told(row, "prepare", reason, message, **({"field": error.field} if error.field else {}))
            return
        self.writers[split].write(row.value["id"], encoded, row.value.get("images", []))
        self.counts.add(split, row, encoded)
        if split == "train":
            self.stats.written += 1
        else:
            self.stats.held_out += 1

    def _fitted(self, record: Record, encoded: Encoded) -> Encoded:
        """Return the example within the length; raises UntrainableRow where it is not, or learns nothing."""
        size, most = len(encoded.ids), self.data.length
        if size > most:
            if not self.data.truncate:
                message = f"the row has {size:,} tokens, and an example at most {most:,}"
                raise UntrainableRow("too-long", f"{message}; --length, or --truncate to cut it")
            if record.get("images"):
                raise UntrainableRow(
                    "too-long", f"a row with images is not cut, and has {size:,} tokens"
                )
            encoded = encoded._replace(ids=encoded.ids[:most], targets=encoded.targets[:most])
        if not any(encoded.targets[1:]):
            message = "no token is left to learn"
            raise UntrainableRow(
                "fully-masked", f"{message}: the prompt alone has {most:,} tokens or more"
            )
        if size > most:
            self.counts.truncated += 1
            self.counts.tokens_cut += size - most
        return encoded

    def _is_held_out(self, record: Record) -> bool:
        """Tell whether the row's whole root is kept for the evaluation."""
        share = self.data.hold_out
        return (
            bool(share)
            and stable_hash(self.seed, record["lineage"]["root"], 0, "eval") < share * 2**128
        )


def _sha256(name: str) -> str:
    with Path(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
