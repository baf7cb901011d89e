"""Recognize placeholder texts: stand-ins, unfilled slots, error messages of failed calls."""

import re
from collections.abc import Iterator

EDGE_CHARACTERS = " \t\r\n.…:;!?*_-—#<>[](){}\"'`“”"
"""Punctuation that may surround a stand-in."""

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
# Only in capitals: "todo" is Spanish for everything.
_CAPITALS = frozenset({"TODO", "TBD", "TBA"})

# "[Insert the answer]", "<your response here>": only if the slot is the whole text. People ask for
# slots within a text ("Dear [Name]").
_SLOT = re.compile(
    r"[\[<{(]{1,3}\s*(?:(?:please )?(?:insert|enter|fill in) |(?:your|the|model)[ _]"
    r"(?:answer|response|output)\b)[^\[\]<>{}()]*[\]>})]{1,3}\.?",
    re.IGNORECASE,
)

# Error messages of failed calls; SeqEval was published with "THIS EVALUATION FAILED AFTER 5
# ATTEMPTS." among its texts.
_FAILURE = re.compile(
    r"(?:\w+ ){1,3}failed after \d+ (?:attempts?|retries|tries)\.?"
    r"|\W*error\W*"
    r"|(?:openai\.)?(?:\w+\.)?(?:RateLimit|APIConnection|APITimeout|InternalServer)Error\b.*"
    r"|error code: \d{3} - \{.*"
    r"|rate limit reached for .*",
    re.IGNORECASE | re.DOTALL,
)


def placeholder_kind(text: str) -> str:
    """Return the kind of placeholder that the whole text is, or "".

    Kinds: stand-in, lorem-ipsum, unfilled-slot, failed-call. The text must be stripped of outer
    white space.
    """
    core = text.strip(EDGE_CHARACTERS)
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


# Text that a rewriting model leaves in an instruction by mistake.
_LEFTOVERS = tuple(
    re.compile(pattern, re.IGNORECASE | re.MULTILINE)
    for pattern in (
        # an unfilled slot: "[insert the article here]", "<your text here>"
        r"[\[<{]+\s*(?:please )?(?:insert|enter|fill in|paste|add|put)\b[^\[\]<>{}()\n]*[\]>}]",
        r"[\[<{(]+\s*(?:your|the|some)\b[^\[\]<>{}()\n]*\b(?:here|below)\s*[\]>})]",
        r"\w+ failed after \d+ attempts",
        # markers of a prompt: "#New Instruction#", "### Response:", a bare "###" at an end
        r"#+ ?(?:(?:new|original|rewritten|given) )?(?:instruction|explanation)s? ?(?:[#:]|$)",
        r"^#+ ?(?:response|input|output|answer|thought|steps)\b ?#*:?[ \t]*$",
        r"###+[ \t]*$",
        r"^(?:new|rewritten|revised|modified|sequential) (?:instruction|prompt)\b",
        # a label, or a reply to the request for the rewrite
        r"^\W{0,4}(?:(?:new|rewritten|revised|modified|sequential|original|final|chained) )?"
        r"(?:instruction|prompt)\W{0,3}:",
        r"\A(?:sure|certainly|of course|absolutely|okay)\b[!,.:]",
        r"\A(?:i['’]m|i am) sorry\b|\Asorry,|\Ai (?:cannot|can['’]t)\b|\Aas an ai\b",
        r"\bhere(?: is|['’]s) (?:the|a|your|my)\b[^\n:.]{0,40}"
        r"\b(?:instruction|prompt|chain|version|rewrite)\b[^\n:.]{0,20}:",
        # an ellipsis in place of omitted text; HTML entities and escaped line breaks
        r"\[(?:\.{3}|…)\]|(?:^|(?<=[.!?:]\s))(?:\.{3}|…)(?=\s|$)",
        r"&(?:amp|lt|gt|quot|#39);|(?<=[.:;?!])\\n",
        # a reference to the instruction itself
        r"\b(?:the|your) original (?:task|question|prompt|request|query)\b|^original task\b",
        r"\bthe (?:given|original|above|new|previous|rewritten) instruction\b",
        # tags of the output format that the prompt asks for
        r"</?(?:thought|option|instruction|steps|item|verdict|original|beside|chain|tasks)>",
        r"^</?(?:system|conversation|images|input)>$",
    )
)


def leftovers(text: str, source: str) -> Iterator[str]:
    """Yield the parts of a rewritten instruction that are mistakes: unfilled slots, prompt markers.

    Parts that also occur in `source`, all text that the rewriter was given, are not yielded.
    """
    source, whole = source.casefold(), text.strip()
    if placeholder_kind(whole) and whole.casefold() not in source:
        yield whole
    for pattern in _LEFTOVERS:
        for match in pattern.finditer(text):
            if match[0].strip().casefold() not in source:
                yield match[0].strip()
