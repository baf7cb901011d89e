"""Replies of a server's model that answers items and judges answers, for respond and judge."""

import json
from hashlib import blake2b
from types import SimpleNamespace

from support.answering_server import prompt_of
from support.judging import choices_of, judge_output, texts_of


def _number(text, limit):
    return blake2b(text.encode(), digest_size=4).digest()[0] % limit


def _request(body):
    response_format = body.get("response_format")
    schema = response_format["json_schema"]["schema"] if response_format else None
    return SimpleNamespace(messages=body["messages"], schema=schema)


def reply(body):
    """Answer an item by naming it; judge an answer by a hash of its text, and quote it."""
    if "You judge" not in body["messages"][0]["content"] and not body.get("response_format"):
        return f"Answer to: {prompt_of(body)}"
    request = _request(body)
    choices, texts = choices_of(request), texts_of(body["messages"])
    if choices == ["tasks"]:
        return json.dumps({"tasks": [f"Do {n}." for n in range(2 + _number(str(texts), 3))]})
    answer = texts["answer"]
    known = {
        "score": lambda: 1 + _number(answer, 5),
        "followed": lambda: ("no", "yes")[_number(answer, 2)],
    }
    values = {
        name: known.get(name, lambda name=name: ("done", "omitted", "misplaced")[
            _number(f"{name} {answer}", 3)])()
        for name in choices
    }  # fmt: skip
    return judge_output(values, request.schema is not None, reason=f"About: {answer}")


def prefer_longer(body):
    """Prefer the longer of two answers, in either order."""
    request, texts = _request(body), texts_of(body["messages"])
    better = "first" if len(texts["first"]) > len(texts["second"]) else "second"
    return judge_output({"better": better}, request.schema is not None)


def ramble(body):
    """Reply with a text that cannot be parsed as a judgement."""
    return "Well, that depends."
