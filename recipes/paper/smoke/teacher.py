"""A teacher and judge without a model, for the smoke runs: python teacher.py PID.

A server for chat completions on loopback. It prints its URL, goes on in the background, and ends
when the process PID does. What it answers depends on the messages and the seed alone: a run that
is repeated gets the same answers. It goes by the JSON Schema that comes with a request and by the
tags around the texts that it is given, not by the wording of the prompts.
"""

import json
import os
import re
import sys
import threading
import time
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = ("harbour", "lantern", "meadow", "orchard", "pebble", "quarry", "saddle", "thimble")
PREFERRED = ("complete", "different")
"""What is said where a hash should not decide: a rewritten instruction is good as it is."""

_TEXTS = re.compile(r"<([\w-]+)>\n(.*?)\n</\1>", re.DOTALL)


def answer(body):
    """Return the text that a decoded request is answered with."""
    digest = blake2b(json.dumps([body["messages"], body.get("seed")]).encode()).digest()
    content = body["messages"][-1]["content"]
    if not isinstance(content, str):
        return f"A picture number {digest[0]} with colours in it."
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    if schema is None:
        return f"Answer {digest.hex()[:6]}.\n\nIt is about this: {content[:160]}"
    asked = asked_of(body["messages"])
    # Where no tags are around a text it is the last paragraph.
    texts = dict(reversed(_TEXTS.findall(asked))) or {"text": asked.rpartition("\n\n")[2]}
    forms = schema["properties"]
    values = {name: value_of(name, form, texts, digest) for name, form in forms.items()}
    if values.get("verdict") == "complete":  # then nothing is to be said anew
        values |= {"instruction": "", "steps": []}
    return json.dumps(values)


def asked_of(messages):
    """Return the last message that gives a text; later ones may say what was wrong."""
    turns = [turn["content"] for turn in messages if turn["role"] == "user"]
    return next((text for text in reversed(turns) if _TEXTS.search(text)), turns[-1])


def value_of(name, form, texts, digest):
    """Return the value of one field of the answer."""
    choices = form.get("enum")
    if choices:
        drawn = choices[digest[sum(name.encode()) % 60] % len(choices)]
        return next((each for each in PREFERRED if each in choices), drawn)
    text = texts.get("original") or next(iter(texts.values()))
    new = [word for word in WORDS if word not in text] or list(WORDS)
    word = new[digest[1] % len(new)]
    first, last = f"Name a thing that goes with the word {word}.", f"Say what a {word} is for."
    if form["type"] == "array":
        steps = re.findall(r"^\d+\. (.*)$", texts.get("steps", ""), re.MULTILINE) or [text]
        return [first, *steps, last]
    if name == "instruction":
        return f"{first} Then do this: {text}\n\n{last}"
    if name == "input":  # what follows the first line is content
        return text.partition("\n")[2].strip()
    if name == "paraphrase":
        return f"Put differently: {text}"
    return "So it is."


class Handler(BaseHTTPRequestHandler):
    """Answers chat completions."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = answer(body)
        message = {"role": "assistant", "content": text}
        said = {
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": len(text.split())},
        }
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        """Say nothing."""


def end_with(process):
    """End this process when another one is gone."""
    while True:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            os._exit(0)
        time.sleep(0.2)


def main(process):
    """Serve in the background until the process ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}/v1\n")
    sys.stdout.flush()
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nothing, descriptor)
    threading.Thread(target=end_with, args=(process,), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
