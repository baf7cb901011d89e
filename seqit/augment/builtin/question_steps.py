"""Steps in front of the answer that look at the question or at the claim it is about."""

import re
from collections.abc import Callable
from functools import partial

from seqit.augment.builtin.literal import Choice, Numbers, prefix_step
from seqit.augment.builtin.task import Task
from seqit.checks import derived, measures


def _claim(task: Task) -> bool:
    return bool(task.claim)


def _numbers(task: Task) -> bool:
    return len(task.numbers) > 1


def _several_sentences(task: Task) -> bool:
    return 1 < len(task.sentences) < 13 and "." in task.story


def _question(task: Task) -> bool:
    return bool(task.story) and task.story == task.question


def _extreme(choose: Callable[..., str], task: Task) -> str:
    return choose(task.numbers, key=measures.number) if len(set(task.numbers)) > 1 else ""


def _extreme_number(choose: Callable[..., str], task: Task) -> Numbers:
    found = _extreme(choose, task)
    return Numbers([found] if found else [])


def _money(task: Task) -> list[str]:
    found = re.findall(r"\$\d[\d,]*(?:\.\d+)?(?!\d|[.,]\d)", task.story)
    return [amount.rstrip(",") for amount in found] if len(found) > 1 and task.numbers else []


def _capitalized(text: str) -> list[str]:
    found = [word for word in measures.words(text) if word[0].isupper()]
    return found if 2 <= len(found) <= 8 and len(set(found)) == len(found) else []


def _sentence_words(task: Task) -> int | None:
    count = len(measures.words(task.story))
    return count if count <= 40 and not re.search(r"\s[-–/&]\s|\w[/–]\w", task.story) else None


def _claim_words(task: Task) -> int | None:
    plain = not re.search(r"\s[-–/&]\s|\w[/–]\w", task.claim)
    return len(measures.words(task.claim)) if plain else None


QUESTION_STEPS = (
    prefix_step(
        "quote_claim",
        lambda task: task.claim,
        _claim,
        ('"{}"', 'The {claim} reads: "{}"'),
        "quote the {claim} in question",
        "repeat the {claim} word for word",
        "write out the {claim} that you are asked about",
    ),
    prefix_step(
        "count_claim_words",
        _claim_words,
        _claim,
        ("Words in the {claim}: {}", "{} words", "The {claim} has {} words."),
        "count the words in the {claim}",
        "say how many words the {claim} has",
        "state the number of words in the quoted {claim}",
        family="count_words_of",
    ),
    prefix_step(
        "longest_claim_word",
        lambda task: derived.the_longest(measures.words(task.claim)),
        _claim,
        ("Longest word: {}", 'The longest word is "{}".'),
        "find the longest word in the {claim}",
        "name the word with the most letters in the {claim}",
        "pick out the longest word of the quoted {claim}",
        family="longest_word_of",
    ),
    prefix_step(
        "capitalized_in_claim",
        lambda task: _capitalized(task.claim),
        _claim,
        ("Capitalized words: {}", "{}"),
        "list the words in the {claim} that start with a capital letter",
        "write down every capitalized word of the {claim}",
        family="capitalized",
    ),
    prefix_step(
        "question_type",
        lambda task: Choice(task.question_type, ("yes/no", "multiple-choice", "open")),
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
        lambda task: task.question if _several_sentences(task) else None,
        _several_sentences,
        ("The question is: {}", "The question to answer: {}", "{}"),
        "quote the sentence that asks the actual question",
        "find the sentence with the question mark and write it out",
        "pick out the sentence that ends with a question mark",
    ),
    prefix_step(
        "question_sentences",
        lambda task: len(measures.clear_sentences(task.story)) or None,
        _several_sentences,
        ("Number of sentences: {}", "It has {} sentences.", "{} sentences"),
        "count the sentences in the question",
        "say how many sentences the question consists of",
    ),
    prefix_step(
        "opening_sentence",
        lambda task: next(iter(measures.clear_sentences(task.story)), None),
        _several_sentences,
        ("{}", "First sentence: {}"),
        "quote the first sentence of the question",
        "repeat the opening sentence of the question word for word",
    ),
    prefix_step(
        "list_numbers",
        lambda task: Numbers(task.numbers if len(task.numbers) < 13 else []),
        _numbers,
        ("Numbers: {}", "The numbers are {}.", "{}"),
        "list the numbers that are written in digits in the question",
        "extract every number given in digits from the question",
        "write down all numerals in the question, in the order in which they appear",
    ),
    prefix_step(
        "count_numbers",
        lambda task: len(task.numbers),
        _numbers,
        ("Numbers in digits: {}", "There are {} of them.", "{}"),
        "count the numbers that are written in digits in the question",
        "say how many numbers the question gives in digits",
    ),
    prefix_step(
        "largest_number",
        partial(_extreme_number, max),
        _numbers,
        ("Largest number: {}", "The largest is {}."),
        "find the largest number that is written in digits in the question",
        "name the highest of the numbers given in digits in the question",
    ),
    prefix_step(
        "smallest_number",
        partial(_extreme_number, min),
        _numbers,
        ("Smallest number: {}", "The smallest is {}."),
        "find the smallest number that is written in digits in the question",
        "name the lowest of the numbers given in digits in the question",
    ),
    prefix_step(
        "money",
        _money,
        lambda task: "$" in task.story,
        ("Amounts: {}", "{}"),
        "list the dollar amounts that the question mentions in digits",
        "write down every amount with a dollar sign in the question",
    ),
    prefix_step(
        "count_question_words",
        _sentence_words,
        _question,
        ("Words in the question: {}", "{} words", "The question has {} words."),
        "count the words in the question",
        "say how many words the question has",
        family="count_words_of",
    ),
    prefix_step(
        "longest_question_word",
        lambda task: derived.the_longest(measures.words(task.story)),
        _question,
        ("Longest word: {}", 'The longest word is "{}".'),
        "find the longest word in the question",
        "name the word with the most letters in the question",
        family="longest_word_of",
    ),
    prefix_step(
        "capitalized_in_question",
        lambda task: _capitalized(task.story),
        _question,
        ("Capitalized words: {}", "{}"),
        "list the words in the question that start with a capital letter",
        "write down every capitalized word of the question",
        family="capitalized",
    ),
    prefix_step(
        "restate_question",
        lambda task: task.story,
        _question,
        ("{}", "Question: {}"),
        "repeat the question word for word",
        "write the question out once more",
    ),
)
