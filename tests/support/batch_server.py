"""A provider's /files and /batches on loopback with deterministic answers, delays and faults.

    python tests/support/batch_server.py      prints its port, ends with its standard input

A batch ends when it has been polled as often as the option `polls` says. A prompt can demand a
fault: ``[line:400]`` and others, always, or ``[line:500*2]`` the first two times that it is
submitted; ``invalid`` makes the whole batch fail its validation, naming the line. A call can be
held, so that a test can kill its client: POST /hold {"at": "create", "when": "after"}, then
GET /held answers once a call is held there, and POST /release continues it.

GET /stats returns what was submitted: a custom_id counted twice was paid for twice.
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
    "polls": 2,  # after which a batch ends
    "queue": 0,  # requests that may be queued; 0: any number
    "page": 100,  # maximum number of batches in a listing
    "metadata": True,  # whether it is returned
    "refuse": "",  # message with which every batch fails, if not empty
    "faults": [],  # of calls, once each: create-503-before, create-503-after, content-cut, …
}

_FAULT = re.compile(r"\[line:(\w+)(?:\*(\d+))?\]")
_ERRORS = {
    "400": "The messages are not to my liking",
    "401": "Incorrect API key provided",
    "500": "The server had an error",
}


class Provider:
    """All files and batches, and the call that is held."""

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
        """Hold a call here if a test asked for it."""
        if self.hold == {"at": at, "when": when}:
            self.hold = None
            self.held.set()
            self.release.wait()

    def take_fault(self, fault):
        """Return whether a fault of the server is due, once."""
        with self.lock:
            is_due = fault in self.options["faults"]
            if is_due:
                self.options["faults"].remove(fault)
            return is_due

    def create(self, body):
        """Create a batch; its errors show when it is polled."""
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
            entry = {"batch": batch, "requests": requests, "polls": 0, "queued": len(requests)}
            self.batches[batch["id"]] = entry
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
                entry |= {"errors": errors, "queued": 0}
            else:
                self.lines.update(request["custom_id"] for request in requests)
        return batch

    def poll(self, batch_id):
        """Return a batch after one more step of processing."""
        with self.lock:
            entry = self.batches[batch_id]
            batch = entry["batch"]
            entry["polls"] += 1
            if batch["status"] in ("validating", "in_progress"):
                batch["status"] = "in_progress"
                if entry["polls"] >= self.options["polls"]:
                    self._end(entry)
            return batch

    def _end(self, entry):
        if entry.get("errors"):
            entry["batch"] |= {"status": "failed", "errors": {"data": entry["errors"]}}
            return
        batch, written, status = entry["batch"], {"output": [], "error": []}, "completed"
        for request in reversed(entry["requests"]):  # in any order
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
        batch["status"], entry["queued"] = status, 0

    def _fault(self, request):
        if marked := _FAULT.search(_prompt(request)):
            kind, max_times = marked.groups()
            if max_times is None or self.lines[request["custom_id"]] <= int(max_times):
                return kind
        return ""

    def forget(self):
        """Delete all batches and files, as providers do after some weeks."""
        with self.lock:
            self.deleted = len(self.batches) + self.deleted
            self.batches.clear()
            self.files.clear()

    def page(self, query):
        """Return one page of the batches, newest first."""
        newest = [entry["batch"] for entry in reversed(self.batches.values())]
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
                {"id": entry["batch"]["id"], "requests": len(entry["requests"])}
                | {"polls": entry["polls"], "status": entry["batch"]["status"]}
                for entry in self.batches.values()
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
            self.answer_call("list", lambda: provider.page(parse_qs(parts.query)))
        elif parts.path.startswith("/v1/batches/"):
            self.answer_call("poll", lambda: provider.poll(parts.path.rpartition("/")[2]))
        else:
            self.answer_call("content", lambda: provider.files[parts.path.split("/")[3]])

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
            self.answer_call("upload", lambda: self._uploaded(raw))
        else:
            self.answer_call("create", lambda: provider.create(json.loads(raw)))

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

    def answer_call(self, name, act):
        """Answer a call of the API, with its faults."""
        provider = self.server.provider
        provider.calls[name] += 1
        if self.headers["Authorization"] != "Bearer key-of-a-test":
            self.reply({"error": {"message": "Incorrect API key provided"}}, 401)
            return
        provider.pause(name, "before")
        if provider.take_fault(f"{name}-503-before"):
            self.reply({"error": {"message": "Busy"}}, 503)
            return
        try:
            value = act()
        except KeyError:
            self.reply({"error": {"message": "No such object"}}, 404)
            return
        provider.pause(name, "after")
        if provider.take_fault(f"{name}-503-after"):
            self.reply({"error": {"message": "Busy"}}, 503)
        elif provider.take_fault(f"{name}-cut"):
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
        except OSError:  # the client was killed
            self.close_connection = True
        if cut:
            self.close_connection = True


class BatchServer:
    """Runs the server in a subprocess: ``with BatchServer() as server``."""

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
        """Return the server's response; POST if there is a body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, sent)
        value = json.loads(connection.getresponse().read())
        connection.close()
        return value

    def reset(self, **options):
        """Reset the server's state, with these options."""
        self.call("/reset", options)

    def stats(self):
        return self.call("/stats")

    def submitted_twice(self):
        """Return the requests that were submitted more than once."""
        return {key for key, times in self.stats()["lines"].items() if times > 1}


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.provider = Provider()
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
