"""Prefix steps on the record's input, or on code."""

import re
from functools import partial

from seqit.augment.builtin.prefix_step import NumbersValue, prefix_step
from seqit.augment.builtin.task import Task
from seqit.checks import derived, text_units


def _has_prose_content(task: Task) -> bool:
    text = task.content
    return (
        40 < len(text) < 3000
        and text_units.is_space_separated(text)
        and not re.search(r"[{}<>=_|]|```", text)
    )


def _count_content_sentences(task: Task) -> int | None:
    found = text_units.clear_sentences(task.content)
    return len(found) if 1 < len(found) < 16 else None


def _content_edge(index: int, task: Task) -> str:
    """Return the first (0) or last (-1) sentence of the input."""
    found = text_units.clear_sentences(task.content)
    return found[index] if len(found) > 2 else ""


def _count_content_words(task: Task) -> int | None:
    return len(text_units.words(task.content)) if len(task.content) < 300 else None


def _count_content_lines(task: Task) -> int | None:
    count = len(text_units.lines(task.content))
    return count if 2 < count < 30 else None


def _function(task: Task) -> re.Match[str] | None:
    """Match name and parameters of the only Python function in the task; else None."""
    code = f"{task.text}\n{task.content}"
    found = list(re.finditer(r"(?m)^\s*def (\w+)\(([^()]*)\)", code))
    return found[0] if len(found) == 1 and code.count("def ") == 1 else None


def _defines_function(task: Task) -> bool:
    return "def " in task.text or "def " in task.content


def _function_name(task: Task) -> str | None:
    found = _function(task)
    return found[1] if found else None


def _parameters(task: Task) -> list[str]:
    found = _function(task)
    if not found or "*" in found[2]:
        return []
    # Type arguments contain commas: remove brackets, nested once.
    parameters = re.sub(r"\[[^\[\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", found[2]))
    names = [re.split(r"[:=]", part)[0].strip() for part in parameters.split(",")]
    return names if all(name.isidentifier() for name in names) else []


INPUT_STEPS = (
    prefix_step(
        "content_sentences",
        _count_content_sentences,
        _has_prose_content,
        ("Number of sentences: {}", "{} sentences", "The {input} has {} sentences."),
        "count the sentences in the {input}",
        "say how many sentences the {input} has",
    ),
    prefix_step(
        "content_words",
        _count_content_words,
        _has_prose_content,
        ("Number of words: {}", "{} words", "The {input} has {} words."),
        "count the words in the {input}",
        "say how many words the {input} has",
        family="count_words_of",
    ),
    prefix_step(
        "content_lines",
        _count_content_lines,
        _has_prose_content,
        ("Number of lines: {}", "{} lines"),
        "count the lines of the {input}, leaving out blank ones",
        "say how many lines the {input} has, not counting blank ones",
    ),
    prefix_step(
        "content_first_sentence",
        partial(_content_edge, 0),
        _has_prose_content,
        ("{}", "First sentence: {}"),
        "quote the first sentence of the {input}",
        "repeat the opening sentence of the {input} word for word",
    ),
    prefix_step(
        "content_last_sentence",
        partial(_content_edge, -1),
        _has_prose_content,
        ("{}", "Last sentence: {}"),
        "quote the last sentence of the {input}",
        "repeat the closing sentence of the {input} word for word",
    ),
    prefix_step(
        "content_longest_word",
        lambda task: derived.longest_text(text_units.words(task.content)),
        lambda task: _has_prose_content(task) and len(task.content) < 400,
        ("Longest word: {}", 'The longest word is "{}".'),
        "find the longest word in the {input}",
        "name the word with the most letters in the {input}",
        family="longest_word_of",
    ),
    prefix_step(
        "content_numbers",
        lambda task: NumbersValue(
            found if 1 < len(found := text_units.clear_numbers(task.content)) < 13 else []
        ),
        _has_prose_content,
        ("Numbers: {}", "{}"),
        "list the numbers that are written in digits in the {input}",
        "extract every number given in digits from the {input}",
    ),
    prefix_step(
        "function_name",
        _function_name,
        _defines_function,
        ("Function: {}", "The function is called `{}`."),
        "name the function that the code defines",
        "say what the function in the code is called",
    ),
    prefix_step(
        "parameters",
        _parameters,
        _defines_function,
        ("Parameters: {}", "{}"),
        "list the names of the function's parameters",
        "write down the parameters that the function takes, without their types",
    ),
)
