"""The backends by kind; the library of a backend is imported when it is opened."""

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
"""KIND → module:Class; the class is called with the model's name and its options."""
BATCH_BACKENDS = {"openai": "seqit.llm.providers.openai.batch.backend:OpenAIBatchBackend"}
"""KIND → module:Class of the backend that uses the provider's batch API."""
ENGINES = ("vllm", "transformers")
"""The kinds whose module has a table OPTIONS: name → type of an engine argument."""


def make_backend(name: str, options: Mapping[str, Any], *, batch: bool = False) -> Backend:
    """Return the backend of KIND:MODEL, not opened yet; with `batch`, its batch API.

    Raises UsageError for an unknown kind, a missing model or an option that the kind rejects.
    """
    kind, _, model = name.partition(":")
    if kind not in BACKENDS:
        raise UsageError(f"there is no backend {kind!r}; choose one of: {', '.join(BACKENDS)}")
    if not model:
        raise UsageError(f"{kind} needs a model: write {kind}:MODEL")
    module, _, cls = (BATCH_BACKENDS if batch else BACKENDS)[kind].partition(":")
    backend: Backend = getattr(import_module(module), cls)(model, **options)
    return backend


def parse_engine_args(kind: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the engine arguments of this kind, each value converted to its type.

    Raises UsageError for an unknown name or a value that cannot be converted.
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
