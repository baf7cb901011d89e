"""A teacher for Seq-Instruct without a model: answers that follow from the request alone.

For `python tests/support/answering_server.py --answers support.teacher_answers:answer`. One
answer in ten cannot be used, so that runs against it also ask again; which one follows from the
messages and the seed. `support.teacher_answers:willing` gives none of those.
"""

import re
from hashlib import blake2b

import orjson

WORDS = ("harbour", "lantern", "meadow", "orchard", "pebble", "quarry", "saddle", "thimble")
TASKS = {
    "Put a task before": ("Write one sentence about the word {word}. Then do this: {it}", 0),
    "Put a task after": ("{it}\n\nThen write one sentence about the word {word}.", 1),
    "Decompose": ("Name a fact about the word {word}, then a second one. After that: {it}", 0),
}


def willing(body):
    """Return the completion's text for a decoded request body; it can always be used."""
    return answer(body, useless=0)


def answer(body, useless=26):
    """Return the completion's text for a decoded request body; useless/256 cannot be used."""
    digest = blake2b(orjson.dumps([body["messages"], body.get("seed")])).digest()
    question = next(
        (m["content"] for m in reversed(body["messages"]) if "<original>" in m["content"]), None
    )
    if question is None:
        return f"An answer, {digest.hex()[:8]}, to: {body['messages'][-1]['content'][:200]}"
    if digest[0] < useless:
        return "I would rather talk about something else."
    return _written(_values(question, digest), body)


def _values(question, digest):
    """Return the fields of the stage that asks."""
    original = re.search(r"<original>\n(.*?)\n</original>", question, re.DOTALL).group(1)
    if "Which option" in question:
        return {"thought": "It can carry more.", "option": "ABBCD"[digest[1] % 5]}
    if "Is this chain complete" in question:
        return {"thought": "All is there.", "verdict": "complete", "instruction": "", "steps": []}
    if "Copy the material" in question:
        return {"thought": "There is none.", "input": ""}
    template, place = next(value for start, value in TASKS.items() if start in question)
    word = WORDS[digest[2] % len(WORDS)]
    steps = re.findall(r"^\d+\. (.*)$", _block(question, "steps"), re.MULTILINE) or [original]
    added = f"Write one sentence about the word {word}."
    steps.insert(len(steps) if place else 0, added)
    instruction = template.format(word=word, it=original)
    return {"thought": "One more task fits.", "instruction": instruction, "steps": steps}


def _block(text, tag):
    found = re.search(rf"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL)
    return found.group(1) if found else ""


def _written(values, body):
    if "response_format" in body:
        return orjson.dumps(values).decode()
    return "\n".join(f"<{name}>{_tagged(value)}</{name}>" for name, value in values.items())


def _tagged(value):
    return value if isinstance(value, str) else "".join(f"<item>{each}</item>" for each in value)
