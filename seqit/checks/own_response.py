"""Whether a task asks for something to be said or made: reading alone leaves nothing to check.

English is known; a task in another language counts as one that does.
"""

import re

# Tasks whose doing shows nowhere in an answer, or only says again what was given.
_SILENT = re.compile(
    r"(?:re-?)?read|understand|comprehend|grasp|internali[sz]e|absorb|digest|familiari[sz]e"
    r"|acquaint|think|consider|reflect|ponder|contemplate|meditate|look (?:at|over|through|into)"
    r"|study|observe|watch|listen|remember|memori[sz]e|repeat|learn|imagine|visuali[sz]e|wait"
    r"|focus|concentrate|scan|skim|acknowledge|pay (?:close )?attention|(?:keep|bear|have) in mind"
    r"|take (?:a|some|your|note|notice)|make sure|be (?:aware|sure)|go (?:through|over)"
    r"|(?:get|become) (?:to know|familiar|acquainted)|make yourself familiar",
    re.IGNORECASE,
)

_LISTED = """
add analyse analyze answer argue ask assess break brainstorm build calculate categorise categorize
check choose cite classify code collect combine compare complete compose compute conclude confirm
construct contrast convert correct count create decide deduce define demonstrate derive describe
design detail detect determine develop discuss draft draw edit estimate evaluate expand explain
extract figure fill find fix format formulate gather generate give group highlight identify
illustrate implement improve include infer interpret jot justify label list locate make mark match
measure mention name note order outline output paraphrase pick plan point pose predict present print
produce propose prove provide quote rank recommend record rephrase replace reply report research
respond restate return review rewrite say select share shorten show simplify sketch solve sort
specify spell state suggest summarise summarize tell transform translate underline verify work write
"""
_SPOKEN = frozenset(_LISTED.split())

_LEAD_IN = re.compile(
    r"(?:(?:first(?:ly)?|to begin(?: with)?|to start|next|then|now|please|carefully|briefly|closely"
    r"|also|finally|last(?:ly)?|step \d+|\d+[.)]|you (?:should|must|need to|have to)"
    r"|(?:before|after) [^,]{1,60})[,:.]?\s+)+",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.;:!,]\s+|\s+(?:and|then|to|so that)\s+|\n+")
_WORD = re.compile(r"[a-z]+")


def has_own_response(task: str) -> bool:
    """Say whether the task asks for a response of its own.

    "Read the text." does not; "Read the text and name its author." and any question do.
    """
    bare = _begun(task.strip())
    silent = _SILENT.match(bare)
    if not silent or bare[silent.end() : silent.end() + 1].isalnum():
        return True
    if re.search(r"[?？؟]", bare):
        return True
    firsts = (_WORD.match(_begun(clause).casefold()) for clause in _CLAUSE.split(bare)[1:])
    return any(first is not None and first[0] in _SPOKEN for first in firsts)


def _begun(text: str) -> str:
    """Return the text from its first word that is not a lead-in."""
    lead_in = _LEAD_IN.match(text)
    return text[lead_in.end() :] if lead_in else text
