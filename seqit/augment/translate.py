"""Translate-then-predict: a task in one language, translated first and then done in another.

The manual chain of arXiv 2403.07794 for multilingual models. It is made from rows whose text is
known in several languages (`metadata.parallel`), so no content is ever written or changed here.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Literal, NamedTuple

from seqit.augment.derive import (
    Obstacle,
    Others,
    check_choice,
    derive,
    is_question,
    labelled,
    leave,
)
from seqit.augment.parallel_text import Text, language_name, texts_of
from seqit.errors import RowError, UsageError
from seqit.records.account import Account, Row
from seqit.records.identity import draw
from seqit.records.record import Record, Step

METHOD = "translate"

Variant = Literal["single-turn", "multi-turn", "crosslingual"]

# {what} is "question and the text" or a part of it, {do} "answer the question" or the like;
# {source}, {target} and {reply} are names of languages.
_SINGLE_TURN = (
    "First translate the {what} from {source} into {target}, then {do} in {reply}.",
    "Translate the {what} from {source} into {target}, and after that {do} in {reply}.",
    "Put the {what} into {target} first and then {do} in {reply}.",
    "Start by translating the {what} from {source} into {target}, and then {do} in {reply}.",
    "I need two things: translate the {what} from {source} into {target}, then {do} in {reply}.",
)
_TRANSLATE = (
    "Translate the {what} from {source} into {target}.",
    "Please put the {what} into {target}; the original is {source}.",
    "I need the {what} below in {target}.",
)
_FOLLOW_UP = (
    "Now {do} in {reply}.",
    "Thank you. Now please {do} in {reply}.",
    "With the translation at hand, {do} in {reply}.",
)
_CROSSLINGUAL = (
    "Read the {what} in {source} and {do} in {reply}.",
    "You are given the {what} in {source}. Please {do} in {reply}.",
    "Without translating the {what} from {source} first, {do} in {reply}.",
)


class _Options(NamedTuple):
    """What to translate, and how; see `augment`."""

    seed: int
    languages: tuple[str, ...]
    into: str
    variant: Variant
    content: Literal["all", "input"]
    answer: Literal["target", "source"]


def augment(
    rows: Iterator[Row],
    account: Account,
    *,
    seed: int,
    languages: Sequence[str] = (),
    into: str = "en",
    variant: Variant = "single-turn",
    content: Literal["all", "input"] = "all",
    answer: Literal["target", "source"] = "target",
    per_row: Literal["one", "all"] = "one",
    share: float = 1.0,
    others: Others = "reject",
) -> Iterator[Row]:
    """Turn parallel rows into chains that translate first and then do the task.

    languages: codes to translate from; empty for every language that a row has.
    variant: `single-turn` has one answer of two parts, `multi-turn` has the translation as an
        earlier turn, `crosslingual` has no translation step.
    content: `all` gives the whole task in the foreign language; `input` gives the instruction
        in the language `into`, as the paper's Alpaca mixture does.
    answer: the language of the answer, that of the translation or that of the foreign text.
    per_row: `one` draws one of a row's languages, `all` makes a record of each.
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
    options = _Options(seed, tuple(languages), into, variant, content, answer)
    for row in rows:
        record: Record = row.value
        try:
            texts = texts_of(record)
        except RowError as error:
            account.fail(row, METHOD, "malformed-parallel", str(error), field=error.field)
            continue
        codes = _sources(texts, options)
        if why := _obstacle(record, texts, codes, into):
            yield from leave(row, account, others, METHOD, why)
            continue
        if _lot(record, seed, "share").random() >= share:
            yield row
            continue
        if per_row == "one":
            codes = [_lot(record, seed, "language").choice(codes)]
        account.added += len(codes) - 1
        for code in codes:
            yield row.changed(_translate(record, texts, code, options))


def _lot(record: Record, seed: int, stage: str) -> Random:
    return draw(seed, record["id"], record["lineage"]["iteration"] + 1, f"{METHOD} {stage}")


def _sources(texts: dict[str, Text], options: _Options) -> list[str]:
    """Return the languages to translate from: wanted, complete, and not the target's own text."""
    target = texts.get(options.into)
    if target is None:
        return []
    found = []
    for code, text in texts.items():
        wanted = code in options.languages if options.languages else code != options.into
        answered = (target if options.answer == "target" else text).output
        if options.content == "all":
            differs = text[:2] != target[:2] and bool(text.input) == bool(target.input)
        else:
            differs = text.input not in ("", target.input) and target.input != ""
        if wanted and answered and differs:
            found.append(code)
    return found


def _obstacle(
    record: Record, texts: dict[str, Text], codes: list[str], into: str
) -> Obstacle | None:
    """Return why the row cannot be translated."""
    operation = record["lineage"]["operation"]
    if operation not in ("seed", "keep"):
        # The parallel text says what the seed said, not what the row says now.
        return Obstacle("already-changed", f"The operation {operation!r} has changed the row.")
    if into not in texts or len(texts) == 1:
        message = f"The row's text is not known both in {into!r} and in another language."
        return Obstacle("no-parallel-text", message)
    if not codes:
        message = "No wanted language of the row has an answer and a text that needs translation."
        return Obstacle("nothing-to-translate", message)
    return None


def _translate(record: Record, texts: dict[str, Text], code: str, options: _Options) -> Record:
    task = _task(texts, code, options)
    words, answer = task.words, task.last["output"]
    lot = _lot(record, options.seed, "phrasing")
    changes: dict[str, Any] = {"input": task.foreign, "output": answer, "steps": [task.last]}
    if options.variant == "single-turn":
        parts = (labelled("Translation", task.first["output"]), labelled("Answer", answer))
        changes |= {"output": "\n\n".join(parts), "steps": [task.first, task.last]}
        request = lot.choice(_SINGLE_TURN).format(**words)
    elif options.variant == "multi-turn":
        turn = [f"{lot.choice(_TRANSLATE).format(**words)}\n\n{task.foreign}", task.first["output"]]
        changes |= {"input": "", "history": [*record.get("history", []), turn]}
        request = lot.choice(_FOLLOW_UP).format(**words)
    else:
        request = lot.choice(_CROSSLINGUAL).format(**words)
    changes["instruction"] = request + task.wording
    changes["metadata"] = record.get("metadata", {}) | {
        "translation": {
            "source": code,
            "target": options.into,
            "answer": task.reply,
            "variant": options.variant,
        }
    }
    return derive(record, changes, "translate", method=METHOD, seed=options.seed)


class _Task(NamedTuple):
    """One row's translation, before a variant gives it its form."""

    foreign: str  # what is to be translated
    wording: str  # the instruction itself, where it is not part of `foreign`
    first: Step  # translate
    last: Step  # answer
    reply: str  # code of the language of the answer
    words: dict[str, str]  # for the phrasings


def _task(texts: dict[str, Text], code: str, options: _Options) -> _Task:
    source, target = texts[code], texts[options.into]
    reply = options.into if options.answer == "target" else code
    kind = "question" if is_question(target.instruction) else "task"
    if options.content == "all":
        what = f"{kind} and the text" if target.input else kind
        foreign, translation, wording = _whole(source, kind), _whole(target, kind), ""
    else:
        what, foreign, translation = "text", source.input, target.input
        wording = f"\n\n{labelled(kind.capitalize(), target.instruction)}"
    words = {
        "what": what,
        "do": "answer the question" if kind == "question" else "carry out the task",
        "source": language_name(code),
        "target": language_name(options.into),
        "reply": language_name(reply),
    }
    answer = texts[reply].output
    first: Step = {"instruction": _TRANSLATE[0].format(**words), "output": translation}
    last: Step = {
        "instruction": f"{words['do'].capitalize()} in {words['reply']}.{wording}",
        "output": answer,
    }
    if answer in texts[reply].input:
        # A span of the text: exact match is the measure of such answers (SQuAD).
        last["check"] = {"kind": "text", "value": answer}
    return _Task(foreign, wording, first, last, reply, words)


def _whole(text: Text, kind: str) -> str:
    if not text.input:
        return text.instruction
    return f"{labelled(kind.capitalize(), text.instruction)}\n\n{labelled('Text', text.input)}"
