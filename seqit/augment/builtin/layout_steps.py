"""Suffix steps that change the format of the answer: lists, quotes, tags, JSON."""

from seqit.augment.builtin.step import Solution, StepKind
from seqit.augment.builtin.suffix_step import (
    phrase_between,
    sentences_between,
    solve_with_check,
    suffix_step,
)
from seqit.augment.builtin.task import Task
from seqit.checks import derived, text_units


def _has_unmarked_list(task: Task) -> bool:
    return bool(task.answer.items) and not text_units.marked_lines(task.answer.text)[0][0]


def _has_short_items(task: Task) -> bool:
    found = task.answer.items
    return not task.answer.is_one_line and bool(found) and all(len(item) < 30 for item in found)


def _is_short(task: Task) -> bool:
    """Return whether the answer is a short line without quotes, and not of a number step."""
    text = task.answer.text
    if task.answer.states_number:
        return False
    return len(text) <= 60 and '"' not in text and "\n" not in text


def _is_label_of_option(task: Task) -> bool:
    return task.answer.is_label and bool(task.options) and bool(task.options[0].label)


def _option_text(task: Task) -> Solution | None:
    options = {option.label: option.text for option in task.options}
    check = {"kind": "option_text", "options": options, "of": "previous"}
    return solve_with_check(derived.option_text, check, task)


LAYOUT_STEPS = (
    StepKind(
        "option_text",
        (
            "write out the text of the option you chose",
            "spell out in full what the chosen option says",
            "state what the option you picked says",
        ),
        _is_label_of_option,
        _option_text,
        ("{}",),
    ),
    suffix_step(
        "sorted_items",
        derived.sorted_items,
        _has_short_items,
        ("{}",),
        "put the items of {it} in alphabetical order",
        "sort the items of {it} from A to Z",
        family="order",
        result="end",
    ),
    suffix_step(
        "slug",
        derived.slug,
        lambda task: phrase_between(2, 8)(task) and "'" not in task.answer.text,
        ("{}",),
        "write {it} in lower case with hyphens instead of spaces",
        "turn {it} into a lower-case slug with hyphens between the words",
        name="slug",
        family="joined_words",
        result="end",
        separator="-",
    ),
    suffix_step(
        "slug",
        derived.slug,
        lambda task: phrase_between(2, 8)(task) and "'" not in task.answer.text,
        ("{}",),
        "write {it} in snake case",
        "write {it} in lower case with underscores instead of spaces",
        name="snake_case",
        family="joined_words",
        result="end",
        separator="_",
    ),
    suffix_step(
        "quoted",
        derived.quoted,
        lambda task: _is_short(task) and not task.answer.is_label and task.answer.number is None,
        ("{}",),
        "put {it} in quotation marks",
        "repeat {it} in double quotes",
        family="wrapped",
        result="end",
    ),
    suffix_step(
        "wrapped",
        derived.wrapped,
        lambda task: _is_short(task) and "[" not in task.answer.text,
        ("{}",),
        "put {it} in square brackets",
        "repeat {it} inside square brackets",
        name="brackets",
        family="wrapped",
        result="end",
        before="[",
        after="]",
    ),
    suffix_step(
        "wrapped",
        derived.wrapped,
        lambda task: _is_short(task) and "<" not in task.answer.text,
        ("{}",),
        "wrap {it} in <answer> tags",
        "repeat {it} between <answer> and </answer>",
        name="answer_tag",
        family="wrapped",
        result="end",
        before="<answer>",
        after="</answer>",
    ),
    suffix_step(
        "json",
        derived.as_json,
        _is_short,
        ("{}",),
        'give {it} as a JSON object with the key "answer"',
        'format {it} as JSON, under the key "answer"',
        'put {it} in a JSON object whose only key is "answer"',
        family="wrapped",
        result="end",
        key="answer",
    ),
    suffix_step(
        "boolean",
        derived.boolean,
        lambda task: task.answer.is_yes_no,
        ("{}",),
        "give {it} as a boolean, true for yes and false for no",
        "translate {it} into true (for yes) or false (for no)",
        result="end",
    ),
    suffix_step(
        "bullets",
        derived.bullets,
        sentences_between(2, 6),
        ("{}",),
        "rewrite {it} as a bullet list with one sentence per bullet",
        "turn {it} into bullet points, one for each sentence",
        name="sentence_bullets",
        family="shape",
    ),
    suffix_step(
        "numbered",
        derived.numbered,
        sentences_between(2, 6),
        ("{}",),
        "rewrite {it} as a numbered list with one sentence per number",
        "number the sentences of {it}, each on its own line",
        name="numbered_sentences",
        family="shape",
    ),
    suffix_step(
        "bullets",
        derived.bullets,
        _has_unmarked_list,
        ("{}",),
        "rewrite {it} as a bullet list",
        "put each item of {it} on a bullet point of its own",
        name="item_bullets",
        family="shape",
    ),
    suffix_step(
        "numbered",
        derived.numbered,
        _has_unmarked_list,
        ("{}",),
        "rewrite {it} as a numbered list",
        "number the items of {it}, one on each line",
        name="numbered_items",
        family="shape",
    ),
    suffix_step(
        "joined",
        derived.joined,
        _has_short_items,
        ("{}",),
        "put the items of {it} on one line, separated by commas",
        "write {it} as a single comma-separated line",
        family="shape",
        result="end",
    ),
)
