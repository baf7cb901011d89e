"""A chat completion server on loopback with deterministic answers and faults.

    python tests/support/answering_server.py --latency 0.2 --faults 0.3      prints its port

Answers depend only on the messages and the seed. The fault of the n-th request with a body, if any,
depends only on the body and n, so a run gets the same faults in whatever order it sends requests.
A prompt can demand a fault: ``[fault:500]`` always, ``[fault:500*2]`` the first two times.

GET /stats returns what was served; a body that was completed twice was paid for twice.
It uses plain asyncio for speed, since it shares a CPU with the code that is measured.
"""

import argparse
import asyncio
import http.client
import importlib
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from email.utils import formatdate
from hashlib import blake2b
from pathlib import Path
from time import time

import orjson

OVERLOADED = {"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit"}}
TRANSIENT_FAULTS = (
    "429,500,503,cut,cut-headers,cut-body,invalid-json,truncated-json,wrong-model,empty,null"
)
"""The default of --fault-kinds: faults after which the same request may succeed."""

COMPLETED = ("", "empty", "null", "length", "filtered", "refusal", "revision", "no-model")
"""Faults that are completions nevertheless, and so are paid for."""

_FAULT = re.compile(r"\[fault:([\w-]+?)(?:\*(\d+))?\]")


def prompt_of(body):
    """Return the text of the last user message."""
    content = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def echo(body):
    """Return the default answer, with the seed and the last user message."""
    return f"seed {body.get('seed')} answers: {prompt_of(body)}"


def _error(status, message, code=None, kind="invalid_request_error", param=None, headers=()):
    error = {"message": message, "type": kind, "param": param, "code": code}
    return status, orjson.dumps({"error": error}), headers


# The response of each fault: (status, body, headers). Other faults are in Connection.answer.
ERRORS = {
    "429": lambda _: (429, orjson.dumps(OVERLOADED), ("Retry-After: 0",)),
    "429-seconds": lambda _: (429, orjson.dumps(OVERLOADED), ("Retry-After: 7",)),
    "429-ms": lambda _: (429, orjson.dumps(OVERLOADED), ("retry-after-ms: 250",)),
    "429-date": lambda _: (
        429,
        orjson.dumps(OVERLOADED),
        (f"Retry-After: {formatdate(time() + 60, usegmt=True)}",),
    ),
    "quota": lambda _: _error(429, "You exceeded your current quota", "insufficient_quota"),
    "400": lambda _: _error(400, "The messages are not to my liking"),
    "401": lambda key: _error(401, f"Incorrect API key provided: {key}", "invalid_api_key"),
    "402": lambda _: _error(402, "Insufficient balance"),
    "403": lambda _: _error(403, "Country not supported"),
    "404": lambda _: _error(404, "The model does not exist", "model_not_found"),
    "408": lambda _: _error(408, "Request timeout"),
    "413": lambda _: (413, b"<html><title>Request Entity Too Large</title></html>", ()),
    "422": lambda _: (
        422,
        orjson.dumps({"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs are forbidden"}]}),
        (),
    ),
    "500": lambda _: _error(500, "The server had an error", kind="server_error"),
    "502": lambda _: (502, b"<html><h1>Bad Gateway</h1></html>", ()),
    "503": lambda _: (503, orjson.dumps({"error": "server busy"}), ("Retry-After: 0",)),
    "504": lambda _: (504, b"", ()),
    "529": lambda _: (529, orjson.dumps({"error": {"message": "Overloaded"}}), ()),
    "307": lambda _: (307, b"", ("Location: http://elsewhere.invalid/v1?key=1",)),
    "filter": lambda _: _error(400, "The prompt was flagged", "content_filter"),
    "too-long": lambda _: _error(
        400, "This model's maximum context length is 256 tokens", "context_length_exceeded"
    ),
    "no-schema": lambda _: _error(400, "response_format is not supported", param="response_format"),
    "no-seed": lambda _: _error(400, "Unsupported parameter: 'seed'", "unsupported_parameter"),
    "no-max-tokens": lambda _: _error(
        400, "Unsupported parameter: use 'max_completion_tokens' instead", param="max_tokens"
    ),
}


class ServerState:
    """The state shared by all connections: options and counts."""

    def __init__(self, options):
        self.options = options
        self.kinds = options.fault_kinds.split(",")
        self.answer = _load(options.answers) if options.answers else echo
        self.counts = Counter()
        self.faults = Counter()
        self.requested = Counter()  # hash of a body → times requested
        self.served = Counter()  # hash of a body → times completed
        self.in_flight = self.peak = 0
        self.last = {}
        self.loop = None

    def fault(self, digest, times, prompt):
        """Return the fault of the `times`-th request with a body, or an empty string."""
        if marked := _FAULT.search(prompt):
            kind, max_times = marked.groups()
            if max_times is None or times <= int(max_times):
                return kind
        limit = self.options.max_prompt
        if limit and len(prompt) > limit:
            return "too-long"
        if self.options.faults:
            source = digest + b"%d %d" % (times, self.options.seed)
            random_bytes = blake2b(source, digest_size=8).digest()
            if int.from_bytes(random_bytes[:4]) < self.options.faults * 2**32:
                return self.kinds[int.from_bytes(random_bytes[4:]) % len(self.kinds)]
        return ""

    def delay(self, digest):
        """Return the seconds before a response is sent."""
        return self.options.latency + self.options.jitter * int.from_bytes(digest[:2]) / 2**16

    def completion(self, body, fault):
        """Return a completion, modified by the fault."""
        text = self.answer(body)
        message = {"role": "assistant", "content": text}
        finish = "stop"
        model = body["model"]
        if fault == "empty":
            message["content"] = ""
        elif fault == "null":
            message["content"] = None
        elif fault == "length":
            message["content"], finish = text[: len(text) // 2], "length"
        elif fault == "filtered":
            message["content"], finish = None, "content_filter"
        elif fault == "refusal":
            message |= {"content": None, "refusal": "I will not."}
        elif fault == "abort":
            finish = "abort"
        elif fault == "wrong-model":
            model = "another-model"
        elif fault == "revision":
            model += "-2024-08-06"
        elif fault == "no-model":
            model = None
        choice = {"index": 0, "message": message, "finish_reason": finish}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": _logprobs(text, body.get("top_logprobs", 0))}
        prompt = sum(len(str(m["content"]).split()) for m in body["messages"])
        words = len(text.split())
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": [choice],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": words,
                "total_tokens": prompt + words,
            },
        }

    def stats(self):
        """Return the counts; `twice`: the bodies that were completed more than once."""
        return dict(self.counts) | {
            "in_flight": self.in_flight,
            "peak": self.peak,
            "faults": self.faults,
            "bodies": len(self.requested),
            "twice": {digest: n for digest, n in self.served.items() if n > 1},
        }


def _logprobs(text, count):
    top = [{"token": f"other{n}", "logprob": -2.0 - n} for n in range(count - 1)]
    return [
        {"token": word, "logprob": -0.5, "top_logprobs": [{"token": word, "logprob": -0.5}, *top]}
        for word in text.split()
    ]


class Connection(asyncio.Protocol):
    """One keep-alive connection, with one request at a time."""

    def __init__(self, server):
        self.server = server
        self.data = b""
        self.timer = None

    def connection_made(self, transport):
        self.transport = transport
        self.server.counts["connections"] += 1

    def connection_lost(self, error):
        if self.timer:
            self.timer.cancel()
            self.server.in_flight -= 1

    def data_received(self, data):
        self.data = self.data + data if self.data else data
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.data[:end].lower()
        start = head.find(b"\r\ncontent-length:")
        length = 0
        if start >= 0:
            length = int(head[start + 17 :].split(b"\r\n", 1)[0])
        if len(self.data) < end + 4 + length:
            return
        head, body = self.data[:end], self.data[end + 4 : end + 4 + length]
        self.data = b""
        if head.startswith(b"POST") and b"/chat/completions" in head[:200]:
            self.handle_completion(head, body)
        else:
            self.handle_get(head)

    def handle_get(self, head):
        """Answer the tests' GET requests, and those that other clients make first."""
        path = head.split(b" ", 2)[1]
        if path == b"/stats":
            self.reply(200, orjson.dumps(self.server.stats()))
        elif path == b"/last":
            self.reply(200, orjson.dumps(self.server.last))
        elif path == b"/v1/models":
            self.reply(200, orjson.dumps({"object": "list", "data": [{"id": "a-model"}]}))
        else:
            self.reply(404, orjson.dumps({"detail": "Not Found"}))

    def handle_completion(self, head, raw):
        server = self.server
        digest = blake2b(raw, digest_size=16).digest()
        digest_hex = digest.hex()
        server.counts["requests"] += 1
        server.requested[digest_hex] += 1
        server.last = {"head": head.decode(), "body": raw.decode()}
        body = orjson.loads(raw)
        fault = server.fault(digest, server.requested[digest_hex], prompt_of(body))
        if 0 < server.options.limit <= server.in_flight:
            fault = "429"
        if fault:
            server.faults[fault] += 1
        server.in_flight += 1
        server.peak = max(server.peak, server.in_flight)
        if fault == "hang":
            self.timer = server.loop.call_later(1e6, self.transport.abort)
            return
        delay = 0.0 if fault == "429" else server.delay(digest)
        self.timer = server.loop.call_later(delay, self.answer, head, body, digest_hex, fault)

    def answer(self, head, body, digest_hex, fault):
        server = self.server
        server.in_flight -= 1
        self.timer = None
        if fault in ERRORS:
            key = re.search(rb"(?i)authorization: *(?:\w+ )?([^\r]*)", head)
            self.reply(*ERRORS[fault](key.group(1).decode() if key else ""))
            return
        if fault == "cut":
            self.transport.abort()
            return
        content = orjson.dumps(server.completion(body, fault))
        if fault == "cut-headers":
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: appl")
            self.transport.close()
        elif fault == "cut-body":
            self.write(200, content, len(content))
            self.transport.close()
        elif fault == "invalid-json":
            self.reply(200, b"upstream connect error")
        elif fault == "truncated-json":
            self.reply(200, content[: len(content) // 2])
        elif fault == "wrong-shape":
            self.reply(200, orjson.dumps({"choices": [{"text": "an old answer"}]}))
        elif fault == "error-200":
            self.reply(200, orjson.dumps({"error": {"message": "upstream is busy", "code": 503}}))
        else:
            if fault in COMPLETED:
                server.counts["completions"] += 1
                server.served[digest_hex] += 1
            self.reply(200, content)

    def reply(self, status, content, headers=()):
        self.write(status, content, 0, headers)

    def write(self, status, content, cut, headers=()):
        """Send a response, or only half of its body if `cut` is its length."""
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
        head += "".join(f"{header}\r\n" for header in headers)
        head += f"Content-Length: {len(content)}\r\n\r\n"
        self.transport.write(head.encode() + (content[: cut // 2] if cut else content))


def _load(name):
    """Return the function MODULE:FUNCTION, which takes the decoded body and returns a text."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


class AnsweringServer:
    """Runs the server in a subprocess: ``with AnsweringServer() as server``.

    Options are those of the command line, as strings. It also ends if the test is killed.
    """

    def __init__(self, *options, env=None):
        self._command = [sys.executable, __file__, *options, "--with-parent"]
        self._env = {**os.environ, **env} if env else None

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._env
        )
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(self, *error):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path)
        value = orjson.loads(connection.getresponse().read())
        connection.close()
        return value

    def stats(self):
        """Return the counts of requests and responses so far."""
        return self._get("/stats")

    def last(self):
        """Return the last request: its headers by lower-case name, and its body."""
        last = self._get("/last")
        lines = (line.partition(": ") for line in last["head"].splitlines()[1:])
        headers = {name.lower(): value for name, _, value in lines}
        return headers, orjson.loads(last["body"])


async def _serve(options):
    server = ServerState(options)
    server.loop = asyncio.get_running_loop()
    listener = await server.loop.create_server(
        lambda: Connection(server), "127.0.0.1", options.port, backlog=4096
    )
    print(listener.sockets[0].getsockname()[1], flush=True)
    if options.with_parent:
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    await listener.serve_forever()


def _options():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument(
        "--jitter", type=float, default=0.0, metavar="SECONDS", help="random by body"
    )
    parser.add_argument("--faults", type=float, default=0.0, metavar="FRACTION")
    parser.add_argument("--fault-kinds", default=TRANSIENT_FAULTS, metavar="NAME,…")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--limit", type=int, default=0, help="429 above this many at once")
    parser.add_argument("--max-prompt", type=int, default=0, metavar="CHARACTERS")
    parser.add_argument("--answers", metavar="MODULE:FUNCTION", help="body → text of the answer")
    parser.add_argument("--with-parent", action="store_true", help="end with standard input")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_options()))
