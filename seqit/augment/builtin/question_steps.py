"""Prefix steps on the question, or on the claim that it is about."""

import re
from collections.abc import Callable
from functools import partial

from seqit.augment.builtin.prefix_step import ChoiceValue, NumbersValue, prefix_step
from seqit.augment.builtin.task import Task
from seqit.checks import derived, text_units


def _has_claim(task: Task) -> bool:
    return bool(task.claim)


def _has_numbers(task: Task) -> bool:
    return len(task.numbers) > 1


def _has_several_sentences(task: Task) -> bool:
    return 1 < len(task.sentences) < 13 and "." in task.prose


def _is_one_question(task: Task) -> bool:
    return bool(task.prose) and task.prose == task.question


def _extreme_number(choose: Callable[..., str], task: Task) -> NumbersValue:
    """Return the minimum or maximum of the question's numbers; none if all are equal."""
    if len(set(task.numbers)) < 2:
        return NumbersValue([])
    return NumbersValue([choose(task.numbers, key=text_units.parse_number)])


def _money(task: Task) -> list[str]:
    found = re.findall(r"\$\d[\d,]*(?:\.\d+)?(?!\d|[.,]\d)", task.prose)
    return [amount.rstrip(",") for amount in found] if len(found) > 1 and task.numbers else []


def _capitalized(text: str) -> list[str]:
    found = [word for word in text_units.words(text) if word[0].isupper()]
    return found if 2 <= len(found) <= 8 and len(set(found)) == len(found) else []


def _count_question_words(task: Task) -> int | None:
    count = len(text_units.words(task.prose))
    return count if count <= 40 and not re.search(r"\s[-–/&]\s|\w[/–]\w", task.prose) else None


def _count_claim_words(task: Task) -> int | None:
    plain = not re.search(r"\s[-–/&]\s|\w[/–]\w", task.claim)
    return len(text_units.words(task.claim)) if plain else None


QUESTION_STEPS = (
    prefix_step(
        "quote_claim",
        lambda task: task.claim,
        _has_claim,
        ('"{}"', 'The {claim} reads: "{}"'),
        "quote the {claim} in question",
        "repeat the {claim} word for word",
        "write out the {claim} that you are asked about",
    ),
    prefix_step(
        "count_claim_words",
        _count_claim_words,
        _has_claim,
        ("Words in the {claim}: {}", "{} words", "The {claim} has {} words."),
        "count the words in the {claim}",
        "say how many words the {claim} has",
        "state the number of words in the quoted {claim}",
        family="count_words_of",
    ),
    prefix_step(
        "longest_claim_word",
        lambda task: derived.longest_text(text_units.words(task.claim)),
        _has_claim,
        ("Longest word: {}", 'The longest word is "{}".'),
        "find the longest word in the {claim}",
        "name the word with the most letters in the {claim}",
        "pick out the longest word of the quoted {claim}",
        family="longest_word_of",
    ),
    prefix_step(
        "capitalized_in_claim",
        lambda task: _capitalized(task.claim),
        _has_claim,
        ("Capitalized words: {}", "{}"),
        "list the words in the {claim} that start with a capital letter",
        "write down every capitalized word of the {claim}",
        family="capitalized",
    ),
    prefix_step(
        "question_type",
        lambda task: ChoiceValue(task.question_type, ("yes/no", "multiple-choice", "open")),
        lambda task: task.is_question and bool(task.question_type),
        ("Type of question: {}", "Question type: {}", "{}"),
        "say whether this is a yes/no, a multiple-choice or an open question",
        "state what type of question this is: yes/no, multiple-choice or open",
    ),
    prefix_step(
        "question_word",
        lambda task: task.question_word,
        lambda task: task.is_question and bool(task.question_word),
        ('The question word is "{}".', "Question word: {}"),
        "name the question word",
        "say which question word is used (such as who, what or where)",
    ),
    prefix_step(
        "quote_question",
        lambda task: task.question if _has_several_sentences(task) else None,
        _has_several_sentences,
        ("The question is: {}", "The question to answer: {}", "{}"),
        "quote the sentence that asks the actual question",
        "find the sentence with the question mark and write it out",
        "pick out the sentence that ends with a question mark",
    ),
    prefix_step(
        "question_sentences",
        lambda task: len(text_units.clear_sentences(task.prose)) or None,
        _has_several_sentences,
        ("Number of sentences: {}", "It has {} sentences.", "{} sentences"),
        "count the sentences in the question",
        "say how many sentences the question consists of",
    ),
    prefix_step(
        "opening_sentence",
        lambda task: next(iter(text_units.clear_sentences(task.prose)), None),
        _has_several_sentences,
        ("{}", "First sentence: {}"),
        "quote the first sentence of the question",
        "repeat the opening sentence of the question word for word",
    ),
    prefix_step(
        "list_numbers",
        lambda task: NumbersValue(task.numbers if len(task.numbers) < 13 else []),
        _has_numbers,
        ("Numbers: {}", "The numbers are {}.", "{}"),
        "list the numbers that are written in digits in the question",
        "extract every number given in digits from the question",
        "write down all numerals in the question, in the order in which they appear",
    ),
    prefix_step(
        "count_numbers",
        lambda task: len(task.numbers),
        _has_numbers,
        ("Numbers in digits: {}", "There are {} of them.", "{}"),
        "count the numbers that are written in digits in the question",
        "say how many numbers the question gives in digits",
    ),
    prefix_step(
        "largest_number",
        partial(_extreme_number, max),
        _has_numbers,
        ("Largest number: {}", "The largest is {}."),
        "find the largest number that is written in digits in the question",
        "name the highest of the numbers given in digits in the question",
    ),
    prefix_step(
        "smallest_number",
        partial(_extreme_number, min),
        _has_numbers,
        ("Smallest number: {}", "The smallest is {}."),
        "find the smallest number that is written in digits in the question",
        "name the lowest of the numbers given in digits in the question",
    ),
    prefix_step(
        "money",
        _money,
        lambda task: "$" in task.prose,
        ("Amounts: {}", "{}"),
        "list the dollar amounts that the question mentions in digits",
        "write down every amount with a dollar sign in the question",
    ),
    prefix_step(
        "count_question_words",
        _count_question_words,
        _is_one_question,
        ("Words in the question: {}", "{} words", "The question has {} words."),
        "count the words in the question",
        "say how many words the question has",
        family="count_words_of",
    ),
    prefix_step(
        "longest_question_word",
        lambda task: derived.longest_text(text_units.words(task.prose)),
        _is_one_question,
        ("Longest word: {}", 'The longest word is "{}".'),
        "find the longest word in the question",
        "name the word with the most letters in the question",
        family="longest_word_of",
    ),
    prefix_step(
        "capitalized_in_question",
        lambda task: _capitalized(task.prose),
        _is_one_question,
        ("Capitalized words: {}", "{}"),
        "list the words in the question that start with a capital letter",
        "write down every capitalized word of the question",
        family="capitalized",
    ),
    prefix_step(
        "restate_question",
        lambda task: task.prose,
        _is_one_question,
        ("{}", "Question: {}"),
        "repeat the question word for word",
        "write the question out once more",
    ),
)
