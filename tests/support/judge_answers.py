"""A model at a server that answers items and judges answers, for the tests of respond and judge."""

import json
from hashlib import blake2b
from types import SimpleNamespace

from support.answering_server import prompt_of
from support.judging import choices_of, texts_of, verdict


def _number(text, most):
    return blake2b(text.encode(), digest_size=4).digest()[0] % most


def _request(body):
    form = body.get("response_format")
    schema = form["json_schema"]["schema"] if form else None
    return SimpleNamespace(messages=body["messages"], schema=schema)


def tell(body):
    """Answer an item by naming it; judge an answer by a hash of its text, and name it, too."""
    if "You judge" not in body["messages"][0]["content"] and not body.get("response_format"):
        return f"Answer to: {prompt_of(body)}"
    request = _request(body)
    choices, texts = choices_of(request), texts_of(body["messages"])
    if choices == ["tasks"]:
        return json.dumps({"tasks": [f"Do {n}." for n in range(2 + _number(str(texts), 3))]})
    answer = texts["answer"]
    said = {
        "score": lambda: 1 + _number(answer, 5),
        "followed": lambda: ("no", "yes")[_number(answer, 2)],
    }
    values = {
        name: said.get(name, lambda name=name: ("done", "omitted", "misplaced")[
            _number(f"{name} {answer}", 3)])()
        for name in choices
    }  # fmt: skip
    return verdict(values, request.schema is not None, reason=f"About: {answer}")


def longer(body):
    """Prefer the longer of two answers, wherever it stands."""
    request, texts = _request(body), texts_of(body["messages"])
    better = "first" if len(texts["first"]) > len(texts["second"]) else "second"
    return verdict({"better": better}, request.schema is not None)


def mumble(body):
    """Say nothing that could be a verdict."""
    return "Well, that depends."
