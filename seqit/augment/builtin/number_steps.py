"""Steps after the answer that count or calculate."""

import re
from collections.abc import Callable

from seqit.augment.builtin.derived_step import phrase, sentences, suffix_step, words
from seqit.augment.builtin.task import Task
from seqit.checks import derived, measures

_YEAR = re.compile(r"1\d{3}|20\d{2}")  # nobody doubles a year


def _list(task: Task) -> bool:
    return bool(task.answer.items)


def _number(task: Task) -> bool:
    return task.answer.number is not None and not _YEAR.fullmatch(task.answer.text.strip())


def _whole_number(low: int, high: int) -> Callable[[Task], bool]:
    def applies(task: Task) -> bool:
        value = task.answer.number
        return value is not None and low <= value <= high and value == value.to_integral_value()

    return applies


def _prose_numbers(task: Task) -> bool:
    return (
        task.answer.words > 2
        and task.answer.one_line
        and 2 <= len(measures.clear_numbers(task.answer.text)) <= 6
    )


NUMBER_STEPS = (
    suffix_step(
        "plus",
        derived.plus,
        _number,
        ("{}", "Result: {}"),
        "subtract 1 from {it}",
        "give the number that is one less than {it}",
        name="minus_one",
        family="arithmetic",
        gives="number",
        value="-1",
    ),
    suffix_step(
        "plus",
        derived.plus,
        _number,
        ("{}", "Result: {}"),
        "add 10 to {it}",
        "increase {it} by ten",
        name="plus_ten",
        family="arithmetic",
        gives="number",
        value="10",
    ),
    suffix_step(
        "times",
        derived.times,
        _number,
        ("{}", "Result: {}"),
        "multiply {it} by 10",
        "work out ten times {it}",
        name="tenfold",
        family="arithmetic",
        gives="number",
        value="10",
    ),
    suffix_step(
        "times",
        derived.times,
        _number,
        ("{}", "Result: {}"),
        "triple {it}",
        "multiply {it} by three",
        name="triple",
        family="arithmetic",
        gives="number",
        value="3",
    ),
    suffix_step(
        "times",
        derived.times,
        _number,
        ("{}", "Result: {}"),
        "double {it}",
        "multiply {it} by two",
        name="double",
        family="arithmetic",
        gives="number",
        value="2",
    ),
    suffix_step(
        "rounded",
        derived.rounded,
        lambda task: _whole_number(11, 10**6)(task) and (task.answer.number or 0) % 5 != 0,
        ("{}", "Rounded: {}"),
        "round {it} to the nearest ten",
        "give {it} rounded to the nearest multiple of 10",
        family="arithmetic",
        gives="number",
        to="10",
    ),
    suffix_step(
        "parity",
        derived.parity,
        _whole_number(0, 10**9),
        ("{}", "The number is {}.", "It is {}."),
        "say whether {it} is even or odd",
        "state whether {it} is an even or an odd number",
        gives="end",
    ),
    suffix_step(
        "digit_sum",
        derived.digit_sum,
        _whole_number(10, 10**9),
        ("{}", "Sum of the digits: {}"),
        "add up the digits of {it}",
        "work out the digit sum of {it}",
        gives="number",
    ),
    suffix_step(
        "number_words",
        derived.number_words,
        _whole_number(0, 10**6 - 1),
        ("{}", "In words: {}"),
        "write {it} in words",
        "spell out {it} as words",
        gives="end",
    ),
    suffix_step(
        "sum",
        derived.total,
        _prose_numbers,
        ("{}", "Sum: {}"),
        "add up all the numbers that {it} gives in digits",
        gives="number",
    ),
    suffix_step(
        "largest",
        derived.largest,
        _prose_numbers,
        ("{}", "Largest number: {}"),
        "name the largest number that {it} gives in digits",
        gives="number",
    ),
    suffix_step(
        "count",
        derived.count,
        words(4, 120),
        ("{}", "Word count: {}", "Number of words: {}"),
        "count the words in {it}",
        "say how many words {it} has",
        "state the word count of {it}",
        name="count_words",
        family="count",
        gives="number",
        unit="words",
    ),
    suffix_step(
        "count",
        derived.count,
        phrase(1, 4),
        ("{}", "Number of letters: {}", "Letters: {}"),
        "count the letters in {it}",
        "say how many letters {it} has",
        name="count_letters",
        family="count",
        gives="number",
        unit="letters",
    ),
    suffix_step(
        "count",
        derived.count,
        sentences(2, 15),
        ("{}", "Number of sentences: {}"),
        "count the sentences in {it}",
        "say how many sentences {it} has",
        name="count_sentences",
        family="count",
        gives="number",
        unit="sentences",
    ),
    suffix_step(
        "count",
        derived.count,
        lambda task: task.answer.numbered_points > 2,
        ("{}", "Number of points: {}"),
        "say how many points the numbered list in {it} has",
        "count the entries of the numbered list in {it}",
        name="count_points",
        family="count",
        gives="number",
        unit="items",
    ),
    suffix_step(
        "count",
        derived.count,
        lambda task: task.answer.paragraphs > 1,
        ("{}", "Number of paragraphs: {}"),
        "say how many paragraphs {it} has",
        "count the paragraphs of {it}",
        name="count_paragraphs",
        family="count",
        gives="number",
        unit="paragraphs",
    ),
    suffix_step(
        "count",
        derived.count,
        _list,
        ("{}", "Number of items: {}", "{} items"),
        "count the items in {it}",
        "say how many items {it} lists",
        name="count_items",
        family="count",
        gives="number",
        unit="items",
    ),
)
