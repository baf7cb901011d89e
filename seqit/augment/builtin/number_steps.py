"""Suffix steps that count or calculate."""

import re
from collections.abc import Callable

from seqit.augment.builtin.suffix_step import (
    phrase_between,
    sentences_between,
    suffix_step,
    words_between,
)
from seqit.augment.builtin.task import Task
from seqit.checks import derived, text_units

_YEAR = re.compile(r"1\d{3}|20\d{2}")  # arithmetic on a year makes no sense


def _has_items(task: Task) -> bool:
    return bool(task.answer.items)


def _has_number(task: Task) -> bool:
    return task.answer.number is not None and not _YEAR.fullmatch(task.answer.text.strip())


def _whole_number_between(low: int, high: int) -> Callable[[Task], bool]:
    def applies(task: Task) -> bool:
        value = task.answer.number
        return value is not None and low <= value <= high and value == value.to_integral_value()

    return applies


def _has_numbers_in_prose(task: Task) -> bool:
    return (
        task.answer.word_count > 2
        and task.answer.is_one_line
        and 2 <= len(text_units.clear_numbers(task.answer.text)) <= 6
    )


NUMBER_STEPS = (
    suffix_step(
        "plus",
        derived.plus,
        _has_number,
        ("{}", "Result: {}"),
        "subtract 1 from {it}",
        "give the number that is one less than {it}",
        name="minus_one",
        family="arithmetic",
        result="number",
        value="-1",
    ),
    suffix_step(
        "plus",
        derived.plus,
        _has_number,
        ("{}", "Result: {}"),
        "add 10 to {it}",
        "increase {it} by ten",
        name="plus_ten",
        family="arithmetic",
        result="number",
        value="10",
    ),
    suffix_step(
        "times",
        derived.times,
        _has_number,
        ("{}", "Result: {}"),
        "multiply {it} by 10",
        "work out ten times {it}",
        name="tenfold",
        family="arithmetic",
        result="number",
        value="10",
    ),
    suffix_step(
        "times",
        derived.times,
        _has_number,
        ("{}", "Result: {}"),
        "triple {it}",
        "multiply {it} by three",
        name="triple",
        family="arithmetic",
        result="number",
        value="3",
    ),
    suffix_step(
        "times",
        derived.times,
        _has_number,
        ("{}", "Result: {}"),
        "double {it}",
        "multiply {it} by two",
        name="double",
        family="arithmetic",
        result="number",
        value="2",
    ),
    suffix_step(
        "rounded",
        derived.rounded,
        lambda task: _whole_number_between(11, 10**6)(task) and (task.answer.number or 0) % 5 != 0,
        ("{}", "Rounded: {}"),
        "round {it} to the nearest ten",
        "give {it} rounded to the nearest multiple of 10",
        family="arithmetic",
        result="number",
        to="10",
    ),
    suffix_step(
        "parity",
        derived.parity,
        _whole_number_between(0, 10**9),
        ("{}", "The number is {}.", "It is {}."),
        "say whether {it} is even or odd",
        "state whether {it} is an even or an odd number",
        result="end",
    ),
    suffix_step(
        "digit_sum",
        derived.digit_sum,
        _whole_number_between(10, 10**9),
        ("{}", "Sum of the digits: {}"),
        "add up the digits of {it}",
        "work out the digit sum of {it}",
        result="number",
    ),
    suffix_step(
        "number_words",
        derived.number_words,
        _whole_number_between(0, 10**6 - 1),
        ("{}", "In words: {}"),
        "write {it} in words",
        "spell out {it} as words",
        result="end",
    ),
    suffix_step(
        "sum",
        derived.total,
        _has_numbers_in_prose,
        ("{}", "Sum: {}"),
        "add up all the numbers that {it} gives in digits",
        result="number",
    ),
    suffix_step(
        "largest",
        derived.largest,
        _has_numbers_in_prose,
        ("{}", "Largest number: {}"),
        "name the largest number that {it} gives in digits",
        result="number",
    ),
    suffix_step(
        "count",
        derived.count,
        words_between(4, 120),
        ("{}", "Word count: {}", "Number of words: {}"),
        "count the words in {it}",
        "say how many words {it} has",
        "state the word count of {it}",
        name="count_words",
        family="count",
        result="number",
        unit="words",
    ),
    suffix_step(
        "count",
        derived.count,
        phrase_between(1, 4),
        ("{}", "Number of letters: {}", "Letters: {}"),
        "count the letters in {it}",
        "say how many letters {it} has",
        name="count_letters",
        family="count",
        result="number",
        unit="letters",
    ),
    suffix_step(
        "count",
        derived.count,
        sentences_between(2, 15),
        ("{}", "Number of sentences: {}"),
        "count the sentences in {it}",
        "say how many sentences {it} has",
        name="count_sentences",
        family="count",
        result="number",
        unit="sentences",
    ),
    suffix_step(
        "count",
        derived.count,
        lambda task: task.answer.numbered_point_count > 2,
        ("{}", "Number of points: {}"),
        "say how many points the numbered list in {it} has",
        "count the entries of the numbered list in {it}",
        name="count_points",
        family="count",
        result="number",
        unit="items",
    ),
    suffix_step(
        "count",
        derived.count,
        lambda task: task.answer.paragraph_count > 1,
        ("{}", "Number of paragraphs: {}"),
        "say how many paragraphs {it} has",
        "count the paragraphs of {it}",
        name="count_paragraphs",
        family="count",
        result="number",
        unit="paragraphs",
    ),
    suffix_step(
        "count",
        derived.count,
        _has_items,
        ("{}", "Number of items: {}", "{} items"),
        "count the items in {it}",
        "say how many items {it} lists",
        name="count_items",
        family="count",
        result="number",
        unit="items",
    ),
)
