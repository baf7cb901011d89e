"""A provider's /files and /batches on loopback, whose answers, delays and faults are known.

    python tests/support/batch_server.py      prints its port, ends with its standard input

A batch ends when it has been looked at so many times as the option `looks` says. A prompt can call
for a fault: ``[line:400]`` and others, always, or ``[line:500*2]`` the first two times that it is
submitted; ``invalid`` makes the whole batch fail its validation, naming the line. A call can be
held up, so that a test can kill who made it: POST /hold {"at": "create", "when": "after"}, then
GET /held answers once a call is held there, and POST /release lets it go on.

GET /stats tells what was submitted: a custom_id counted twice was paid for twice.
"""

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

OPTIONS = {
    "looks": 2,  # after which a batch ends
    "queue": 0,  # requests that may be queued; 0: any number
    "page": 100,  # batches listed at once, at most
    "metadata": True,  # given back
    "refuse": "",  # why every batch fails, if it does
    "faults": [],  # of calls, once each: create-503-before, create-503-after, content-cut, …
}

_FAULT = re.compile(r"\[line:(\w+)(?:\*(\d+))?\]")
_ERRORS = {
    "400": "The messages are not to my liking",
    "401": "Incorrect API key provided",
    "500": "The server had an error",
}


class Provider:
    """All files and batches, and what is held up."""

    def __init__(self, **options):
        self.options = OPTIONS | options
        self.lock = threading.Lock()
        self.files = {}
        self.batches = {}  # in the order of their creation
        self.lines = Counter()  # custom_id → times submitted in a batch that was accepted
        self.calls = Counter()
        self.deleted = 0
        self.hold = None
        self.held, self.release = threading.Event(), threading.Event()

    def pause(self, at, when):
        """Hold a call up here where a test wants it."""
        if self.hold == {"at": at, "when": when}:
            self.hold = None
            self.held.set()
            self.release.wait()

    def once(self, fault):
        """Tell whether a fault of the server is still to happen."""
        with self.lock:
            still = fault in self.options["faults"]
            if still:
                self.options["faults"].remove(fault)
            return still

    def create(self, body):
        """Accept a batch; what is wrong with it shows when it is looked at."""
        requests = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        assert body["endpoint"] == "/v1/chat/completions", body
        assert all(request["url"] == body["endpoint"] for request in requests)
        with self.lock:
            number = len(self.batches) + self.deleted + 1
            batch = {
                "id": f"batch_{number}",
                "object": "batch",
                "status": "validating",
                "created_at": int(time.time()),
                "metadata": body.get("metadata") if self.options["metadata"] else None,
                "input_file_id": body["input_file_id"],
                "request_counts": {"total": len(requests), "completed": 0, "failed": 0},
                "output_file_id": None,
                "error_file_id": None,
                "errors": None,
            }
            queued = sum(each["queued"] for each in self.batches.values())
            kept = {"batch": batch, "requests": requests, "looks": 0, "queued": len(requests)}
            self.batches[batch["id"]] = kept
            errors = [
                {"code": "invalid_request", "message": "The line is invalid", "line": line}
                for line, request in enumerate(requests, 1)
                if "[line:invalid]" in _prompt(request)
            ]
            if self.options["queue"] and queued + len(requests) > self.options["queue"]:
                message = "Enqueued token limit reached"
                errors = [{"code": "token_limit_exceeded", "message": message, "line": None}]
            if self.options["refuse"]:
                errors = [{"code": "model_not_found", "message": self.options["refuse"]}]
            if errors:
                kept |= {"errors": errors, "queued": 0}
            else:
                self.lines.update(request["custom_id"] for request in requests)
        return batch

    def look(self, batch_id):
        """Return a batch, a step further."""
        with self.lock:
            kept = self.batches[batch_id]
            batch = kept["batch"]
            kept["looks"] += 1
            if batch["status"] in ("validating", "in_progress"):
                batch["status"] = "in_progress"
                if kept["looks"] >= self.options["looks"]:
                    self._end(kept)
            return batch

    def _end(self, kept):
        if kept.get("errors"):
            kept["batch"] |= {"status": "failed", "errors": {"data": kept["errors"]}}
            return
        batch, written, status = kept["batch"], {"output": [], "error": []}, "completed"
        for request in reversed(kept["requests"]):  # in any order
            fault = self._fault(request)
            line = {"id": "batch_req", "custom_id": request["custom_id"], "error": None}
            if fault == "expired":
                status = "expired"
                error = {"code": "batch_expired", "message": "The window has expired"}
                written["error"].append(line | {"response": None, "error": error})
            elif fault in _ERRORS:
                error = {"error": {"message": _ERRORS[fault], "type": "x", "code": None}}
                response = {"status_code": int(fault), "body": error}
                written["error"].append(line | {"response": response})
            elif fault != "missing":
                response = {"status_code": 200, "body": _completion(request["body"], fault)}
                written["output"].append(line | {"response": response})
        for kind, lines in written.items():
            if lines:
                name = batch[f"{kind}_file_id"] = f"file-{kind}-{batch['id']}"
                self.files[name] = "".join(json.dumps(line) + "\n" for line in lines).encode()
        counts = batch["request_counts"]
        counts |= {"completed": len(written["output"]), "failed": len(written["error"])}
        batch["status"], kept["queued"] = status, 0

    def _fault(self, request):
        if marked := _FAULT.search(_prompt(request)):
            kind, most = marked.groups()
            if most is None or self.lines[request["custom_id"]] <= int(most):
                return kind
        return ""

    def forget(self):
        """Delete all batches and files, as providers do after some weeks."""
        with self.lock:
            self.deleted = len(self.batches) + self.deleted
            self.batches.clear()
            self.files.clear()

    def page(self, query):
        """Return the batches, the newest first, a page at a time."""
        newest = [kept["batch"] for kept in reversed(self.batches.values())]
        ids = [batch["id"] for batch in newest]
        start = ids.index(query["after"][0]) + 1 if "after" in query else 0
        size = min(int(query["limit"][0]), self.options["page"])
        shown = newest[start : start + size]
        return {"object": "list", "data": shown, "has_more": start + size < len(newest)}

    def stats(self):
        """Return what was submitted."""
        return {
            "calls": self.calls,
            "lines": self.lines,
            "batches": [
                {"id": kept["batch"]["id"], "requests": len(kept["requests"])}
                | {"looks": kept["looks"], "status": kept["batch"]["status"]}
                for kept in self.batches.values()
            ],
        }


def _prompt(request):
    return request["body"]["messages"][-1]["content"]


def _completion(body, fault):
    text = f"seed {body.get('seed')} answers: {body['messages'][-1]['content']}"
    finish = "length" if fault == "length" else "stop"
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 7, "completion_tokens": 5}
    choices = [choice | {"finish_reason": finish}]
    return {"object": "chat.completion", "model": body["model"], "choices": choices, "usage": usage}


class Handler(BaseHTTPRequestHandler):
    """One call."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        provider, parts = self.server.provider, urlsplit(self.path)
        if parts.path == "/stats":
            self.reply(provider.stats())
        elif parts.path == "/held":
            self.reply({"held": provider.held.wait(20)})
        elif parts.path == "/v1/batches":
            self.called("list", lambda: provider.page(parse_qs(parts.query)))
        elif parts.path.startswith("/v1/batches/"):
            self.called("look", lambda: provider.look(parts.path.rpartition("/")[2]))
        else:
            self.called("content", lambda: provider.files[parts.path.split("/")[3]])

    def do_POST(self):
        provider = self.server.provider
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/hold":
            provider.held.clear()
            provider.release.clear()
            provider.hold = json.loads(raw)
            self.reply({})
        elif self.path == "/release":
            provider.release.set()
            self.reply({})
        elif self.path == "/reset":
            self.server.provider = Provider(**json.loads(raw))
            self.reply({})
        elif self.path == "/options":
            provider.options |= json.loads(raw)
            self.reply({})
        elif self.path == "/forget":
            provider.forget()
            self.reply({})
        elif self.path == "/v1/files":
            self.called("upload", lambda: self._uploaded(raw))
        else:
            self.called("create", lambda: provider.create(json.loads(raw)))

    def _uploaded(self, raw):
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        parts = [part.partition(b"\r\n\r\n") for part in raw.split(b"--" + boundary)[1:-1]]
        form = {re.search(rb' name="(\w+)"', head)[1]: body[:-2] for head, _, body in parts}
        assert form[b"purpose"] == b"batch", form
        provider = self.server.provider
        with provider.lock:
            name = f"file-{provider.calls['upload']}"
            provider.files[name] = form[b"file"]
        return {"id": name, "object": "file"}

    def called(self, name, act):
        """Answer a call of the API, with the faults that are to meet it."""
        provider = self.server.provider
        provider.calls[name] += 1
        if self.headers["Authorization"] != "Bearer key-of-a-test":
            self.reply({"error": {"message": "Incorrect API key provided"}}, 401)
            return
        provider.pause(name, "before")
        if provider.once(f"{name}-503-before"):
            self.reply({"error": {"message": "Busy"}}, 503)
            return
        try:
            value = act()
        except KeyError:
            self.reply({"error": {"message": "No such object"}}, 404)
            return
        provider.pause(name, "after")
        if provider.once(f"{name}-503-after"):
            self.reply({"error": {"message": "Busy"}}, 503)
        elif provider.once(f"{name}-cut"):
            self.reply(value, cut=True)
        else:
            self.reply(value)

    def reply(self, value, status=200, cut=False):
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            whole_lines = raw.rfind(b"\n", 0, len(raw) - 1) + 1
            self.wfile.write(raw[:whole_lines] if cut else raw)
        except OSError:  # who asked was killed
            self.close_connection = True
        if cut:
            self.close_connection = True


class BatchServer:
    """The server as a process of its own: ``with BatchServer() as server``."""

    def __enter__(self):
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/v1"
        return self

    def __exit__(self, *error):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def call(self, path, body=None):
        """Return what the server says; POST where there is a body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, sent)
        value = json.loads(connection.getresponse().read())
        connection.close()
        return value

    def reset(self, **options):
        """Forget everything, and go on under these options."""
        self.call("/reset", options)

    def stats(self):
        return self.call("/stats")

    def twice(self):
        """Return what was submitted more than once."""
        return {key for key, times in self.stats()["lines"].items() if times > 1}


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.provider = Provider()
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
