"""The words that carry a text's content, comparable across inflection.

English is known best; of other languages every word counts, and of scripts without spaces every
pair of neighbouring characters.
"""

import re
import unicodedata

from seqit.checks import measures, readings

# Words that are in any instruction, and those that only put tasks into an order. A chain that adds
# nothing but these adds no task.
_LISTED = """
a an the this that these those it its itself they them their there here i me my mine we us
our you your yours he him his she her hers one ones who whom whose which what when where why
how be am is are was were been being do does did done doing have has had having can could
will would shall should may might must and or but nor if so as than too very not no yes of
in on at by for with from to into onto about over under between within without through
during up down out off per via just only also even any some all both each every either
neither other others another such same own more most much many few less least please kindly
give tell provide help want need like let get go know sure ok okay thanks thank s t d ll m
re ve don isn doesn hi hello following given above below first firstly second secondly third
thirdly then next after afterwards afterward before finally last lastly now once start begin
followed step steps based using use used while result results task tasks instruction
instructions
"""
_FUNCTION = frozenset(_LISTED.split()) | frozenset(readings.NUMBERS_IN_WORDS.values())
_MARKED = re.compile(r"[à-öø-ÿā-ž]")
_PART = re.compile(r"[^\W_]+")


def content_words(text: str) -> list[str]:
    """Return the stems of the words that carry content, in order, repetitions included.

    Numbers are no words, and "ö" is "o": one writes Schrödinger, the other does not.
    """
    found: list[str] = []
    for part in _PART.findall(_unmarked(text.casefold())):
        if not measures.spaced(part):
            found += [part[i : i + 2] for i in range(max(len(part) - 1, 1))]
        elif part not in _FUNCTION and not part.isdigit():
            found.append(stem(part))
    return found


def _unmarked(text: str) -> str:
    """Return the text without the marks on its Latin letters."""
    if text.isascii():
        return text
    whole = unicodedata.normalize("NFC", text)
    return _MARKED.sub(lambda match: unicodedata.normalize("NFD", match[0])[0], whole)


def share_within(words: list[str], text_words: set[str]) -> float:
    """Return which share of the words, each counted once, is among the others; 1 for no words."""
    wanted = set(words)
    return len(wanted & text_words) / len(wanted) if wanted else 1.0


def stem(word: str) -> str:
    """Return the beginning that a word shares with its inflections and near relatives.

    Six letters at most: "describe" and "description" are one, "movie" and "movies" too.
    """
    if not word.isascii() or len(word) < 4:
        return word[:6]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    word = word.rstrip("e") or word
    return (word[:-1] + "i" if word.endswith("y") else word)[:6]
