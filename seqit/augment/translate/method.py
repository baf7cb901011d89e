"""Translate-then-predict: a task in one language is translated first and then done in another.

The manual chain of arXiv 2403.07794 for multilingual models. It is built from rows with text in
several languages (`metadata.parallel`). A language model can write missing texts; no other text
is written or changed.
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
    translation_chain,
)
from seqit.augment.translate.parallel_text import ParallelText, texts_of, with_texts
from seqit.augment.translate.translator import Translator
from seqit.checks.text_units import count_letters
from seqit.errors import RowError, UsageError
from seqit.llm.client import ModelClient, NoModelRunner
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats


def augment(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    seed: int,
    model: ModelClient | None = None,
    source_languages: Sequence[str] = (),
    language: str = "en",
    into: str = "en",
    variant: TranslateVariant = "single-turn",
    content: Literal["all", "input"] = "all",
    answer: Literal["target", "source"] = "target",
    languages_per_row: Literal["one", "all"] = "one",
    fraction: float = 1.0,
    on_inapplicable: OnInapplicable = "reject",
) -> Iterator[Row]:
    """Yield rows as chains that translate first and then do the task.

    model: writes the texts that a row lacks: translations from the row's own language into each
        of `source_languages`, and into `into`. If None, only parallel rows can be used.
    source_languages: codes of the languages to translate from; empty: all languages of the row.
    language: the language of rows without metadata.language.
    into: code of the language to translate into.
    variant: `single-turn` has one answer of two parts, `multi-turn` has the translation as an
        earlier turn, `crosslingual` has no translation step.
    content: `all` gives the whole task in the foreign language; `input` gives the instruction
        in the language `into`, as the paper's Alpaca mixture does.
    answer: the language of the answer: that of the translation, or that of the foreign text.
    languages_per_row: `one` chooses one of the row's languages at random, `all` makes one record
        per language; each of them fails independently of the others.
    fraction: the share of applicable rows to convert, sampled by id; the rest is yielded unchanged,
        independent of `on_inapplicable`.

    Raises UsageError for an invalid value of an option.
    """
    check_choice("variant", variant, ("single-turn", "multi-turn", "crosslingual"))
    check_choice("content", content, ("all", "input"))
    check_choice("answer", answer, ("target", "source"))
    check_choice("languages_per_row", languages_per_row, ("one", "all"))
    check_choice("on_inapplicable", on_inapplicable, ("reject", "pass"))
    if not 0 <= fraction <= 1:
        raise UsageError(f"fraction is {fraction}, but must lie between 0 and 1.")
    if into in source_languages:
        raise UsageError(
            f"{into!r} is the language to translate into: leave it out of the source languages."
        )
    options = TranslateOptions(seed, tuple(source_languages), into, variant, content, answer)
    planner = _Planner(options, language, languages_per_row, fraction, model is not None)
    builder = _ChainBuilder(options, Translator(model, seed) if model else None)
    for item, result in (model or NoModelRunner()).run(planner.items(rows), builder.run):
        row = item.row
        stats.added += item.is_additional
        if isinstance(item.plan, RowError):
            error = item.plan
            stats.fail(row, METHOD, "malformed-parallel", str(error), field=error.field)
        elif isinstance(result, CompletionFailed):
            record_failure(stats, row, result)
        elif isinstance(result, SkipReason):
            yield from skip_or_pass(row, stats, on_inapplicable, METHOD, result)
        else:
            yield row if result is None else row.with_value(result)


class _Item(NamedTuple):
    """One record to make from a row."""

    row: Row
    texts: dict[str, ParallelText]
    plan: str | SkipReason | RowError | None  # code to translate from; None: row is unchanged
    is_additional: bool = False  # not the first record of its row


@dataclass(frozen=True)
class _Planner:
    """Decides, before any model call, which languages each row is translated from."""

    options: TranslateOptions
    language: str
    languages_per_row: str
    fraction: float
    can_translate: bool

    def items(self, rows: Iterator[Row]) -> Iterator[_Item]:
        """Yield the records to make from every row."""
        seed = self.options.seed
        for row in rows:
            record: Record = row.value
            try:
                texts = texts_of(record, self.language)
            except RowError as error:
                yield _Item(row, {}, error)
                continue
            codes = self._usable_languages(texts)
            if skip := self._skip_reason(record, texts, codes):
                yield _Item(row, texts, skip)
            elif rng_for_row(record, seed, "share").random() >= self.fraction:
                yield _Item(row, texts, None)
            else:
                if self.languages_per_row == "one":
                    codes = [rng_for_row(record, seed, "language").choice(codes)]
                for number, code in enumerate(codes):
                    yield _Item(row, texts, code, number > 0)

    def _requested_languages(self, texts: Mapping[str, ParallelText]) -> list[str]:
        """Return the languages that the options request and that the row has or can get."""
        requested = self.options.source_languages
        codes = dict.fromkeys([*texts, *(requested if self.can_translate else ())])
        if requested:
            return [code for code in codes if code in requested]
        return [code for code in codes if code != self.options.into]

    def _usable_languages(self, texts: Mapping[str, ParallelText]) -> list[str]:
        """Return the languages to translate from, including those that the model will write."""
        found = []
        for code in self._requested_languages(texts):
            can_be_written = self.can_translate and _is_usable(
                _with_stand_ins(texts, code, self.options), code, self.options
            )
            if can_be_written or _is_usable(texts, code, self.options):
                found.append(code)
        return found

    def _skip_reason(
        self, record: Record, texts: Mapping[str, ParallelText], codes: list[str]
    ) -> SkipReason | None:
        """Return why the method does not apply to the record; None if it does."""
        operation = record["lineage"]["operation"]
        if operation not in ("seed", "keep", "regenerate"):
            # The parallel text is a translation of the seed, not of the changed row.
            return SkipReason(
                "already-changed", f"The operation {operation!r} has changed the row."
            )
        if codes:
            return None
        into = self.options.into
        can_be_written = self.can_translate and self._requested_languages(texts)
        if (into not in texts or len(texts) == 1) and not can_be_written:
            message = f"The row's text is not known both in {into!r} and in another language."
            return SkipReason("no-parallel-text", message)
        return _NOTHING_TO_TRANSLATE


_NOTHING_TO_TRANSLATE = SkipReason(
    "nothing-to-translate",
    "No wanted language of the row has an answer and a text that needs translation.",
)


@dataclass(frozen=True)
class _ChainBuilder:
    """Builds the chains, after translating the texts that a row lacks."""

    options: TranslateOptions
    translator: Translator | None

    def run(self, item: _Item) -> ModelCall[Record | SkipReason | None]:
        """Return the chain, why the row is skipped, or None if the row is not changed.

        Raises CompletionFailed.
        """
        if not isinstance(item.plan, str):
            return item.plan if isinstance(item.plan, SkipReason) else None
        record: Record = item.row.value
        code, texts = item.plan, item.texts
        if self.translator is None or _is_usable(texts, code, self.options):
            return translation_chain(record, texts, code, self.options)
        texts = dict(texts)
        own_language = next(iter(texts))
        for target in (self.options.into, code):
            if parts := _missing_parts(texts, target, self.options):
                originals = {part: getattr(texts[own_language], part) for part in parts}
                translations = yield from self.translator.translate(
                    record, originals, own_language, target
                )
                previous = texts.get(target, ParallelText("", "", ""))
                texts[target] = previous._replace(**translations)
        if not _is_usable(texts, code, self.options):
            return _NOTHING_TO_TRANSLATE  # every translation equals its original
        record = with_texts(record, texts)
        origin = {"teacher": self.translator.model.name, "prompt": self.translator.prompt}
        return translation_chain(record, texts, code, self.options, **origin)


def _is_usable(texts: Mapping[str, ParallelText], code: str, options: TranslateOptions) -> bool:
    """Return whether the text in a language is complete, and differs from the target's text."""
    target, text = texts.get(options.into), texts.get(code)
    if target is None or text is None or not target.instruction:
        return False
    answered = (target if options.answer == "target" else text).output
    if options.content == "all":
        same_parts = bool(text.instruction) and bool(text.input) == bool(target.input)
        return bool(answered) and same_parts and text[:2] != target[:2]
    return bool(answered) and bool(target.input) and text.input not in ("", target.input)


def _missing_parts(
    texts: Mapping[str, ParallelText], code: str, options: TranslateOptions
) -> list[str]:
    """Return the parts that a chain needs in a language and that the row lacks there."""
    original = next(iter(texts.values()))
    present = texts.get(code, ParallelText("", "", ""))
    is_target = code == options.into
    needed = ["instruction"] if is_target or options.content == "all" else []
    if code not in texts:  # an empty input in a given parallel text is intended
        needed.append("input")
    if is_target == (options.answer == "target"):
        needed.append("output")
    return [part for part in needed if getattr(original, part) and not getattr(present, part)]


def _with_stand_ins(
    texts: Mapping[str, ParallelText], code: str, options: TranslateOptions
) -> dict[str, ParallelText]:
    """Return the texts with stand-ins for the parts that the model will translate."""
    filled = dict(texts)
    original = next(iter(texts.values()))
    for target in (options.into, code):
        parts = _missing_parts(texts, target, options)
        if any(count_letters(prose(getattr(original, part))) for part in parts):
            stand_ins = {part: f"{getattr(original, part)} ({target})" for part in parts}
            filled[target] = filled.get(target, ParallelText("", "", ""))._replace(**stand_ins)
    return filled
