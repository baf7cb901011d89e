"""Steps in front of the answer that look at the options of a multiple-choice question."""

from seqit.augment.builtin.literal import Choice, Listing, prefix_step
from seqit.augment.builtin.step import listing
from seqit.augment.builtin.task import Task
from seqit.checks import derived, measures


def _choices(task: Task) -> bool:
    return task.offers_choice


def _sentence_pair(task: Task) -> bool:
    return len(task.options) == 2 and task.options[0].label == "Sentence A"


def _text_options(task: Task) -> bool:
    return task.offers_choice and len(task.options) > 2 and task.options[0].text[0].isalpha()


def _number_options(task: Task) -> bool:
    return len(task.options) > 2 and measures.number(task.options[0].text) is not None


def _option_texts(task: Task) -> list[str]:
    return [option.text for option in task.options]


def _listed_options(task: Task) -> Listing:
    """The options as a person lists them: with their labels, where they have some."""
    texts = _option_texts(task)
    if not task.options[0].label:
        return Listing(listing(texts), texts)
    colon = ":" if task.options[0].label.startswith("Sentence") else ""
    rows = [f"{option.label}{colon} {option.text}" for option in task.options]
    return Listing("\n".join(rows), texts)


def _sorted_options(task: Task) -> list[str]:
    texts = _option_texts(task)
    ordered = sorted(texts, key=str.casefold)
    # Digits and signs sort in ways that people disagree on.
    sortable = all(text.replace(" ", "").isalpha() for text in texts)
    return ordered if sortable and ordered != texts else []


def _longest_option(task: Task) -> str | None:
    return derived.the_longest(_option_texts(task))


def _number_range(task: Task) -> list[str]:
    """The smallest and the largest option, where all are different numbers."""
    texts = _option_texts(task)
    values = {number: text for text in texts if (number := measures.number(text)) is not None}
    return [values[min(values)], values[max(values)]] if len(values) == len(texts) else []


def _words_only_in_first(task: Task) -> list[str]:
    first, second = (measures.words(option.text) for option in task.options)
    other = {word.casefold() for word in second}
    found = {word.casefold(): word for word in first if word.casefold() not in other}
    return list(found.values()) if len(found) < 5 else []


def _longer_sentence(task: Task) -> Choice:
    first, second = (len(measures.words(option.text)) for option in task.options)
    verdict = "Sentence A" if first > second else "Sentence B" if second > first else "neither"
    return Choice(verdict, ("Sentence A", "Sentence B", "neither"))


LIST_OPTIONS = prefix_step(
    "list_options",
    _listed_options,
    _choices,
    ("Options: {}", "The options: {}", "{}"),
    "list the options",
    "write out the answer options",
    "go through the options one by one and write each of them down",
)

OPTIONS_STEPS = (
    LIST_OPTIONS,
    prefix_step(
        "count_options",
        lambda task: len(task.options),
        lambda task: task.offers_choice and len(task.options) > 2,
        ("Number of options: {}", "There are {} options.", "{} options"),
        "count the answer options",
        "say how many options there are",
        "state the number of options to choose from",
    ),
    prefix_step(
        "sort_options",
        _sorted_options,
        _text_options,
        ("In alphabetical order: {}", "Sorted options: {}", "{}"),
        "put the options in alphabetical order",
        "sort the options alphabetically",
        "list the options from A to Z",
    ),
    prefix_step(
        "longest_option",
        _longest_option,
        _text_options,
        ("Longest option: {}", 'The longest option is "{}".'),
        "name the option with the most letters",
        "say which option is the longest, going by the number of letters",
    ),
    prefix_step(
        "first_option",
        lambda task: min(_option_texts(task), key=str.casefold) if _sorted_options(task) else None,
        _text_options,
        ("First in alphabetical order: {}", "{}"),
        "say which option comes first in alphabetical order",
        "name the option that is first alphabetically",
        family="sort_options",
    ),
    prefix_step(
        "option_range",
        _number_range,
        _number_options,
        ("Smallest and largest: {}", "{}"),
        "name the smallest and the largest of the options",
        "give the lowest and the highest value among the options, in that order",
    ),
    prefix_step(
        "words_only_in_first",
        _words_only_in_first,
        _sentence_pair,
        ("Only in Sentence A: {}", "{}"),
        "list the words of Sentence A that do not occur in Sentence B",
        "say which words stand in Sentence A but not in Sentence B",
        "find the words that are in Sentence A only",
    ),
    prefix_step(
        "longer_sentence",
        _longer_sentence,
        _sentence_pair,
        ("More words: {}", "{}"),
        'say which sentence has more words, or "neither" if they have equally many',
        'compare the two sentences and name the one with more words (or "neither")',
    ),
)
