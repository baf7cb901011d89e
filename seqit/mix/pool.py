"""The pool of rows that a mixture is sampled from: rows on disk, their hashes in memory."""

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import orjson

from seqit.errors import SeqitError
from seqit.mix.measure import MeasuredRow
from seqit.mix.spec import Amount, AmountUnit, Available, Size
from seqit.mix.strata import MAX_STRATA
from seqit.records.identity import stable_hash
from seqit.records.run_stats import Row

_BUFFER = 1 << 20
_LOW_BITS = (1 << 64) - 1
_HELD_OUT_STRATUM = 0xFFFF  # in place of the stratum of a held-out row


class Pool:
    """Rows in a temporary file, with 38 bytes per row in memory for sampling and shuffling.

    A context manager, which deletes the file on exit.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._file = tempfile.TemporaryFile(buffering=_BUFFER, prefix="seqit-mix-")  # noqa: SIM115 (closed in __exit__)
        self._size = 0
        self._starts = array("Q")  # where the row begins in the file
        self._tokens = array("I")
        self._sample_hashes = array("Q")  # the rows with the lowest hashes of a source are sampled
        self._order_hashes = array("Q")  # sampled rows are sorted by these
        self._checksums = array("I")  # CRC-32: an order for rows of one id, from any file
        self._roots = array("Q")  # root hashes, the lowest are held out; empty if none are
        self._strata = array("H")
        self._names: dict[str, int] = {}  # strata by name
        self.copies = array("I")  # how often the row is in the mixture

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, rows: Iterable[MeasuredRow], has_roots: bool = False) -> range:
        """Add the rows of one source; returns their indices in the pool."""
        first = len(self._starts)
        write, size, names = self._file.write, self._size, self._names
        # Methods are bound once, since this loop runs for every row of the sources.
        add_sample_hash, add_order_hash = self._sample_hashes.append, self._order_hashes.append
        add_checksum, add_tokens = self._checksums.append, self._tokens.append
        add_stratum = self._strata.append
        add_start, add_root = self._starts.append, self._roots.append
        for raw, source, line, row_hash, checksum, tokens, root, stratum in rows:
            add_sample_hash(row_hash >> 64)
            add_order_hash(row_hash & _LOW_BITS)
            add_checksum(checksum)
            add_tokens(tokens)
            if has_roots:
                add_root(root)
            add_stratum(names[stratum] if stratum in names else self._number(stratum))
            add_start(size)
            size += write(b"%b\n%b" % (orjson.dumps((source, line)), raw))
        self._size = size
        self.copies.extend(0 for _ in range(first, len(self._starts)))
        return range(first, len(self._starts))

    def _number(self, stratum: str) -> int:
        number = self._names.setdefault(stratum, len(self._names))
        if number == MAX_STRATA:
            raise SeqitError(
                f"The field has more than {MAX_STRATA} values, too many to divide a mixture by; "
                f"the last one is {stratum!r}. Name the values that matter: FIELD=VALUE:SHARE,…"
            )
        return number

    def hold_out(self, amount: Amount) -> "array[int]":
        """Hold out whole roots from sampling; returns their rows, in the order to write.

        A share of the roots is the same in every pool with this seed. A number of rows is met as
        closely as whole roots, in the order of their hashes, allow.
        """
        if amount.unit == "weight":
            end = int(amount.number * (1 << 64))
        else:
            end = self._root_at(int(amount.number))
        held_rows = array("I", (i for i, root in enumerate(self._roots) if root < end))
        for i in held_rows:
            self._strata[i] = _HELD_OUT_STRATUM
        return self._shuffle(held_rows)

    def count_roots(self, held_rows: "array[int]") -> int:
        return len({self._roots[i] for i in held_rows})

    def _root_at(self, rows: int) -> int:
        """Return the root hash below which there are about `rows` rows."""
        order = _rank_rows(range(len(self._roots)), self._roots)
        begin = 0
        while begin < len(order):
            root = self._roots[order[begin]]
            end = begin + 1
            while end < len(order) and self._roots[order[end]] == root:
                end += 1
            if abs(end - rows) > abs(begin - rows):
                return root
            begin = end
        return 1 << 64

    def cells(self, part: range) -> dict[str, Sequence[int]]:
        """Return the rows of one source that can be sampled, by stratum."""
        if len(self._names) < 2 and not self._roots:
            return dict.fromkeys(self._names, part)
        names = {number: name for name, number in self._names.items()}
        cells: dict[str, array[int]] = {}
        for i in part:
            if (number := self._strata[i]) != _HELD_OUT_STRATUM:
                cells.setdefault(names[number], array("I")).append(i)
        return {**cells}

    def size(self, rows: Iterable[int]) -> Size:
        count = tokens = 0
        for i in rows:
            count += 1
            tokens += self._tokens[i]
        return Size(count, tokens)

    def available(self, name: str, part: range, cells: dict[str, Sequence[int]]) -> Available:
        """Return what one source has for the mixture."""
        strata = {stratum: self.size(rows) for stratum, rows in cells.items()}
        whole = sum(strata.values(), Size())
        held_rows = [i for i in part if self._strata[i] == _HELD_OUT_STRATUM] if self._roots else ()
        return Available(name, whole, strata, self.size(held_rows))

    def sample(self, rows: Sequence[int], number: int, unit: AmountUnit) -> Size:
        """Sample `number` rows or tokens from `rows`; returns what was sampled.

        If `number` exceeds the rows, all are repeated and the rest is sampled, so their copies
        differ by at most one. A number of tokens is met within half a row.
        """
        tokens, copies = self._tokens, self.copies
        whole = len(rows) if unit == "rows" else sum(tokens[i] for i in rows)
        passes, remaining = divmod(number, whole) if whole else (0, 0)
        for i in rows if passes else ():
            copies[i] = passes
        for i in _rank_rows(rows, self._sample_hashes, self._checksums) if remaining else ():
            size = 1 if unit == "rows" else tokens[i]
            if size >= 2 * remaining:  # without this row the target is closer
                break
            copies[i] += 1
            remaining -= size
        return Size(sum(copies[i] for i in rows), sum(copies[i] * tokens[i] for i in rows))

    def sampled_rows(self) -> "array[int]":
        """Return the sampled rows, shuffled; a repeated row once per copy."""
        return self._shuffle(i for i, copies in enumerate(self.copies) for _ in range(copies))

    def _shuffle(self, rows: Iterable[int]) -> "array[int]":
        ordered = _rank_rows(rows, self._order_hashes, self._checksums)
        order_hashes = array("Q")
        copy, last = 0, -1
        for i in ordered:
            order_hash = self._order_hashes[i]
            # Rows of one id have the same hash. All but the first get another one, by their number
            # among them, so that copies and rows of several sources are shuffled independently.
            copy = copy + 1 if order_hash == last else 0
            last = order_hash
            if copy:
                order_hash = stable_hash(self._seed, f"{order_hash:016x}", copy, "mix") >> 64
            order_hashes.append(order_hash)
        return array("I", (ordered[k] for k in _rank_rows(range(len(ordered)), order_hashes)))

    def rows(self, numbers: Iterable[int], with_values: bool) -> Iterator[Row]:
        """Yield rows as they were read; without values they have only bytes, at half the cost."""
        self._file.flush()
        file, starts = self._file.fileno(), self._starts
        last = len(starts) - 1
        for number in numbers:
            start = starts[number]
            end = starts[number + 1] if number < last else self._size
            head, raw = os.pread(file, end - start, start).split(b"\n", 1)
            if with_values:
                source, line = orjson.loads(head)
                yield Row(orjson.loads(raw), source, line, raw)
            else:
                yield Row(None, raw=raw)


def _rank_rows(
    rows: Iterable[int], keys: "array[int]", ties: "array[int] | None" = None
) -> "array[int]":
    """Sort rows by their keys, and rows with equal keys by content, not by where they were read.

    The keys are uniform over 64 bits. They are sorted in parts, since the lists for sorting all at
    once would take several times the memory of the pool.
    """
    parts = [array("I") for _ in range(256)]
    for i in rows:
        parts[keys[i] >> 56].append(i)
    ranked = array("I")
    for part in parts:
        order = sorted(part, key=ties.__getitem__) if ties else part.tolist()
        order.sort(key=keys.__getitem__)
        ranked.extend(order)
    return ranked
