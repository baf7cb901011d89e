"""The cache key: a hash of everything that decides a completion."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from xxhash import xxh3_64_digest, xxh3_128, xxh3_128_digest

from seqit.llm.request import Message, Request, Sampling

CONTEXT = slice(0, 8)
MESSAGES = slice(8, 24)
SEED = slice(24, 32)
"""The parts of a key, so that two keys can be compared part by part."""

_MAX_REMEMBERED = 1000
_SORTED = orjson.OPT_SORT_KEYS
_REMOTE_PREFIXES = ("http://", "https://", "data:")


class CacheKeys:
    """Computes the keys of one run with this backend identity.

    A key is 32 bytes: XXH3-64 over the context (identity, sampling, schema, logprobs), XXH3-128
    over the messages, and the seed. Among ten billion chats, two different ones collide with a
    probability of about 1e-19. The hash is not cryptographic: collisions can be made on purpose.
    An image given as a path is hashed by its content, one given as an http(s) URL by the URL.
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
            if len(self._contexts) >= _MAX_REMEMBERED:
                self._contexts.clear()
            context = self._contexts[parts] = xxh3_64_digest(self.context(request))
        messages = orjson.dumps(self._hash_images(request.messages), option=_SORTED)
        seed = (request.seed & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "big")
        return context + xxh3_128_digest(messages) + seed

    def context(self, request: Request) -> bytes:
        """Return everything in a request's key but its messages and seed, as JSON.

        Settings left to the backend are omitted, so that new settings do not change old keys.
        """
        sampling = {k: v for k, v in asdict(request.sampling).items() if v not in (None, ())}
        context: dict[str, Any] = {"identity": self._identity, "sampling": sampling}
        if request.schema is not None:
            context["schema"] = request.schema
        if request.logprobs:
            context["logprobs"] = request.logprobs
        return orjson.dumps(context, option=_SORTED)

    def _hash_images(self, messages: list[Message]) -> list[Any]:
        """Return the messages with images replaced by the hash of their content."""
        if all(isinstance(message["content"], str) for message in messages):
            return messages
        return [
            {
                "role": message["role"],
                "content": [self._hash_image(part) for part in message["content"]],
            }
            if isinstance(message["content"], list)
            else message
            for message in messages
        ]

    def _hash_image(self, part: Any) -> Any:
        if part["type"] != "image" or part["image"].startswith(_REMOTE_PREFIXES):
            return part
        return {"type": "image", "content": self._image_hash(part["image"])}

    def _image_hash(self, name: str) -> str:
        """Return the hash of a file, memoized while its modification time and size are unchanged.

        Empty if it cannot be read: the backend reports that, and failures are not cached.
        """
        try:
            status = Path(name).stat()
            time, size, digest = self._images.get(name, (0, 0, ""))
            if not digest or (time, size) != (status.st_mtime_ns, status.st_size):
                digest = _file_hash(name)
                if len(self._images) >= _MAX_REMEMBERED:
                    self._images.clear()
                self._images[name] = (status.st_mtime_ns, status.st_size, digest)
        except OSError:
            return ""
        return digest


def _file_hash(name: str) -> str:
    digest = xxh3_128()
    with Path(name).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
