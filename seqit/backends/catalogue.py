"""The backends by name; the library behind each is imported when it is opened."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from seqit.backends.backend import Backend
from seqit.errors import UsageError

KINDS = {
    "openai": "seqit.backends.openai:OpenAI",
    "vllm": "seqit.backends.vllm:VLLM",
    "transformers": "seqit.backends.transformers:Transformers",
    "replay": "seqit.backends.replay:Replay",
}
"""KIND → module:Class; the class is called with the model's name and the options it takes."""


def make_backend(name: str, options: Mapping[str, Any]) -> Backend:
    """Return the backend that KIND:MODEL names, not opened yet.

    Raises UsageError for a kind that is not known, or for an option that the kind does not take.
    """
    kind, _, model = name.partition(":")
    if kind not in KINDS:
        raise UsageError(f"there is no backend {kind!r}; known are: {', '.join(KINDS)}")
    if not model:
        raise UsageError(f"{kind} needs a model: write {kind}:MODEL")
    module, _, cls = KINDS[kind].partition(":")
    backend: Backend = getattr(import_module(module), cls)(model, **options)
    return backend
