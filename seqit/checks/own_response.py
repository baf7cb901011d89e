"""Decide whether a task asks for a response: "Read the text." alone leaves nothing to verify.

The rules are for English. In German, French, Spanish and Chinese only a single plain request to
read, understand, listen, remember or repeat is recognized as a task without a response; every other
task, and every task in another language, counts as one with a response.
"""

import re

# Verbs of tasks that leave no trace in an answer, or only repeat the input.
_NO_RESPONSE = re.compile(
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

# The same in other languages, as one clause: after a comma or an "and" a response may be requested.
_NO_RESPONSE_OTHER_LANGUAGES = re.compile(
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

_RESPONSE_VERB_LIST = """
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
_RESPONSE_VERBS = frozenset(_RESPONSE_VERB_LIST.split())

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
    """Return whether the task asks for a response of its own.

    "Read the text." does not; "Read the text and name its author." and any question do.
    """
    text = _without_lead_in(task.strip())
    if _NO_RESPONSE_OTHER_LANGUAGES.fullmatch(text):
        return False
    verb = _NO_RESPONSE.match(text)
    if not verb or text[verb.end() : verb.end() + 1].isalnum():
        return True
    if re.search(r"[?？؟]", text):
        return True
    return bool(_NOTES.search(text)) or _has_response_verb(_CLAUSE.split(text)[1:])


def may_be_a_request(text: str) -> bool:
    """Return whether a text may be a request: English without question and imperative is not."""
    return "?" in text or not text.isascii() or _has_response_verb(_CLAUSE.split(text))


def _has_response_verb(clauses: list[str]) -> bool:
    """Return whether one of the clauses begins with a verb that asks for a response."""
    words = (_WORD.match(_without_lead_in(clause.strip()).casefold()) for clause in clauses)
    return any(word is not None and word[0] in _RESPONSE_VERBS for word in words)


def _without_lead_in(text: str) -> str:
    """Return the text without a lead-in such as "First, please"."""
    lead_in = _LEAD_IN.match(text)
    return text[lead_in.end() :] if lead_in else text
