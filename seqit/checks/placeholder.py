"""Texts that only stand where one should be: stand-ins, unfilled slots, what a failed call left."""

import re
from collections.abc import Iterator

EDGES = " \t\r\n.…:;!?*_-—#<>[](){}\"'`“”"
"""What may stand around a stand-in and says nothing."""

LOREM = "lorem ipsum"

_STAND_INS = frozenset(
    {
        "n/a",
        "n.a",
        "fixme",
        "to be determined",
        "noinput",
        "no input",
        "nooutput",
        "no output",
        "placeholder",
        "placeholder text",
        "answer here",
        "answer goes here",
        "response here",
        "response goes here",
        "your answer",
        "your answer here",
        "your response here",
    }
)
# In capitals alone: "todo" is Spanish for everything.
_CAPITALS = frozenset({"TODO", "TBD", "TBA"})

# "[Insert the answer]", "<your response here>": the slot is all there is. A slot in a letter
# ("Dear [Name]") is what people ask for.
_SLOT = re.compile(
    r"[\[<{(]{1,3}\s*(?:(?:please )?(?:insert|enter|fill in) |(?:your|the|model)[ _]"
    r"(?:answer|response|output)\b)[^\[\]<>{}()]*[\]>})]{1,3}\.?",
    re.IGNORECASE,
)

# What a failed call leaves behind; "THIS EVALUATION FAILED AFTER 5 ATTEMPTS." came into SeqEval
# as it was published.
_FAILURE = re.compile(
    r"(?:\w+ ){1,3}failed after \d+ (?:attempts?|retries|tries)\.?"
    r"|\W*error\W*"
    r"|(?:openai\.)?(?:\w+\.)?(?:RateLimit|APIConnection|APITimeout|InternalServer)Error\b.*"
    r"|error code: \d{3} - \{.*"
    r"|rate limit reached for .*",
    re.IGNORECASE | re.DOTALL,
)


def placeholder_kind(text: str) -> str:
    """Return which kind of placeholder the whole text is, or nothing.

    Kinds: stand-in, lorem-ipsum, unfilled-slot, failed-call. Outer white space is to be gone.
    """
    core = text.strip(EDGES)
    if not core:
        return "stand-in" if text and not text.strip("….") else ""
    folded = core.casefold()
    if folded in _STAND_INS or core in _CAPITALS:
        return "stand-in"
    if folded.startswith(LOREM):
        return "lorem-ipsum"
    if len(core) > 5 and text[0] in "[<{(" and _SLOT.fullmatch(text):
        return "unfilled-slot"
    may_be = "error" in folded or "failed after" in folded or "limit" in folded
    return "failed-call" if may_be and _FAILURE.fullmatch(text) else ""


# What a rewriting model leaves in an instruction that nobody asked it to write there.
_LEFTOVERS = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        # a slot that was to be filled: "[insert the article here]", "<your text here>"
        r"[\[<{]+\s*(?:please )?(?:insert|enter|fill in|paste|add|put)\b[^\[\]<>{}()\n]*[\]>}]",
        r"[\[<{(]+\s*(?:your|the|some)\b[^\[\]<>{}()\n]*\b(?:here|below)\s*[\]>})]",
        r"\w+ failed after \d+ attempts",
        # markers of a prompt: "#New Instruction#", "### Response:", a bare "###" at an end
        r"#+ ?(?:(?:new|original|rewritten|given) )?(?:instruction|explanation)s? ?(?:[#:]|$)",
        r"^#+ ?(?:response|input|output|answer|thought|steps)\b ?#*:?[ \t]*$",
        r"###+[ \t]*$",
        r"^(?:new|rewritten|revised|modified|sequential) (?:instruction|prompt)\b",
        # a label or an opening that speaks to whoever asked for the rewriting
        r"^\W{0,4}(?:(?:new|rewritten|revised|modified|sequential|original|final|chained) )?"
        r"(?:instruction|prompt)\W{0,3}:",
        r"\A(?:sure|certainly|of course|absolutely|okay)\b[!,.:]",
        r"\A(?:i['’]m|i am) sorry\b|\Asorry,|\Ai (?:cannot|can['’]t)\b|\Aas an ai\b",
        r"\bhere(?: is|['’]s) (?:the|a|your|my)\b[^\n:.]{0,40}"
        r"\b(?:instruction|prompt|chain|version|rewrite)\b[^\n:.]{0,20}:",
        # three dots in place of what was left out, and what was written for another reader's eyes
        r"\[(?:\.{3}|…)\]|(?:^|(?<=[.!?:]\s))(?:\.{3}|…)(?=\s|$)",
        r"&(?:amp|lt|gt|quot|#39);|(?<=[.:;?!])\\n",
        # the instruction spoken of from outside
        r"\b(?:the|your) original (?:task|question|prompt|request|query)\b|^original task\b",
        r"\bthe (?:given|original|above|new|previous|rewritten) instruction\b",
        # tags of the form in which the answer was to be given
        r"</?(?:thought|option|instruction|steps|item|verdict|original|beside|chain|tasks)>",
        r"^</?(?:system|conversation|images|input)>$",
    )
)


def leftovers(text: str, given: str) -> Iterator[str]:
    """Yield what is in a rewritten instruction by mistake: unfilled slots, a prompt's markers.

    What `given`, all that the rewriter was to work on, holds too is no leftover.
    """
    known, whole = given.casefold(), text.strip()
    if placeholder_kind(whole) and whole.casefold() not in known:
        yield whole
    for pattern in _LEFTOVERS:
        for match in pattern.finditer(text):
            if match[0].strip().casefold() not in known:
                yield match[0].strip()
