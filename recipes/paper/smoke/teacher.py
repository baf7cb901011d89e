"""A mock teacher and judge without a model, for the smoke runs: python teacher.py PID.

A server for chat completions on loopback. It prints its URL, continues in the background, and ends
when the process PID ends. Its answers depend only on the messages and the seed, so a repeated run
gets the same answers. It uses the JSON Schema of the request and the tags around texts in the
prompt, not the wording of the prompt.
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
"""Values that are chosen instead of a random one: a rewritten instruction is accepted."""

_TEXTS = re.compile(r"<([\w-]+)>\n(.*?)\n</\1>", re.DOTALL)


def answer(body):
    """Return the text of the answer to a decoded request."""
    digest = blake2b(json.dumps([body["messages"], body.get("seed")]).encode()).digest()
    content = body["messages"][-1]["content"]
    if not isinstance(content, str):
        return f"A picture number {digest[0]} with colours in it."
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    if schema is None:
        return f"Answer {digest.hex()[:6]}.\n\nIt is about this: {content[:160]}"
    prompt = prompt_of(body["messages"])
    # Without tags, the text is the last paragraph.
    texts = dict(reversed(_TEXTS.findall(prompt))) or {"text": prompt.rpartition("\n\n")[2]}
    fields = schema["properties"]
    values = {name: field_value(name, field, texts, digest) for name, field in fields.items()}
    if values.get("verdict") == "complete":  # no new instruction is needed
        values |= {"instruction": "", "steps": []}
    return json.dumps(values)


def prompt_of(messages):
    """Return the last user message with a tagged text; later ones may be correction turns."""
    turns = [turn["content"] for turn in messages if turn["role"] == "user"]
    return next((text for text in reversed(turns) if _TEXTS.search(text)), turns[-1])


def field_value(name, field, texts, digest):
    """Return the value of one field of the answer."""
    choices = field.get("enum")
    if choices:
        random_choice = choices[digest[sum(name.encode()) % 60] % len(choices)]
        return next((each for each in PREFERRED if each in choices), random_choice)
    text = texts.get("original") or next(iter(texts.values()))
    new = [word for word in WORDS if word not in text] or list(WORDS)
    word = new[digest[1] % len(new)]
    first, last = f"Name a thing that goes with the word {word}.", f"Say what a {word} is for."
    if field["type"] == "array":
        steps = re.findall(r"^\d+\. (.*)$", texts.get("steps", ""), re.MULTILINE) or [text]
        return [first, *steps, last]
    if name == "instruction":
        return f"{first} Then do this: {text}\n\n{last}"
    if name == "input":  # the content follows the first line
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
        completion = {
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": len(text.split())},
        }
        data = json.dumps(completion).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        """Log nothing."""


def end_with(process):
    """End this process when another one has ended."""
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
