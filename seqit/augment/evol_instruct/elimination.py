"""The elimination rules of Evol-Instruct: when an evolution has failed.

Source: Xu et al., "WizardLM: Empowering Large Language Models to Follow Complex Instructions",
arXiv 2304.12244, section 3.2. The first of its four rules, no information gain, is decided by an
LLM judge (evol_judge.txt), unless both prompts are the same text.
"""

import re

_PROMPT_TERMS = (
    "given prompt",
    "rewritten prompt",
    "original prompt",
    "new prompt",
    "harder prompt",
    "second prompt",
    "prompt that you are given",
)
_MAX_APOLOGY_WORDS = 80  # exclusive
_WORD = re.compile(r"[^\W_]+")  # "don't" is "don" and "t"

_STOP_WORD_LIST = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing down during each few for from further had has
have having he her here hers herself him himself his how i if in into is it its itself just me
more most my myself no nor not now of off on once only or other our ours ourselves out over own
same she should so some such than that the their theirs them themselves then there these they
this those through to too under until up very was we were what when where which while who whom
whose why will with would you your yours yourself yourselves
d don doesn didn isn aren wasn weren ll m re s t ve won
"""
_STOP_WORDS = frozenset(_STOP_WORD_LIST.split())


def same_prompt(before: str, after: str) -> bool:
    """Return whether two prompts are the same text, ignoring case and white space."""
    return before.casefold().split() == after.casefold().split()


def copied_words(before: str, after: str) -> str:
    """Return a term of the evolution prompt that only the evolved prompt contains, or ""."""
    new, old = after.casefold(), before.casefold()
    return next((term for term in _PROMPT_TERMS if term in new and term not in old), "")


def answer_problem(answer: str) -> str:
    """Return the reason why an answer shows that its prompt cannot be answered, or "".

    "sorry": it apologizes in fewer than 80 words; "no-content": only punctuation and stop words.
    """
    if re.search(r"\bsorry\b", answer, re.IGNORECASE) and len(answer.split()) < _MAX_APOLOGY_WORDS:
        return "sorry"
    if _STOP_WORDS.issuperset(_WORD.findall(answer.casefold())):
        return "no-content"
    return ""
