"""What the reference implementation's own rules read, and where ours read something else.

Its rules are facts about it (arXiv 2403.07794, public repository), kept for comparison alone:
they cut instructions at a heading, take prose for markers, and turn what they cannot read into
"keep". No record is ever made from them.
"""

from seqit.augment.seq_instruct.paper.format import (
    OPTIONS,
    read_instruction,
    read_option,
    read_verdict,
)
from seqit.llm.model_call import ParseError, Parser
from seqit.records.reading_comparison import ReadingDifference, reading_difference

_MARKERS = ("#new instruction#", "new instruction")
_WORDS = {"prefix task": "B", "suffix task": "C", "decompose": "A"}
_FIRST_WORDS = 10


def instruction_difference(text: str) -> ReadingDifference | None:
    """Return how our reading of a rewrite differs from the reference implementation's."""
    return _difference(text, read_instruction, reference_instruction(text))


def option_difference(text: str) -> ReadingDifference | None:
    """Return how our reading of a classification differs from the reference implementation's."""
    return _difference(text, read_option, reference_option(text))


def refinement_difference(text: str) -> ReadingDifference | None:
    """Return how our reading of a refinement differs from the reference implementation's."""
    theirs = "yes" if reference_refinement(text) is None else "no"
    verdict = _difference(text, lambda answer: "yes" if read_verdict(answer) else "no", theirs)
    if verdict or theirs == "yes":
        return verdict
    return _difference(text, read_instruction, reference_refinement(text))


def _difference(text: str, read: Parser[str], theirs: str | None) -> ReadingDifference | None:
    try:
        return reading_difference(read(text), theirs)
    except ParseError as error:
        return reading_difference(None, theirs, str(error))


def reference_instruction(text: str) -> str | None:
    """Return what the reference reads as the new instruction.

    The text after the last mention of the marker, in prose too, up to the first ``###``; straight
    quotes go from either end, those of a quotation there too.
    """
    folded = text.lower()
    for marker in _MARKERS:
        if marker in folded:
            return _cut(text[folded.rindex(marker) + len(marker) :])
    return None


def reference_option(text: str) -> str:
    """Return what the reference reads as the option.

    The first letter of A to D for which "option X" or "option: X" is anywhere in the text, else
    for which "X." is, else one that the words of the text suggest, else D.
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
    """Return what the reference reads as the refined instruction; None: no refinement is needed.

    It is needed where "no" is in the first ten words, be it a part of "know" or "note".
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
