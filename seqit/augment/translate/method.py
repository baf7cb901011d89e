"""Translate-then-predict: a task in one language, translated first and then done in another.

The manual chain of arXiv 2403.07794 for multilingual models. It is made from rows whose text is
known in several languages (`metadata.parallel`); a text that is not known can be written by a
language model, and nothing else is ever written or changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from seqit.augment.derive import (
    OnInapplicable,
    SkipReason,
    check_choice,
    record_failure,
    skip_or_pass,
)
from seqit.augment.language import prose
from seqit.augment.translate.chain import (
    METHOD,
    TranslateOptions,
    TranslateVariant,
    rng_for_row,
    translated,
)
from seqit.augment.translate.parallel_text import ParallelText, texts_of, with_texts
from seqit.augment.translate.translator import Translator
from seqit.checks.measures import letters
from seqit.errors import RowError, UsageError
from seqit.llm.client import ModelClient, WithoutModel
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats


def augment(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    seed: int,
    model: ModelClient | None = None,
    languages: Sequence[str] = (),
    row_language: str = "en",
    into: str = "en",
    variant: TranslateVariant = "single-turn",
    content: Literal["all", "input"] = "all",
    answer: Literal["target", "source"] = "target",
    per_row: Literal["one", "all"] = "one",
    share: float = 1.0,
    others: OnInapplicable = "reject",
) -> Iterator[Row]:
    """Turn rows into chains that translate first and then do the task.

    model: translates what the row does not have: from the row's own language into each of
        `languages`, and into `into`. Without one, parallel rows alone can be used.
    languages: codes to translate from; empty for every language that a row has.
    row_language: the language of rows whose metadata.language does not name it.
    variant: `single-turn` has one answer of two parts, `multi-turn` has the translation as an
        earlier turn, `crosslingual` has no translation step.
    content: `all` gives the whole task in the foreign language; `input` gives the instruction
        in the language `into`, as the paper's Alpaca mixture does.
    answer: the language of the answer, that of the translation or that of the foreign text.
    per_row: `one` draws one of a row's languages, `all` makes a record of each, and where the
        model fails at one of them, that one alone fails.
    share: the part of the fitting rows that is converted, drawn by id; the others stay as they
        are, whatever `others` says.

    Raises UsageError for a value that an option cannot take.
    """
    check_choice("variant", variant, ("single-turn", "multi-turn", "crosslingual"))
    check_choice("content", content, ("all", "input"))
    check_choice("answer", answer, ("target", "source"))
    check_choice("per_row", per_row, ("one", "all"))
    check_choice("others", others, ("reject", "pass"))
    if not 0 <= share <= 1:
        raise UsageError(f"share is {share}, but must lie between 0 and 1.")
    if into in languages:
        raise UsageError(f"{into!r} is the language to translate into: leave it out of languages.")
    options = TranslateOptions(seed, tuple(languages), into, variant, content, answer)
    planner = _Planner(options, row_language, per_row, share, model is not None)
    maker = _Maker(options, Translator(model, seed) if model else None)
    for item, result in (model or WithoutModel()).run(planner.items(rows), maker.run):
        row = item.row
        stats.added += item.is_further
        if isinstance(item.what, RowError):
            error = item.what
            stats.fail(row, METHOD, "malformed-parallel", str(error), field=error.field)
        elif isinstance(result, CompletionFailed):
            record_failure(stats, row, result)
        elif isinstance(result, SkipReason):
            yield from skip_or_pass(row, stats, others, METHOD, result)
        else:
            yield row if result is None else row.changed(result)


class _Item(NamedTuple):
    """One record to be made of a row."""

    row: Row
    texts: dict[str, ParallelText]
    what: str | SkipReason | RowError | None  # a language code; None: the row stays as it is
    is_further: bool = False  # not the first record of its row


@dataclass(frozen=True)
class _Planner:
    """Decides, without asking, which languages each row is translated from."""

    options: TranslateOptions
    row_language: str
    per_row: str
    share: float
    can_make: bool

    def items(self, rows: Iterator[Row]) -> Iterator[_Item]:
        """Yield what is to be made of every row."""
        seed = self.options.seed
        for row in rows:
            record: Record = row.value
            try:
                texts = texts_of(record, self.row_language)
            except RowError as error:
                yield _Item(row, {}, error)
                continue
            codes = self._sources(texts)
            if why := self._obstacle(record, texts, codes):
                yield _Item(row, texts, why)
            elif rng_for_row(record, seed, "share").random() >= self.share:
                yield _Item(row, texts, None)
            else:
                if self.per_row == "one":
                    codes = [rng_for_row(record, seed, "language").choice(codes)]
                for number, code in enumerate(codes):
                    yield _Item(row, texts, code, number > 0)

    def _wanted(self, texts: Mapping[str, ParallelText]) -> list[str]:
        """Return the languages that the options ask for, of those that can be had."""
        options = self.options
        codes = dict.fromkeys([*texts, *(options.languages if self.can_make else ())])
        if options.languages:
            return [code for code in codes if code in options.languages]
        return [code for code in codes if code != options.into]

    def _sources(self, texts: Mapping[str, ParallelText]) -> list[str]:
        """Return the languages to translate from, those that are yet to be written among them."""
        found = []
        for code in self._wanted(texts):
            can_be = self.can_make and _is_usable(
                _filled(texts, code, self.options), code, self.options
            )
            if can_be or _is_usable(texts, code, self.options):
                found.append(code)
        return found

    def _obstacle(
        self, record: Record, texts: Mapping[str, ParallelText], codes: list[str]
    ) -> SkipReason | None:
        """Return why the row cannot be translated."""
        operation = record["lineage"]["operation"]
        if operation not in ("seed", "keep", "regenerate"):
            # The parallel text says what the seed said, not what the row says now.
            return SkipReason(
                "already-changed", f"The operation {operation!r} has changed the row."
            )
        if codes:
            return None
        into = self.options.into
        if (into not in texts or len(texts) == 1) and not (self.can_make and self._wanted(texts)):
            message = f"The row's text is not known both in {into!r} and in another language."
            return SkipReason("no-parallel-text", message)
        return _NOTHING


_NOTHING = SkipReason(
    "nothing-to-translate",
    "No wanted language of the row has an answer and a text that needs translation.",
)


@dataclass(frozen=True)
class _Maker:
    """Makes the chains; asks for the texts that a row does not have."""

    options: TranslateOptions
    translator: Translator | None

    def run(self, item: _Item) -> ModelCall[Record | SkipReason | None]:
        """Make one chain; raises CompletionFailed."""
        if not isinstance(item.what, str):
            return item.what if isinstance(item.what, SkipReason) else None
        record: Record = item.row.value
        code, texts = item.what, item.texts
        if self.translator is None or _is_usable(texts, code, self.options):
            return translated(record, texts, code, self.options)
        texts = dict(texts)
        lead = next(iter(texts))
        for each in (self.options.into, code):
            if parts := _missing(texts, each, self.options):
                given = {part: getattr(texts[lead], part) for part in parts}
                made = yield from self.translator.translate(record, given, lead, each)
                texts[each] = texts.get(each, ParallelText("", "", ""))._replace(**made)
        if not _is_usable(texts, code, self.options):
            return _NOTHING  # the model found nothing in it that can be translated
        record = with_texts(record, texts)
        origin = {"teacher": self.translator.model.name, "prompt": self.translator.prompt}
        return translated(record, texts, code, self.options, **origin)


def _is_usable(texts: Mapping[str, ParallelText], code: str, options: TranslateOptions) -> bool:
    """Say whether the text in a language is complete, and not the target's own text."""
    target, text = texts.get(options.into), texts.get(code)
    if target is None or text is None or not target.instruction:
        return False
    answered = (target if options.answer == "target" else text).output
    if options.content == "all":
        same_parts = bool(text.instruction) and bool(text.input) == bool(target.input)
        return bool(answered) and same_parts and text[:2] != target[:2]
    return bool(answered) and bool(target.input) and text.input not in ("", target.input)


def _missing(texts: Mapping[str, ParallelText], code: str, options: TranslateOptions) -> list[str]:
    """Return the parts that a chain needs in a language, and that its text there lacks."""
    lead = next(iter(texts.values()))
    known = texts.get(code, ParallelText("", "", ""))
    is_target = code == options.into
    needed = ["instruction"] if is_target or options.content == "all" else []
    if code not in texts:  # what came with the row is complete in its way
        needed.append("input")
    if is_target == (options.answer == "target"):
        needed.append("output")
    return [part for part in needed if getattr(lead, part) and not getattr(known, part)]


def _filled(
    texts: Mapping[str, ParallelText], code: str, options: TranslateOptions
) -> dict[str, ParallelText]:
    """Return the texts as they will be, with stand-ins for what is yet to be translated."""
    filled = dict(texts)
    lead = next(iter(texts.values()))
    for each in (options.into, code):
        parts = _missing(texts, each, options)
        if any(letters(prose(getattr(lead, part))) for part in parts):
            stand_ins = {part: f"{getattr(lead, part)} ({each})" for part in parts}
            filled[each] = filled.get(each, ParallelText("", "", ""))._replace(**stand_ins)
    return filled
