"""When an evolution has failed: the elimination rules of Evol-Instruct.

Source: Xu et al., "WizardLM: Empowering Large Language Models to Follow Complex Instructions",
arXiv 2304.12244, section 3.2. The first of its four rules, that nothing is gained, is for a model
to judge (evol_judge.txt), but for prompts that are the same text.
"""

import re

_COPIED = (
    "given prompt",
    "rewritten prompt",
    "original prompt",
    "new prompt",
    "harder prompt",
    "second prompt",
    "prompt that you are given",
)
_SHORT = 80  # words
_PART = re.compile(r"[^\W_]+")  # "don't" is "don" and "t"

_LISTED = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing down during each few for from further had has
have having he her here hers herself him himself his how i if in into is it its itself just me
more most my myself no nor not now of off on once only or other our ours ourselves out over own
same she should so some such than that the their theirs them themselves then there these they
this those through to too under until up very was we were what when where which while who whom
whose why will with would you your yours yourself yourselves
d don doesn didn isn aren wasn weren ll m re s t ve won
"""
_STOP_WORDS = frozenset(_LISTED.split())


def same_prompt(before: str, after: str) -> bool:
    """Say whether two prompts are the same text, whatever their case and white space."""
    return before.casefold().split() == after.casefold().split()


def copied_words(before: str, after: str) -> str:
    """Return the words of the evolving prompt that the evolved one has and the former had not."""
    folded, known = after.casefold(), before.casefold()
    return next((each for each in _COPIED if each in folded and each not in known), "")


def answer_problem(answer: str) -> str:
    """Return why an answer shows that its prompt cannot be answered, or nothing.

    "sorry": it says so in fewer than 80 words; "no-content": it is punctuation and stop words.
    """
    if re.search(r"\bsorry\b", answer, re.IGNORECASE) and len(answer.split()) < _SHORT:
        return "sorry"
    if _STOP_WORDS.issuperset(_PART.findall(answer.casefold())):
        return "no-content"
    return ""
