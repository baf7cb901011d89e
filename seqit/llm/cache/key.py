"""The cache's key: everything that decides an answer, hashed."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from xxhash import xxh3_64_digest, xxh3_128, xxh3_128_digest

from seqit.llm.request import Message, Request, Sampling

CONTEXT = slice(0, 8)
MESSAGES = slice(8, 24)
SEED = slice(24, 32)
"""Where the parts of a key stand in it, so that two keys can be compared part by part."""

_KEPT = 1000
_SORTED = orjson.OPT_SORT_KEYS
_ELSEWHERE = ("http://", "https://", "data:")


class CacheKeys:
    """Makes the keys of one run, whose backend has this identity.

    A key is 32 bytes: XXH3-64 over the context (identity, sampling, schema, logprobs), XXH3-128
    over the messages, and the seed. Two different chats meet by chance once in 1e19 pairs of ten
    billion; it is no signature: who wants to can make two chats of one key. An image given as a
    path counts by its content, one given as an http(s) address by the address alone.
    """

    def __init__(self, identity: dict[str, Any]) -> None:
        self._identity = orjson.Fragment(orjson.dumps(identity, option=_SORTED))
        self._contexts: dict[tuple[Sampling, bytes, int], bytes] = {}
        self._images: dict[str, tuple[int, int, str]] = {}  # path → time, size, hash

    def key(self, request: Request) -> bytes:
        """Return the key of a request: 32 bytes."""
        schema = b"" if request.schema is None else orjson.dumps(request.schema, option=_SORTED)
        parts = (request.sampling, schema, request.logprobs)
        context = self._contexts.get(parts)
        if context is None:
            if len(self._contexts) >= _KEPT:
                self._contexts.clear()
            context = self._contexts[parts] = xxh3_64_digest(self.context(request))
        messages = orjson.dumps(self._seen(request.messages), option=_SORTED)
        seed = (request.seed & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "big")
        return context + xxh3_128_digest(messages) + seed

    def context(self, request: Request) -> bytes:
        """Return all of a request's key but its messages and seed, as JSON.

        Settings that are left to the backend are left out, so that new ones change no old key.
        """
        sampling = {k: v for k, v in asdict(request.sampling).items() if v not in (None, ())}
        context: dict[str, Any] = {"identity": self._identity, "sampling": sampling}
        if request.schema is not None:
            context["schema"] = request.schema
        if request.logprobs:
            context["logprobs"] = request.logprobs
        return orjson.dumps(context, option=_SORTED)

    def _seen(self, messages: list[Message]) -> list[Any]:
        """Return the messages as the model sees them: images by their content."""
        if all(isinstance(message["content"], str) for message in messages):
            return messages
        return [
            {"role": message["role"], "content": [self._part(part) for part in message["content"]]}
            if isinstance(message["content"], list)
            else message
            for message in messages
        ]

    def _part(self, part: Any) -> Any:
        if part["type"] != "image" or part["image"].startswith(_ELSEWHERE):
            return part
        return {"type": "image", "content": self._content(part["image"])}

    def _content(self, name: str) -> str:
        """Return the hash of a file, remembered as long as its time and size stay the same.

        Empty where it cannot be read: the backend will say so, and failures are not cached.
        """
        try:
            status = Path(name).stat()
            time, size, digest = self._images.get(name, (0, 0, ""))
            if not digest or (time, size) != (status.st_mtime_ns, status.st_size):
                digest = _hash(name)
                if len(self._images) >= _KEPT:
                    self._images.clear()
                self._images[name] = (status.st_mtime_ns, status.st_size, digest)
        except OSError:
            return ""
        return digest


def _hash(name: str) -> str:
    whole = xxh3_128()
    with Path(name).open("rb") as file:
        while block := file.read(1 << 20):
            whole.update(block)
    return whole.hexdigest()
