"""A chat completion server on loopback that costs little CPU: every answer comes after LATENCY.

    python bench/teachers/server.py LATENCY      prints its port, ends with its standard input

GET /stats: completions sent, maximum in flight, and seconds from the first request to the last
answer. A request without messages, by which some clients look up rate limits, is answered but not
counted.
"""

import asyncio
import os
import sys
import threading

import orjson

WORDS = "The quick answer names each part in turn and says why it stands where it stands. " * 12
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": WORDS.strip()},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 60, "completion_tokens": 200, "total_tokens": 260},
}


def _response(body: bytes) -> bytes:
    """Return a complete HTTP response; its rate limits are too high to slow down a client."""
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        "x-ratelimit-limit-requests: 100000000\r\nx-ratelimit-limit-tokens: 100000000000\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


COMPLETION = _response(orjson.dumps(ANSWER))


class Counts:
    """Counts shared by all connections."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.loop = asyncio.get_running_loop()
        self.completions = self.in_flight = self.peak = 0
        self.first = self.last = 0.0


class Connection(asyncio.Protocol):
    """One keep-alive connection, with one request at a time."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data = self.data + data if self.data else data
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        start = self.data[:end].lower().find(b"\r\ncontent-length:")
        length = int(self.data[start + 17 : end].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(self.data) < end + 4 + length:
            return
        head, body = self.data[:end], self.data[end + 4 :]
        self.data = b""
        counts = self.counts
        if not head.startswith(b"POST"):
            self.transport.write(_response(orjson.dumps(self.stats())))
            return
        is_counted = b'"content"' in body
        if is_counted:
            counts.first = counts.first or counts.loop.time()
            counts.in_flight += 1
            counts.peak = max(counts.peak, counts.in_flight)
        counts.loop.call_later(counts.latency, self.answer, is_counted)

    def answer(self, is_counted: bool) -> None:
        counts = self.counts
        self.transport.write(COMPLETION)
        if is_counted:
            counts.in_flight -= 1
            counts.completions += 1
            counts.last = counts.loop.time()

    def stats(self) -> dict[str, float]:
        counts = self.counts
        return {
            "completions": counts.completions,
            "peak": counts.peak,
            "seconds": counts.last - counts.first,
        }


async def serve(latency: float) -> None:
    """Serve until standard input ends."""
    counts = Counts(latency)
    server = await counts.loop.create_server(
        lambda: Connection(counts), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
