"""Build the chain of a row with text in two languages: translate first, then do the task."""

from collections.abc import Mapping
from random import Random
from typing import Any, Literal, NamedTuple

from seqit.augment.derive import derive, is_question, labelled
from seqit.augment.language import language_name
from seqit.augment.translate.parallel_text import ParallelText
from seqit.records.identity import rng_for
from seqit.records.record import Record, Step

METHOD = "translate"

TranslateVariant = Literal["single-turn", "multi-turn", "crosslingual"]

# {what}: "question and the text" or a part of it; {do}: "answer the question" or similar;
# {source}, {target} and {reply}: names of languages.
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


class TranslateOptions(NamedTuple):
    """What to translate, and how; see seqit.augment.translate.method.augment."""

    seed: int
    source_languages: tuple[str, ...]
    into: str
    variant: TranslateVariant
    content: Literal["all", "input"]
    answer: Literal["target", "source"]


def rng_for_row(record: Record, seed: int, stage: str) -> Random:
    """Return the random number generator for one decision about translating the record."""
    return rng_for(seed, record["id"], record["lineage"]["iteration"] + 1, f"{METHOD} {stage}")


def translation_chain(
    record: Record,
    texts: Mapping[str, ParallelText],
    code: str,
    options: TranslateOptions,
    *,
    teacher: str = "builtin",
    prompt: str = "",
) -> Record:
    """Return the chain that translates the row's text from language `code`, then does the task.

    `texts` must contain the parts that the options require, in `code` and in `options.into`.
    `teacher` and `prompt` name the author of the texts that were not in the row.
    """
    task = _task(texts, code, options)
    words, answer = task.words, task.last["output"]
    rng = rng_for_row(record, options.seed, "phrasing")
    changes: dict[str, Any] = {"input": task.foreign, "output": answer, "steps": [task.last]}
    if options.variant == "single-turn":
        parts = (labelled("Translation", task.first["output"]), labelled("Answer", answer))
        changes |= {"output": "\n\n".join(parts), "steps": [task.first, task.last]}
        request = rng.choice(_SINGLE_TURN).format(**words)
    elif options.variant == "multi-turn":
        turn = [
            f"{rng.choice(_TRANSLATE).format(**words)}\n\n{task.foreign}",
            task.first["output"],
        ]
        changes |= {"input": "", "history": [*record.get("history", []), turn]}
        request = rng.choice(_FOLLOW_UP).format(**words)
    else:
        request = rng.choice(_CROSSLINGUAL).format(**words)
    changes["instruction"] = request + task.instruction
    changes["metadata"] = record.get("metadata", {}) | {
        "translation": {
            "source": code,
            "target": options.into,
            "answer": task.reply,
            "variant": options.variant,
        }
    }
    return derive(
        record,
        changes,
        "translate",
        method=METHOD,
        seed=options.seed,
        teacher=teacher,
        prompt=prompt,
    )


class _TranslationTask(NamedTuple):
    """The parts of a row's chain that all variants share."""

    foreign: str  # the text to translate
    instruction: str  # empty if it is part of `foreign`
    first: Step  # translate
    last: Step  # answer
    reply: str  # language code of the answer
    words: dict[str, str]  # slots of the phrasings


def _task(
    texts: Mapping[str, ParallelText], code: str, options: TranslateOptions
) -> _TranslationTask:
    source, target = texts[code], texts[options.into]
    reply = options.into if options.answer == "target" else code
    kind = "question" if is_question(target.instruction) else "task"
    if options.content == "all":
        what = f"{kind} and the text" if target.input else kind
        foreign, translation, instruction = _whole(source, kind), _whole(target, kind), ""
    else:
        what, foreign, translation = "text", source.input, target.input
        instruction = f"\n\n{labelled(kind.capitalize(), target.instruction)}"
    words = {
        "what": what,
        "do": "answer the question" if kind == "question" else "carry out the task",
        "source": language_name(code),
        "target": language_name(options.into),
        "reply": language_name(reply),
    }
    answer = texts[reply].output
    first: Step = {
        "instruction": _TRANSLATE[0].format(**words),
        "output": translation,
        "name": "translate",
    }
    last: Step = {
        "instruction": f"{words['do'].capitalize()} in {words['reply']}.{instruction}",
        "output": answer,
    }
    if answer in texts[reply].input:
        # An answer that is a span of the text is scored by exact match (SQuAD).
        last["check"] = {"kind": "text", "value": answer}
    return _TranslationTask(foreign, instruction, first, last, reply, words)


def _whole(text: ParallelText, kind: str) -> str:
    if not text.input:
        return text.instruction
    return f"{labelled(kind.capitalize(), text.instruction)}\n\n{labelled('Text', text.input)}"
