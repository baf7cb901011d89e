"""Extract the content words of a text as stems, so that inflected forms compare equal.

Function words are removed for English only. In scripts without spaces every pair of adjacent
characters counts as a word.
"""

import re
import unicodedata

from seqit.checks import matching, text_units

# Function words, words that occur in any instruction, and words that only order tasks. A chain that
# adds nothing but these adds no task.
_FUNCTION_WORD_LIST = """
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
_FUNCTION_WORDS = frozenset(_FUNCTION_WORD_LIST.split()) | frozenset(matching.NUMBER_WORDS.values())
_ACCENTED = re.compile(r"[à-öø-ÿā-ž]")
_PART = re.compile(r"[^\W_]+")


def content_words(text: str) -> list[str]:
    """Return the stems of the content words in order, with repetitions.

    Numbers are omitted. Accents are removed: Schrödinger and Schrodinger are the same word.
    """
    found: list[str] = []
    for part in _PART.findall(_without_accents(text.casefold())):
        if not text_units.is_space_separated(part):
            found += [part[i : i + 2] for i in range(max(len(part) - 1, 1))]
        elif part not in _FUNCTION_WORDS and not part.isdigit():
            found.append(stem(part))
    return found


def _without_accents(text: str) -> str:
    """Return the text without the accents of its Latin letters."""
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", text)
    return _ACCENTED.sub(lambda match: unicodedata.normalize("NFD", match[0])[0], composed)


def share_within(words: list[str], text_words: set[str]) -> float:
    """Return the share of the distinct words that occur in `text_words`; 1 for no words."""
    distinct = set(words)
    return len(distinct & text_words) / len(distinct) if distinct else 1.0


def stem(word: str) -> str:
    """Return the prefix that a word shares with its inflections and derivations.

    At most six letters: "describe" and "description" are the same, "movie" and "movies" too.
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
