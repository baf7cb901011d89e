"""The pool of all rows that a mixture is drawn from: the rows on disk, their lots in memory."""

import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import orjson

from seqit.errors import SeqitError
from seqit.mix.measure import Measured
from seqit.mix.spec import Amount, AmountUnit, Available, Size
from seqit.mix.strata import MOST
from seqit.records.identity import stable_hash
from seqit.records.run_stats import Row

_BUFFER = 1 << 20
_HALF = (1 << 64) - 1
_HELD_OUT = 0xFFFF  # stands for the stratum of a row that is no part of the mixture


class Pool:
    """Rows in one temporary file, and for each 38 bytes in memory to draw and order it by.

    A context manager: the file is gone when it ends.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._file = tempfile.TemporaryFile(buffering=_BUFFER, prefix="seqit-mix-")  # noqa: SIM115 (closed in __exit__)
        self._size = 0
        self._starts = array("Q")  # where the row begins in the file
        self._tokens = array("I")
        self._lots = array("Q")  # the lowest lots of a source are drawn
        self._places = array("Q")  # the drawn rows stand in the order of their places
        self._sums = array("I")  # CRC-32: an order for rows of one id, whatever file they are in
        self._roots = array("Q")  # the lowest roots are held out; empty where none are
        self._strata = array("H")
        self._names: dict[str, int] = {}  # of the strata
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

    def add(self, rows: Iterable[Measured], has_roots: bool = False) -> range:
        """Take in the rows of one source; returns their numbers in the pool."""
        first = len(self._starts)
        write, size, names = self._file.write, self._size, self._names
        # Bound once: this runs for every row of the sources.
        add_lot, add_place, add_sum = self._lots.append, self._places.append, self._sums.append
        add_tokens, add_stratum = self._tokens.append, self._strata.append
        add_start, add_root = self._starts.append, self._roots.append
        for raw, source, line, rng, check, tokens, root, stratum in rows:
            add_lot(rng >> 64)
            add_place(rng & _HALF)
            add_sum(check)
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
        if number == MOST:
            raise SeqitError(
                f"The field has more than {MOST} values, too many to divide a mixture by; the "
                f"last one is {stratum!r}. Name the values that matter: FIELD=VALUE:SHARE,…"
            )
        return number

    def hold_out(self, amount: Amount) -> "array[int]":
        """Take whole roots out of what can be drawn; returns the rows, in the order to write.

        A share of the roots is the same in every pool of this seed. A number of rows is met as
        nearly as whole roots, in the order of their lots, allow.
        """
        if amount.unit == "weight":
            end = int(amount.number * (1 << 64))
        else:
            end = self._root_after(int(amount.number))
        held = array("I", (i for i, root in enumerate(self._roots) if root < end))
        for i in held:
            self._strata[i] = _HELD_OUT
        return self._ordered(held)

    def count_roots(self, held: "array[int]") -> int:
        return len({self._roots[i] for i in held})

    def _root_after(self, rows: int) -> int:
        """Return the root below which there are about so many rows."""
        order = _ranked(range(len(self._roots)), self._roots)
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
        """Return the rows of one source that can be drawn, by stratum."""
        if len(self._names) < 2 and not self._roots:
            return dict.fromkeys(self._names, part)
        names = {number: name for name, number in self._names.items()}
        cells: dict[str, array[int]] = {}
        for i in part:
            if (number := self._strata[i]) != _HELD_OUT:
                cells.setdefault(names[number], array("I")).append(i)
        return {**cells}

    def size(self, rows: Iterable[int]) -> Size:
        count = tokens = 0
        for i in rows:
            count += 1
            tokens += self._tokens[i]
        return Size(count, tokens)

    def available(self, name: str, part: range, cells: dict[str, Sequence[int]]) -> Available:
        """Return what one source holds for the mixture."""
        strata = {stratum: self.size(rows) for stratum, rows in cells.items()}
        whole = sum(strata.values(), Size())
        held = [i for i in part if self._strata[i] == _HELD_OUT] if self._roots else ()
        return Available(name, whole, strata, self.size(held))

    def choose(self, rows: Sequence[int], number: int, unit: AmountUnit) -> Size:
        """Draw so many rows or tokens from some rows; returns what was drawn.

        More than there is repeats every row first, and draws what is left; so no two of the rows
        differ by more than one copy. A number of tokens is met within half a row.
        """
        tokens, copies = self._tokens, self.copies
        whole = len(rows) if unit == "rows" else sum(tokens[i] for i in rows)
        rounds, left = divmod(number, whole) if whole else (0, 0)
        for i in rows if rounds else ():
            copies[i] = rounds
        for i in _ranked(rows, self._lots, self._sums) if left else ():
            size = 1 if unit == "rows" else tokens[i]
            if size >= 2 * left:  # the next row would lead further away from the target
                break
            copies[i] += 1
            left -= size
        return Size(sum(copies[i] for i in rows), sum(copies[i] * tokens[i] for i in rows))

    def chosen(self) -> "array[int]":
        """Return the drawn rows, shuffled; a repeated row once for each copy."""
        return self._ordered(i for i, copies in enumerate(self.copies) for _ in range(copies))

    def _ordered(self, rows: Iterable[int]) -> "array[int]":
        ordered = _ranked(rows, self._places, self._sums)
        places = array("Q")
        nth, last = 0, -1
        for i in ordered:
            place = self._places[i]
            # Rows of one id drew one place. All but the first draw again, by their number among
            # them, so that copies and twins from two sources are scattered like other rows.
            nth = nth + 1 if place == last else 0
            places.append(
                stable_hash(self._seed, f"{place:016x}", nth, "mix") >> 64 if nth else place
            )
            last = place
        return array("I", (ordered[k] for k in _ranked(range(len(ordered)), places)))

    def rows(self, numbers: Iterable[int], with_values: bool) -> Iterator[Row]:
        """Yield rows as they came; without values they are bytes alone, at half the cost."""
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


def _ranked(
    rows: Iterable[int], keys: "array[int]", ties: "array[int] | None" = None
) -> "array[int]":
    """Sort rows by their keys, and those of equal keys by content: never by where they were read.

    The keys are uniform over 64 bits. Sorting a part of them at a time keeps the lists short that
    a sort needs: whole, they would take several times the memory of the pool.
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
