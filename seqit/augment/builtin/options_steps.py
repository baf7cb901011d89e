"""Prefix steps on the options of a multiple-choice question."""

from seqit.augment.builtin.prefix_step import ChoiceValue, ListValue, prefix_step
from seqit.augment.builtin.step import format_list
from seqit.augment.builtin.task import Task
from seqit.checks import derived, text_units


def _has_choices(task: Task) -> bool:
    return task.is_multiple_choice


def _is_sentence_pair(task: Task) -> bool:
    return len(task.options) == 2 and task.options[0].label == "Sentence A"


def _has_text_options(task: Task) -> bool:
    return task.is_multiple_choice and len(task.options) > 2 and task.options[0].text[0].isalpha()


def _has_number_options(task: Task) -> bool:
    return len(task.options) > 2 and text_units.parse_number(task.options[0].text) is not None


def _option_texts(task: Task) -> list[str]:
    return [option.text for option in task.options]


def _listed_options(task: Task) -> ListValue:
    """Return the options with their labels, if they have any."""
    texts = _option_texts(task)
    if not task.options[0].label:
        return ListValue(format_list(texts), texts)
    colon = ":" if task.options[0].label.startswith("Sentence") else ""
    rows = [f"{option.label}{colon} {option.text}" for option in task.options]
    return ListValue("\n".join(rows), texts)


def _sorted_options(task: Task) -> list[str]:
    texts = _option_texts(task)
    ordered = sorted(texts, key=str.casefold)
    # The alphabetical order of digits and punctuation is ambiguous.
    is_sortable = all(text.replace(" ", "").isalpha() for text in texts)
    return ordered if is_sortable and ordered != texts else []


def _longest_option(task: Task) -> str | None:
    return derived.longest_text(_option_texts(task))


def _number_range(task: Task) -> list[str]:
    """Return the smallest and the largest option, if all are different numbers; else []."""
    texts = _option_texts(task)
    values = {
        number: text for text in texts if (number := text_units.parse_number(text)) is not None
    }
    return [values[min(values)], values[max(values)]] if len(values) == len(texts) else []


def _words_only_in_first(task: Task) -> list[str]:
    first, second = (text_units.words(option.text) for option in task.options)
    other = {word.casefold() for word in second}
    found = {word.casefold(): word for word in first if word.casefold() not in other}
    return list(found.values()) if len(found) < 5 else []


def _longer_sentence(task: Task) -> ChoiceValue:
    first, second = (len(text_units.words(option.text)) for option in task.options)
    longer = "Sentence A" if first > second else "Sentence B" if second > first else "neither"
    return ChoiceValue(longer, ("Sentence A", "Sentence B", "neither"))


LIST_OPTIONS = prefix_step(
    "list_options",
    _listed_options,
    _has_choices,
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
        lambda task: task.is_multiple_choice and len(task.options) > 2,
        ("Number of options: {}", "There are {} options.", "{} options"),
        "count the answer options",
        "say how many options there are",
        "state the number of options to choose from",
    ),
    prefix_step(
        "sort_options",
        _sorted_options,
        _has_text_options,
        ("In alphabetical order: {}", "Sorted options: {}", "{}"),
        "put the options in alphabetical order",
        "sort the options alphabetically",
        "list the options from A to Z",
    ),
    prefix_step(
        "longest_option",
        _longest_option,
        _has_text_options,
        ("Longest option: {}", 'The longest option is "{}".'),
        "name the option with the most letters",
        "say which option is the longest, going by the number of letters",
    ),
    prefix_step(
        "first_option",
        lambda task: min(_option_texts(task), key=str.casefold) if _sorted_options(task) else None,
        _has_text_options,
        ("First in alphabetical order: {}", "{}"),
        "say which option comes first in alphabetical order",
        "name the option that is first alphabetically",
        family="sort_options",
    ),
    prefix_step(
        "option_range",
        _number_range,
        _has_number_options,
        ("Smallest and largest: {}", "{}"),
        "name the smallest and the largest of the options",
        "give the lowest and the highest value among the options, in that order",
    ),
    prefix_step(
        "words_only_in_first",
        _words_only_in_first,
        _is_sentence_pair,
        ("Only in Sentence A: {}", "{}"),
        "list the words of Sentence A that do not occur in Sentence B",
        "say which words stand in Sentence A but not in Sentence B",
        "find the words that are in Sentence A only",
    ),
    prefix_step(
        "longer_sentence",
        _longer_sentence,
        _is_sentence_pair,
        ("More words: {}", "{}"),
        'say which sentence has more words, or "neither" if they have equally many',
        'compare the two sentences and name the one with more words (or "neither")',
    ),
)
