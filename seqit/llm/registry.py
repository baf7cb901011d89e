"""The backends by name; the library behind each is imported when it is opened."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from seqit.errors import UsageError
from seqit.llm.backend import Backend
from seqit.records.validation import did_you_mean

BACKENDS = {
    "openai": "seqit.llm.providers.openai.backend:OpenAIBackend",
    "vllm": "seqit.llm.providers.local.vllm:VLLMBackend",
    "transformers": "seqit.llm.providers.local.transformers:TransformersBackend",
    "replay": "seqit.llm.providers.replay:ReplayBackend",
}
"""KIND → module:Class; the class is called with the model's name and the options it takes."""
BATCH_BACKENDS = {"openai": "seqit.llm.providers.openai.batch.backend:OpenAIBatchBackend"}
"""The kinds whose provider takes requests in batches, and what asks it so."""
ENGINES = ("vllm", "transformers")
"""The kinds whose module has a table OPTIONS: name → type of what an engine can be told."""


def make_backend(name: str, options: Mapping[str, Any], *, batch: bool = False) -> Backend:
    """Return the backend that KIND:MODEL names, not opened yet; with `batch`, its Batch API.

    Raises UsageError for a kind that is not known, or for an option that the kind does not take.
    """
    kind, _, model = name.partition(":")
    if kind not in BACKENDS:
        raise UsageError(f"there is no backend {kind!r}; known are: {', '.join(BACKENDS)}")
    if not model:
        raise UsageError(f"{kind} needs a model: write {kind}:MODEL")
    module, _, cls = (BATCH_BACKENDS if batch else BACKENDS)[kind].partition(":")
    backend: Backend = getattr(import_module(module), cls)(model, **options)
    return backend


def engine_options(kind: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return what an engine of this kind is told, each value of its type.

    Raises UsageError for a name that it does not know, or a value that is none.
    """
    known: dict[str, type] = import_module(BACKENDS[kind].partition(":")[0]).OPTIONS
    options: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in known:
            raise UsageError(
                f"{kind} has no option {name!r}{did_you_mean(name, known)}; it has: "
                f"{', '.join(sorted(known))}"
            )
        try:
            options[name] = _BOOLEANS[text.lower()] if known[name] is bool else known[name](text)
        except (KeyError, ValueError):
            what = {bool: "true or false", int: "a whole number"}.get(known[name], "a number")
            raise UsageError(f"{name} must be {what}, not {text!r}") from None
    return options


_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
