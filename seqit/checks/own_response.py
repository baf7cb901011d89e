"""Whether a task asks for something to be said or made: reading alone leaves nothing to check.

English is known. Of German, French, Spanish and Chinese, a task that is one plain order to read,
understand, listen, remember or repeat is known; any other task in them, and every task in another
language, counts as one that asks for something.
"""

import re

# Tasks whose doing shows nowhere in an answer, or only says again what was given.
_SILENT = re.compile(
    r"(?:re-?)?read|understand|comprehend|grasp|internali[sz]e|absorb|digest|familiari[sz]e"
    r"|acquaint|think|consider|reflect(?! on (?:what|how|why|whether)\b)|ponder|contemplate"
    r"|meditate|look (?:at|over|through|into)"
    r"|study|observe|watch|listen|remember|memori[sz]e|repeat|learn|imagine|visuali[sz]e|wait"
    r"|focus|concentrate|scan|skim|acknowledge|pay (?:close )?attention|(?:keep|bear|have) in mind"
    r"|take (?:an? |your |some )?(?:\w+ )?(?:look|moment|minute|time|breath|break|note|notice)"
    r"|make sure|be (?:aware|sure)|go (?:through|over)"
    r"|(?:get|become) (?:to know|familiar|acquainted)|make yourself familiar",
    re.IGNORECASE,
)

# The same elsewhere, as one clause: what comes behind a comma or an "and" may ask for more.
_SILENT_ELSEWHERE = re.compile(
    r"(?:(?:zuerst|zunächst|bitte|d[’']abord|primero)[ ,]+)?"
    r"(?:(?:lies|lesen sie|lest|verstehe?|verstehen sie|merke? dir|wiederhole|wiederholen sie"
    r"|h[öo]re?|relis(?:ez)?|lis(?:ez)?|comprends|comprenez|m[ée]morisez?|r[ée]p[èée]tez?|[ée]coutez?"
    r"|le[ea] (?:el|la|los|las|est[ea]|con|bien)|relee|comprende|comprenda|memoriza|memorice"
    r"|repite|repita|escucha|escuche)\b"
    r"(?:(?!\b(?:und|dann|danach|auf|et|puis|ensuite|y|e|luego|despu[ée]s|en anglais)\b)"
    r"[^,;:.!?\n])*"
    r"|(?:请|先|首先|再|仔细|认真|地)*(?:阅读|读|理解|记住|重复|浏览|聆听)[^，。；：！？、,;:并再然后写说列答\n]*)"
    r"[.!。！]?",
    re.IGNORECASE,
)

_LISTED = """
add analyse analyze answer argue ask assess brainstorm break build calculate categorise categorize
check choose cite classify code collect combine compare complete compose compute conclude confirm
construct contrast convert correct count create decide deduce define demonstrate derive describe
design detail detect determine develop discuss display draft draw edit elaborate estimate evaluate
examine expand explain explore extract figure fill find fix format formulate gather generate give
group highlight identify illustrate implement improve include infer interpret investigate jot
justify label list locate make mark match measure mention name note order outline output paraphrase
pick plan point pose predict present print produce propose prove provide quote rank recommend record
rephrase replace reply report research respond restate return review rewrite say select share
shorten show simplify sketch solve sort specify spell state suggest summarise summarize tell
transform translate underline verify work write
"""
_SPOKEN = frozenset(_LISTED.split())

_LEAD_IN = re.compile(
    r"(?:(?:first(?:ly)?|to begin(?: with)?|to start|next|then|now|please|carefully|briefly|closely"
    r"|also|finally|last(?:ly)?|step \d+|\d+[.)]|you (?:should|must|need to|have to)"
    r"|(?:before|after) [^,]{1,60})[,:.]?\s+)+",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.;:!,]\s+|\s+(?:and|then|to|so that)\s+|\n+")
_NOTES = re.compile(r"\b(?:take|make) (?:\w+ )?notes\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+")


def has_own_response(task: str) -> bool:
    """Say whether the task asks for a response of its own.

    "Read the text." does not; "Read the text and name its author." and any question do.
    """
    bare = _begun(task.strip())
    if _SILENT_ELSEWHERE.fullmatch(bare):
        return False
    silent = _SILENT.match(bare)
    if not silent or bare[silent.end() : silent.end() + 1].isalnum():
        return True
    if re.search(r"[?？؟]", bare):
        return True
    return bool(_NOTES.search(bare)) or _orders(_CLAUSE.split(bare)[1:])


def may_be_a_request(text: str) -> bool:
    """Say whether a text may ask for something: English without question and order does not."""
    return "?" in text or not text.isascii() or _orders(_CLAUSE.split(text))


def _orders(clauses: list[str]) -> bool:
    """Say whether one of the clauses begins with a verb that asks for something."""
    firsts = (_WORD.match(_begun(clause.strip()).casefold()) for clause in clauses)
    return any(first is not None and first[0] in _SPOKEN for first in firsts)


def _begun(text: str) -> str:
    """Return the text from its first word that is not a lead-in."""
    lead_in = _LEAD_IN.match(text)
    return text[lead_in.end() :] if lead_in else text
