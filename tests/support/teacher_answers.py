"""Answers of a Seq-Instruct teacher without a model: deterministic functions of the request.

For `python tests/support/answering_server.py --answers support.teacher_answers:answer`. One
answer in ten cannot be used, so that runs against it also retry; the messages and the seed decide
which one. `support.teacher_answers:valid_answer` gives valid answers only.
"""

import re
from hashlib import blake2b

import orjson

WORDS = ("harbour", "lantern", "meadow", "orchard", "pebble", "quarry", "saddle", "thimble")
# By the text of the prompt: the new instruction, and whether the new task comes last.
TASKS = {
    "Put a task before": ("Write one sentence about the word {word}. Then do this: {it}", False),
    "Put a task after": ("{it}\n\nThen write one sentence about the word {word}.", True),
    "Decompose": ("Name a fact about the word {word}, then a second one. After that: {it}", False),
}


def valid_answer(body):
    """Return a valid completion text for a decoded request body."""
    return answer(body, invalid=0)


def answer(body, invalid=26):
    """Return the completion text for a decoded request body, invalid in `invalid` of 256 cases."""
    digest = blake2b(orjson.dumps([body["messages"], body.get("seed")])).digest()
    question = next(
        (m["content"] for m in reversed(body["messages"]) if "<original>" in m["content"]), None
    )
    if question is None:
        return f"An answer, {digest.hex()[:8]}, to: {body['messages'][-1]['content'][:200]}"
    if digest[0] < invalid:
        return "I would rather talk about something else."
    return _render(_field_values(question, digest), body)


def _field_values(question, digest):
    """Return the values of the answer's fields, by the stage of the question."""
    original = re.search(r"<original>\n(.*?)\n</original>", question, re.DOTALL).group(1)
    if "Which option" in question:
        return {"thought": "It can carry more.", "option": "ABBCD"[digest[1] % 5]}
    if "Is this chain complete" in question:
        return {"thought": "All is there.", "verdict": "complete", "instruction": "", "steps": []}
    if "Copy the material" in question:
        return {"thought": "There is none.", "input": ""}
    template, is_last = next(value for start, value in TASKS.items() if start in question)
    word = WORDS[digest[2] % len(WORDS)]
    steps = re.findall(r"^\d+\. (.*)$", _block(question, "steps"), re.MULTILINE) or [original]
    new_step = f"Write one sentence about the word {word}."
    steps.insert(len(steps) if is_last else 0, new_step)
    instruction = template.format(word=word, it=original)
    return {"thought": "One more task fits.", "instruction": instruction, "steps": steps}


def _block(text, tag):
    found = re.search(rf"<{tag}>\n(.*?)\n</{tag}>", text, re.DOTALL)
    return found.group(1) if found else ""


def _render(values, body):
    if "response_format" in body:
        return orjson.dumps(values).decode()
    return "\n".join(f"<{name}>{_render_value(value)}</{name}>" for name, value in values.items())


def _render_value(value):
    return value if isinstance(value, str) else "".join(f"<item>{each}</item>" for each in value)
