"""A rule about rows that hold items of a benchmark."""

from collections import Counter
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Annotated, Any, ClassVar, NamedTuple

from xxhash import xxh3_64_intdigest

from seqit.engine.ingest import AUTO
from seqit.errors import UsageError
from seqit.filter.decontamination.alignment import Alignment
from seqit.filter.decontamination.benchmark import Benchmark, Item
from seqit.filter.decontamination.ngram_index import (
    SEED,
    IndexedText,
    NgramIndex,
    SharedRun,
    word_hashes,
)
from seqit.filter.decontamination.words import beginning, is_sentence, joined, sentences, words
from seqit.filter.rule import (
    TEXT_FIELDS,
    OptionSpec,
    Rejection,
    Rule,
    TextField,
    files,
    one_of,
    proportion,
    some_of,
    whole_number,
)
from seqit.records.formats import FORMATS
from seqit.records.record import Record
from seqit.records.validation import shorten

_LEAST = 3  # words of an item that is sought: "yes" and "thank you" are in any data
_SHOWN = 300  # characters of an item, or of a run of words, in the evidence
_DENSE = 64  # words up to which every place of a field is looked at
_STEPS = (2, 3)  # words from one place to the next in longer ones, and in longer outputs
_WIDE = 20  # words of a text of which one seed alone is no reason to look closer
_SPREAD = 10  # characters that a sentence may be longer than the item: it is set otherwise
_FEW = 24  # tokens up to which a field may be a short item, in any script
_SAYS = {
    "item": "holds the whole item",
    "ngram": "shares {words} words in a row with the item",
    "edited": "holds {share:.0%} of the item, in its order,",
}


class Match(NamedTuple):
    """A text found in a field; matches are ranked by their first three parts."""

    kind: int  # place in _SAYS, 0 is the strongest
    missing: float
    number: int
    alignment: Alignment


@dataclass
class Decontaminate(Rule):
    """Object to a record that holds an item of a benchmark, or a good part of one.

    Three findings count: a run of `ngram` words, `short` for items of fewer words than that; the
    share of an item's words that stand in a field in their order, across small edits; and an item
    of fewer than `short` words that is a field or a sentence of one. What many items have in
    common is no evidence (ngram_index.py); nor is a short instruction that needs an input.
    """

    name: ClassVar[str] = "decontaminate"
    explanation: ClassVar[str] = (
        "A field holds an item of a benchmark (GSM8K, MGSM, HumanEval, MMLU, ARC, XQuAD, "
        "CommonsenseQA, AlpacaEval, SeqEval, VQAv2 or any format that import reads), a run of its "
        "words, or the item lightly edited. Phrases that many items share are no evidence."
    )

    against: Annotated[
        tuple[str, ...] | None, OptionSpec("the benchmark: files joined by '+'; needed", files)
    ] = None
    format: Annotated[str, OptionSpec("the files' format", one_of(AUTO, *FORMATS))] = AUTO
    column: Annotated[
        str | None, OptionSpec("the column of the text, for files in no such format", str)
    ] = None
    fields: Annotated[
        tuple[TextField, ...], OptionSpec("the fields that are searched", some_of(*TEXT_FIELDS))
    ] = TEXT_FIELDS
    item_fields: Annotated[
        tuple[TextField, ...], OptionSpec("the parts of an item that count", some_of(*TEXT_FIELDS))
    ] = ("instruction", "input")
    ngram: Annotated[int, OptionSpec("words in a row that are a match", whole_number)] = 13
    short: Annotated[
        int,
        OptionSpec("the same for items of fewer words; those below it match whole", whole_number),
    ] = 8
    share: Annotated[float, OptionSpec("share of an item's words that is a match", proportion)] = (
        0.8
    )
    common: Annotated[
        int, OptionSpec("most items that may share a phrase that is evidence", whole_number)
    ] = 10
    _index: NgramIndex = field(init=False, repr=False, compare=False)
    _exact: dict[int, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    _longest: int = field(init=False, repr=False, compare=False)
    _beginnings: frozenset[str] = field(init=False, repr=False, compare=False)
    _facts: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.against:
            raise UsageError("rule 'decontaminate': name the benchmark: against=FILE")
        if not SEED <= self.short <= self.ngram:
            raise UsageError(
                f"rule 'decontaminate': short must be at least {SEED} and at most ngram "
                f"({self.ngram}); found {self.short}"
            )
        benchmark = Benchmark(self.against, self.format, self.column or "")
        self._index = NgramIndex(self.ngram, self.short, self.common)
        self._load(benchmark)
        self._facts = {"items": len(self._index.texts), "unreadable": benchmark.unreadable}

    def facts(self) -> dict[str, int]:
        """Return how many texts of items are known, and how many rows could not be read."""
        return {name: count for name, count in self._facts.items() if count or name == "items"}

    def _load(self, benchmark: Benchmark) -> None:
        items: set[int] = set()
        texts: dict[int, int] = {}
        held: Counter[int] = Counter()
        for item in benchmark.items():
            parts = [(name, words(item.parts[name])) for name in self.item_fields]
            key = _key([token for _, tokens in parts for token in (*tokens, "\n")])
            if key in items:  # several files may hold one benchmark
                continue
            items.add(key)
            for name, tokens in parts:
                if len(tokens) >= _LEAST:
                    self._add(item, name, tokens, texts, held)
        # An instruction of many items is their template; an input of many is their context.
        boilerplate = {number for number, count in held.items() if count > self._index.limit}
        self._exact = {key: n for key, n in self._exact.items() if n not in boilerplate}
        entries = map(self._index.texts.__getitem__, self._exact.values())
        # Longer ones have a seed among those that are looked at.
        short = [entry.excerpt for entry in entries if entry.length < SEED + _STEPS[-1] - 1]
        self._longest = max(map(len, short), default=0) + _SPREAD
        self._beginnings = frozenset(map(beginning, short))
        self._index.complete(boilerplate)

    def _add(
        self,
        item: Item,
        name: TextField,
        tokens: list[str],
        texts: dict[int, int],
        held: Counter[int],
    ) -> None:
        key = _key(tokens)
        if key not in texts:
            excerpt = shorten(" ".join(item.parts[name].split()), _SHOWN)
            texts[key] = self._index.add(tokens, item.source, item.line, name, excerpt)
            if self._index.texts[texts[key]].is_short:
                self._exact[key] = texts[key]
        number = texts[key]
        if name == "instruction":
            held[number] += 1
        needs_more = name == "output" or (name == "instruction" and item.parts["input"].strip())
        if needs_more and self._index.texts[number].is_short:
            held[number] = self._index.limit + self.common + 1

    def judge(self, record: Record) -> Rejection | None:
        """Return an objection, `item`, `ngram` or `edited`, with the words and the item."""
        for name in self.fields:
            text = record[name]
            if not text:
                continue
            tokens = words(text)
            if self._exact and (match := self._whole(text, tokens)):
                return self._object(name, tokens, match)
            step = 1 if len(tokens) <= _DENSE else _STEPS[name == "output"]
            shared = self._index.seeds(tokens, step)
            if shared and (match := self._best(text, tokens, shared)):
                return self._object(name, tokens, match)
        return None

    def _whole(self, text: str, tokens: list[str]) -> Match | None:
        """Return the short item that a field is; in a long one, also one of its sentences."""
        if len(tokens) <= _DENSE:
            number = self._exact.get(_key(tokens)) if len(tokens) <= _FEW else None
            return None if number is None else _all_of(number, tokens)
        for sentence in sentences(text, self._longest) if self._beginnings else ():
            if beginning(sentence) not in self._beginnings:
                continue
            found = words(sentence)
            if len(found) >= SEED and (number := self._exact.get(_key(found))) is not None:
                starts = range(len(tokens) - len(found) + 1)
                place = next((n for n in starts if tokens[n : n + len(found)] == found), 0)
                return _all_of(number, found, place)
        return None

    def _best(
        self, text: str, tokens: list[str], shared: dict[int, list[SharedRun]]
    ) -> Match | None:
        """Return the strongest match among the texts that share seeds with the field."""
        texts = self._index.texts
        likely = {
            number: seeds
            for number, seeds in shared.items()
            if len(seeds) > 1 or texts[number].length < _WIDE
        }
        if not likely:
            return None
        row = word_hashes(tokens)
        present = set(row).__contains__
        matches = []
        for number, seeds in likely.items():
            entry = texts[number]
            least = min(entry.run, self.share * entry.rare)
            if sum(map(present, self._index.words_of(entry))) >= least:
                alignment = Alignment(row, self._index.words_of(entry))
                for seed in seeds:
                    alignment.extend(*seed)
                if match := self._match(number, alignment, tokens, text):
                    matches.append(match)
        return min(matches, key=itemgetter(0, 1, 2), default=None)

    def _match(
        self, number: int, alignment: Alignment, tokens: list[str], text: str
    ) -> Match | None:
        entry = self._index.texts[number]
        begin, run = alignment.run
        if run == entry.length:
            if entry.is_short and not is_sentence(tokens[begin : begin + run], text):
                return None
            return Match(0, 0.0, number, alignment)
        if entry.verbatim:
            return None
        missing = 1 - len(alignment.found & self._index.rare_of(entry)) / entry.rare
        here = alignment.text_place
        # Two common phrases in a row make rare seeds where they meet, which say no more than they.
        if run >= entry.run and len(self._index.rare_of(entry, here, here + run)) >= entry.weight:
            return Match(1, missing, number, alignment)
        return Match(2, missing, number, alignment) if 1 - missing >= self.share else None

    def _object(self, name: str, tokens: list[str], match: Match) -> Rejection:
        entry, found = self._index.texts[match.number], match.alignment
        reason = [*_SAYS][match.kind]
        begin, run = found.run
        shown = tokens[found.begin : found.end] if reason == "edited" else tokens[begin:][:run]
        what = _SAYS[reason].format(words=run, share=1 - match.missing)
        place = f"{entry.source}:{entry.line}"
        message = f"the {name} {what} at {place}: {shorten(entry.excerpt, 80)!r}"
        evidence: dict[str, Any] = {
            "field": name,
            "ngram": shorten(joined(shown), _SHOWN),
            "words": run,
            "share": round(1 - match.missing, 3),
            "item": _where(entry),
        }
        return Rejection(reason, message, evidence)


def _key(tokens: list[str]) -> int:
    return xxh3_64_intdigest(" ".join(tokens).encode("utf-8", "surrogatepass"))


def _all_of(number: int, tokens: list[str], place: int = 0) -> Match:
    end = place + len(tokens)
    return Match(0, 0.0, number, Alignment((), (), run=(place, len(tokens)), begin=place, end=end))


def _where(entry: IndexedText) -> dict[str, Any]:
    return {
        "file": entry.source,
        "line": entry.line,
        "field": entry.field,
        "text": entry.excerpt,
    }
