"""The reference implementation's parsing rules, and how their results differ from ours.

The rules are reimplemented from the public repository of arXiv 2403.07794, for comparison only:
they cut instructions at a heading, take prose for markers, and turn what they cannot parse into
"keep". No record is ever made with them.
"""

from seqit.augment.seq_instruct.paper.format import (
    OPTIONS,
    parse_instruction,
    parse_option,
    parse_verdict,
)
from seqit.llm.model_call import ParseError, Parser
from seqit.records.reading_comparison import ReadingDifference, reading_difference

_MARKERS = ("#new instruction#", "new instruction")
_WORDS = {"prefix task": "B", "suffix task": "C", "decompose": "A"}
_FIRST_WORDS = 10


def instruction_difference(text: str) -> ReadingDifference | None:
    """Return how we and the reference implementation parse a rewrite differently, or None."""
    return _difference(text, parse_instruction, reference_instruction(text))


def option_difference(text: str) -> ReadingDifference | None:
    """Return how we and the reference parse a classification differently, or None."""
    return _difference(text, parse_option, reference_option(text))


def refinement_difference(text: str) -> ReadingDifference | None:
    """Return how we and the reference parse a refinement differently, or None."""
    theirs = "yes" if reference_refinement(text) is None else "no"
    difference = _difference(text, lambda answer: "yes" if parse_verdict(answer) else "no", theirs)
    if difference or theirs == "yes":
        return difference
    return _difference(text, parse_instruction, reference_refinement(text))


def _difference(text: str, parse: Parser[str], theirs: str | None) -> ReadingDifference | None:
    try:
        return reading_difference(parse(text), theirs)
    except ParseError as error:
        return reading_difference(None, theirs, str(error))


def reference_instruction(text: str) -> str | None:
    """Return the new instruction by the reference's rules; None if there is none.

    The text after the last mention of the marker, even in prose, up to the first ``###``; straight
    quotes are stripped from both ends, even if they belong to a quotation.
    """
    folded = text.lower()
    for marker in _MARKERS:
        if marker in folded:
            return _cut(text[folded.rindex(marker) + len(marker) :])
    return None


def reference_option(text: str) -> str:
    """Return the option by the reference's rules.

    The first letter of A to D for which "option X" or "option: X" is anywhere in the text, else
    for which "X." is, else one suggested by the words of the text, else D.
    """
    folded = text.lower()
    for letter in OPTIONS:
        if f"option {letter}".lower() in folded or f"option: {letter}".lower() in folded:
            return letter
    for letter in OPTIONS:
        if f"{letter}." in text:
            return letter
    return next((letter for words, letter in _WORDS.items() if words in folded), "D")


def reference_refinement(text: str) -> str | None:
    """Return the refined instruction by the reference's rules; None if none is needed.

    It is needed if "no" is in the first ten words, even as a part of "know" or "note".
    """
    if "no" not in " ".join(text.split()[:_FIRST_WORDS]).lower():
        return None
    folded = text.lower()
    for marker in _MARKERS:
        if marker in folded:
            return _cut(text[folded.index(marker) + len(marker) :])
    return _cut(text)


def _cut(text: str) -> str:
    return text.partition("###")[0].strip(":# \n").strip('"')
