"""The rule about records that contain benchmark items."""

from collections import Counter
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Annotated, Any, ClassVar, NamedTuple

from xxhash import xxh3_64_intdigest

from seqit.engine.ingest import AUTO
from seqit.errors import UsageError
from seqit.filter.decontamination.alignment import Alignment
from seqit.filter.decontamination.benchmark import Benchmark, BenchmarkItem
from seqit.filter.decontamination.ngram_index import (
    SEED_LENGTH,
    IndexedText,
    NgramIndex,
    SharedSeed,
    word_hashes,
)
from seqit.filter.decontamination.words import (
    is_sentence,
    join_words,
    sentence_prefix,
    sentences,
    words,
)
from seqit.filter.rule import (
    TEXT_FIELDS,
    OptionSpec,
    Rejection,
    Rule,
    TextField,
    file_names,
    one_of,
    proportion,
    some_of,
    whole_number,
)
from seqit.records.formats import FORMATS
from seqit.records.record import Record
from seqit.records.validation import shorten

_MIN_WORDS = 3  # of an item to search for: "yes" and "thank you" are in any data
_MAX_SHOWN = 300  # characters of an item, or of a run of words, in the evidence
_MAX_DENSE_WORDS = 64  # words up to which seeds are looked up at every position of a field
_STRIDES = (2, 3)  # words from one seed to the next in longer fields, and in longer outputs
_MIN_WORDS_FOR_TWO_SEEDS = 20  # words of a text from which one shared seed is not enough to align
_LENGTH_MARGIN = 10  # characters that a sentence may be longer than the item, by its typography
_MAX_SHORT_TOKENS = 24  # tokens up to which a field may be a short item, in any script
_PHRASES = {
    "item": "holds the whole item",
    "ngram": "shares {words} words in a row with the item",
    "edited": "holds {share:.0%} of the item, in its order,",
}


class Match(NamedTuple):
    """A text found in a field; matches are ranked by their first three fields."""

    kind: int  # index in _PHRASES, 0 is the strongest
    missing: float
    number: int
    alignment: Alignment


@dataclass
class Decontaminate(Rule):
    """Reject a record that contains an item of a benchmark, or a large part of one.

    A match is: `ngram` words in a row, or `short` words of an item that has fewer than `ngram`; a
    large enough share of an item's words in order, across small edits; or an item of fewer than
    `short` words that is a whole field or sentence. Phrases common to many items are ignored
    (ngram_index.py), as are short instructions that need an input.
    """

    name: ClassVar[str] = "decontaminate"
    explanation: ClassVar[str] = (
        "A field contains an item of a benchmark (GSM8K, MGSM, HumanEval, MMLU, ARC, XQuAD, "
        "CommonsenseQA, AlpacaEval, SeqEval, VQAv2 or any format that import reads), a run of its "
        "words, or the item with small edits. Phrases that many items share are ignored."
    )

    against: Annotated[
        tuple[str, ...] | None,
        OptionSpec("the benchmark: files joined by '+'; required", file_names),
    ] = None
    format: Annotated[str, OptionSpec("the files' format", one_of(AUTO, *FORMATS))] = AUTO
    column: Annotated[
        str | None, OptionSpec("the column of the text, for files of another format", str)
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
        OptionSpec(
            "the same for items of fewer words; still shorter items match only as a whole",
            whole_number,
        ),
    ] = 8
    share: Annotated[float, OptionSpec("share of an item's words that is a match", proportion)] = (
        0.8
    )
    common: Annotated[
        int, OptionSpec("phrases that more items share are ignored", whole_number)
    ] = 10
    _index: NgramIndex = field(init=False, repr=False, compare=False)
    _exact: dict[int, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    _max_sentence: int = field(init=False, repr=False, compare=False)
    _prefixes: frozenset[str] = field(init=False, repr=False, compare=False)
    _extra_counts: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.against:
            raise UsageError("rule 'decontaminate': name the benchmark: against=FILE")
        if not SEED_LENGTH <= self.short <= self.ngram:
            raise UsageError(
                f"rule 'decontaminate': short must be at least {SEED_LENGTH} and at most ngram "
                f"({self.ngram}); found {self.short}"
            )
        benchmark = Benchmark(self.against, self.format, self.column or "")
        self._index = NgramIndex(self.ngram, self.short, self.common)
        self._load(benchmark)
        self._extra_counts = {"items": len(self._index.texts), "unreadable": benchmark.unreadable}

    def extra_counts(self) -> dict[str, int]:
        """Return the number of indexed texts, and of benchmark rows that could not be read."""
        return {
            name: count for name, count in self._extra_counts.items() if count or name == "items"
        }

    def _load(self, benchmark: Benchmark) -> None:
        items: set[int] = set()
        texts: dict[int, int] = {}
        item_counts: Counter[int] = Counter()
        for item in benchmark.items():
            parts = [(name, words(item.parts[name])) for name in self.item_fields]
            key = _key([token for _, tokens in parts for token in (*tokens, "\n")])
            if key in items:  # several files may have the same benchmark
                continue
            items.add(key)
            for name, tokens in parts:
                if len(tokens) >= _MIN_WORDS:
                    self._add(item, name, tokens, texts, item_counts)
        # An instruction of many items is their template; an input of many is a context, and counts.
        boilerplate = {number for number, count in item_counts.items() if count > self._index.limit}
        self._exact = {key: n for key, n in self._exact.items() if n not in boilerplate}
        entries = map(self._index.texts.__getitem__, self._exact.values())
        # Longer ones have a seed among those that are looked up.
        short = [
            entry.excerpt for entry in entries if entry.length < SEED_LENGTH + _STRIDES[-1] - 1
        ]
        self._max_sentence = max(map(len, short), default=0) + _LENGTH_MARGIN
        self._prefixes = frozenset(map(sentence_prefix, short))
        self._index.build(boilerplate)

    def _add(
        self,
        item: BenchmarkItem,
        name: TextField,
        tokens: list[str],
        texts: dict[int, int],
        item_counts: Counter[int],
    ) -> None:
        key = _key(tokens)
        if key not in texts:
            excerpt = shorten(" ".join(item.parts[name].split()), _MAX_SHOWN)
            texts[key] = self._index.add(tokens, item.source, item.line, name, excerpt)
            if self._index.texts[texts[key]].is_short:
                self._exact[key] = texts[key]
        number = texts[key]
        if name == "instruction":
            item_counts[number] += 1
        needs_more = name == "output" or (name == "instruction" and item.parts["input"].strip())
        if needs_more and self._index.texts[number].is_short:
            item_counts[number] = self._index.limit + self.common + 1

    def check(self, record: Record) -> Rejection | None:
        """Return a rejection, `item`, `ngram` or `edited`, with the words and the item."""
        for name in self.fields:
            text = record[name]
            if not text:
                continue
            tokens = words(text)
            if self._exact and (match := self._match_short_item(text, tokens)):
                return self._reject(name, tokens, match)
            step = 1 if len(tokens) <= _MAX_DENSE_WORDS else _STRIDES[name == "output"]
            shared = self._index.find(tokens, step)
            if shared and (match := self._best_match(text, tokens, shared)):
                return self._reject(name, tokens, match)
        return None

    def _match_short_item(self, text: str, tokens: list[str]) -> Match | None:
        """Return the short item that equals the field, or a sentence of a long field."""
        if len(tokens) <= _MAX_DENSE_WORDS:
            number = self._exact.get(_key(tokens)) if len(tokens) <= _MAX_SHORT_TOKENS else None
            return None if number is None else _full_match(number, tokens)
        for sentence in sentences(text, self._max_sentence) if self._prefixes else ():
            if sentence_prefix(sentence) not in self._prefixes:
                continue
            found = words(sentence)
            if len(found) >= SEED_LENGTH and (number := self._exact.get(_key(found))) is not None:
                starts = range(len(tokens) - len(found) + 1)
                place = next((n for n in starts if tokens[n : n + len(found)] == found), 0)
                return _full_match(number, found, place)
        return None

    def _best_match(
        self, text: str, tokens: list[str], shared: dict[int, list[SharedSeed]]
    ) -> Match | None:
        """Return the strongest match among the texts that share seeds with the field."""
        texts = self._index.texts
        candidates = {
            number: seeds
            for number, seeds in shared.items()
            if len(seeds) > 1 or texts[number].length < _MIN_WORDS_FOR_TWO_SEEDS
        }
        if not candidates:
            return None
        row = word_hashes(tokens)
        present = set(row).__contains__
        matches = []
        for number, seeds in candidates.items():
            entry = texts[number]
            min_present = min(entry.run, self.share * entry.rare)
            if sum(map(present, self._index.words_in(entry))) >= min_present:
                alignment = Alignment(row, self._index.words_in(entry))
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
        missing = 1 - len(alignment.found & self._index.rare_words_in(entry)) / entry.rare
        text_begin = alignment.text_place
        # Two common phrases in a row form rare seeds where they meet, which are no evidence either.
        if (
            run >= entry.run
            and len(self._index.rare_words_in(entry, text_begin, text_begin + run)) >= entry.weight
        ):
            return Match(1, missing, number, alignment)
        return Match(2, missing, number, alignment) if 1 - missing >= self.share else None

    def _reject(self, name: str, tokens: list[str], match: Match) -> Rejection:
        entry, found = self._index.texts[match.number], match.alignment
        reason = [*_PHRASES][match.kind]
        begin, run = found.run
        shown = tokens[found.begin : found.end] if reason == "edited" else tokens[begin:][:run]
        phrase = _PHRASES[reason].format(words=run, share=1 - match.missing)
        place = f"{entry.source}:{entry.line}"
        message = f"the {name} {phrase} at {place}: {shorten(entry.excerpt, 80)!r}"
        evidence: dict[str, Any] = {
            "field": name,
            "ngram": shorten(join_words(shown), _MAX_SHOWN),
            "words": run,
            "share": round(1 - match.missing, 3),
            "item": _item_evidence(entry),
        }
        return Rejection(reason, message, evidence)


def _key(tokens: list[str]) -> int:
    return xxh3_64_intdigest(" ".join(tokens).encode("utf-8", "surrogatepass"))


def _full_match(number: int, tokens: list[str], place: int = 0) -> Match:
    end = place + len(tokens)
    return Match(0, 0.0, number, Alignment((), (), run=(place, len(tokens)), begin=place, end=end))


def _item_evidence(entry: IndexedText) -> dict[str, Any]:
    return {
        "file": entry.source,
        "line": entry.line,
        "field": entry.field,
        "text": entry.excerpt,
    }
