"""Steps in front of the answer that look at the record's input, or at code."""

import re
from functools import partial

from seqit.augment.builtin.literal import Numbers, prefix_step
from seqit.augment.builtin.task import Task
from seqit.checks import derived, measures


def _content(task: Task) -> bool:
    text = task.content
    return 40 < len(text) < 3000 and measures.spaced(text) and not re.search(r"[{}<>=_|]|```", text)


def _content_sentences(task: Task) -> int | None:
    found = measures.clear_sentences(task.content)
    return len(found) if 1 < len(found) < 16 else None


def _content_edge(place: int, task: Task) -> str:
    found = measures.clear_sentences(task.content)
    return found[place] if len(found) > 2 else ""


def _content_words(task: Task) -> int | None:
    return len(measures.words(task.content)) if len(task.content) < 300 else None


def _content_lines(task: Task) -> int | None:
    count = len(measures.lines(task.content))
    return count if 2 < count < 30 else None


def _content_numbers(task: Task) -> Numbers:
    # "Sentence 1:" and "(2)" are labels rather than numbers that the text gives.
    labelled = re.search(r"\d:|\(\d+\)|(?m:^\s*\d+[.)])", task.content)
    found = [] if labelled else measures.clear_numbers(task.content)
    return Numbers(found if 1 < len(found) < 13 else [])


def _function(task: Task) -> re.Match[str] | None:
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
    bare = re.sub(r"\[[^\[\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", found[2]))
    names = [re.split(r"[:=]", part)[0].strip() for part in bare.split(",")]
    return names if all(name.isidentifier() for name in names) else []


INPUT_STEPS = (
    prefix_step(
        "content_sentences",
        _content_sentences,
        _content,
        ("Number of sentences: {}", "{} sentences", "The {input} has {} sentences."),
        "count the sentences in the {input}",
        "say how many sentences the {input} has",
    ),
    prefix_step(
        "content_words",
        _content_words,
        _content,
        ("Number of words: {}", "{} words", "The {input} has {} words."),
        "count the words in the {input}",
        "say how many words the {input} has",
        family="count_words_of",
    ),
    prefix_step(
        "content_lines",
        _content_lines,
        _content,
        ("Number of lines: {}", "{} lines"),
        "count the lines of the {input}, leaving out blank ones",
        "say how many lines the {input} has, not counting blank ones",
    ),
    prefix_step(
        "content_first_sentence",
        partial(_content_edge, 0),
        _content,
        ("{}", "First sentence: {}"),
        "quote the first sentence of the {input}",
        "repeat the opening sentence of the {input} word for word",
    ),
    prefix_step(
        "content_last_sentence",
        partial(_content_edge, -1),
        _content,
        ("{}", "Last sentence: {}"),
        "quote the last sentence of the {input}",
        "repeat the closing sentence of the {input} word for word",
    ),
    prefix_step(
        "content_longest_word",
        lambda task: derived.the_longest(measures.words(task.content)),
        lambda task: _content(task) and len(task.content) < 400,
        ("Longest word: {}", 'The longest word is "{}".'),
        "find the longest word in the {input}",
        "name the word with the most letters in the {input}",
        family="longest_word_of",
    ),
    prefix_step(
        "content_numbers",
        lambda task: Numbers(
            found if 1 < len(found := measures.clear_numbers(task.content)) < 13 else []
        ),
        _content,
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
