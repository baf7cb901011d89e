"""Suffix steps that change the words of the answer or select some of them."""

from collections.abc import Callable

from seqit.augment.builtin.suffix_step import (
    phrase_between,
    sentences_between,
    suffix_step,
    words_between,
)
from seqit.augment.builtin.task import Task
from seqit.checks import derived


def _text_between(low: int, high: int) -> Callable[[Task], bool]:
    """Return a condition on the number of words of an answer that has letters to change."""
    applies = words_between(low, high)
    return lambda task: applies(task) and not task.answer.is_label and task.answer.number is None


TEXT_STEPS = (
    suffix_step(
        "uppercase",
        derived.uppercase,
        _text_between(1, 60),
        ("{}",),
        "write {it} in capital letters",
        "convert {it} to upper case",
        "repeat {it} in all caps",
        family="case",
    ),
    suffix_step(
        "lowercase",
        derived.lowercase,
        lambda task: _text_between(2, 60)(task) and task.answer.text != task.answer.text.lower(),
        ("{}",),
        "write {it} in lower case",
        "convert {it} to small letters only",
        family="case",
    ),
    suffix_step(
        "capitalized",
        derived.capitalized,
        lambda task: phrase_between(2, 8)(task) and task.answer.text == task.answer.text.lower(),
        ("{}",),
        "write {it} with every word capitalized",
        "capitalize each word of {it}",
        family="case",
    ),
    suffix_step(
        "first_sentence",
        derived.first_sentence,
        sentences_between(2, 20),
        ("{}",),
        "repeat only the first sentence of {it}",
        "quote the opening sentence of {it}",
        family="edge_sentence",
    ),
    suffix_step(
        "last_sentence",
        derived.last_sentence,
        sentences_between(3, 20),
        ("{}",),
        "repeat only the last sentence of {it}",
        "quote the closing sentence of {it}",
        family="edge_sentence",
    ),
    suffix_step(
        "first_word",
        derived.first_word,
        words_between(3, 60),
        ("{}", 'The first word is "{}".'),
        "name the first word of {it}",
        "state the first word of {it}",
        family="one_word",
        result="end",
    ),
    suffix_step(
        "last_word",
        derived.last_word,
        words_between(3, 60),
        ("{}", 'The last word is "{}".'),
        "name the last word of {it}",
        "state the last word of {it}",
        family="one_word",
        result="end",
    ),
    suffix_step(
        "longest_word",
        derived.longest_word,
        words_between(4, 80),
        ("{}", 'The longest word is "{}".', "Longest word: {}"),
        "find the longest word in {it}",
        "name the word with the most letters in {it}",
        family="one_word",
        result="end",
    ),
    suffix_step(
        "reversed_words",
        derived.reversed_words,
        phrase_between(3, 8),
        ("{}",),
        "write the words of {it} in reverse order",
        "repeat {it} with the order of the words reversed",
        family="order",
    ),
    suffix_step(
        "reversed_letters",
        derived.reversed_letters,
        lambda task: phrase_between(1, 1)(task) and 3 <= len(task.answer.text) <= 10,
        ("{}",),
        "write {it} backwards",
        "reverse the order of the letters in {it}",
        family="order",
        result="end",
    ),
    suffix_step(
        "sorted_words",
        derived.sorted_words,
        phrase_between(3, 8),
        ("{}",),
        "list the words of {it} in alphabetical order",
        "sort the words of {it} alphabetically",
        family="order",
        result="end",
    ),
    suffix_step(
        "spelled",
        derived.spelled,
        lambda task: phrase_between(1, 1)(task) and task.answer.text.isalpha(),
        ("{}",),
        "spell {it} letter by letter",
        "spell {it} out, with hyphens between the letters",
        result="end",
    ),
    suffix_step(
        "initials",
        derived.initials,
        phrase_between(2, 8),
        ("{}", "Initials: {}"),
        "give the initials of the words in {it}",
        "form an acronym from the first letters of the words in {it}",
        result="end",
    ),
)
