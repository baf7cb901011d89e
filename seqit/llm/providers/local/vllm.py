"""The backend for vLLM in this process, with continuous batching."""

import threading
import time
from collections import deque
from typing import Any

from seqit.llm.backend import Deliver
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.libraries import installed_version
from seqit.llm.providers.local.model_files import ModelSource
from seqit.llm.providers.local.vllm_engine import VLLMEngine
from seqit.llm.request import FailedRequest, Request, RequestOutcome

OPTIONS: dict[str, type] = {
    "tensor_parallel_size": int,
    "pipeline_parallel_size": int,
    "dtype": str,
    "quantization": str,
    "max_model_len": int,
    "max_num_seqs": int,
    "gpu_memory_utilization": float,
    "enforce_eager": bool,
    "lora": str,
    "revision": str,
    "chat_template": str,
    "chat_template_kwargs": str,
}
"""The arguments of the class besides the model."""

PREFETCH = 4
"""Requests to hold per sequence that the engine runs at once, so that it never runs out."""
DEFAULT_MAX_NUM_SEQS = 256


class VLLMBackend:
    """Completes requests with a vLLM engine; prefix caching is on.

    model, lora: a folder or a Hub name. chat_template: a file instead of the model's own;
    chat_template_kwargs: its variables, a JSON object. The other options are vLLM's; None means
    its default. Each request is sampled with its own seed, so the batch that it is in changes only
    rounding.
    """

    structured = True

    def __init__(
        self,
        model: str,
        *,
        lora: str | None = None,
        revision: str | None = None,
        chat_template: str | None = None,
        chat_template_kwargs: str | None = None,
        tensor_parallel_size: int = 1,
        pipeline_parallel_size: int = 1,
        dtype: str = "auto",
        quantization: str | None = None,
        max_model_len: int | None = None,
        max_num_seqs: int | None = None,
        gpu_memory_utilization: float | None = None,
        enforce_eager: bool = False,
    ) -> None:
        self.name = f"vllm:{model}"
        self._source = ModelSource(model, revision, lora)
        self._template = ChatTemplate(chat_template, chat_template_kwargs)
        settings: dict[str, Any] = {
            "tensor_parallel_size": tensor_parallel_size,
            "pipeline_parallel_size": pipeline_parallel_size,
            "dtype": dtype,
            "quantization": quantization,
            "max_model_len": max_model_len,
            "max_num_seqs": max_num_seqs,
            "gpu_memory_utilization": gpu_memory_utilization,
            "enforce_eager": enforce_eager,
        }
        self._settings = {name: value for name, value in settings.items() if value is not None}
        self._engine: VLLMEngine | None = None
        self._deliver: Deliver | None = None
        self._incoming: deque[tuple[int, Request]] = deque()
        self._wake_event = threading.Event()
        self._engine_failure: FailedRequest | None = None

    @property
    def capacity(self) -> int:
        """How many requests it can process at once; an estimate until it is open."""
        max_num_seqs = self._settings.get("max_num_seqs", DEFAULT_MAX_NUM_SEQS)
        return PREFETCH * (self._engine.max_num_seqs if self._engine else max_num_seqs)

    def identity(self) -> dict[str, Any]:
        """Return what decides a completion; raises SeqitError if vLLM or the model is missing."""
        return {
            "kind": "vllm",
            "library": installed_version("vllm", "vllm"),
            **self._source.identity(**self._template.identity()),
            "dtype": self._settings["dtype"],
            "quantization": self._settings.get("quantization"),
        }

    def open(self, deliver: Deliver) -> None:
        """Load the model; raises SeqitError if that fails."""
        installed_version("vllm", "vllm")
        self._deliver, self._engine_failure = deliver, None
        self._engine = VLLMEngine(self._source, self._template, self._settings)

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Queue requests; the next `wait` adds them to the engine."""
        self._incoming.extend(batch)

    def wait(self, timeout: float | None) -> None:
        """Step the engine until a request is finished; see Backend.wait."""
        end = None if timeout is None else time.monotonic() + timeout
        if self._deliver_any(self._admit()):
            return
        while self._engine and self._engine.running:
            if self._deliver_any(self._step()) or self._wake_event.is_set():
                self._wake_event.clear()
                return
            if end is not None and time.monotonic() >= end:
                return
        self._wake_event.wait(None if end is None else max(end - time.monotonic(), 0))
        self._wake_event.clear()

    def wake(self) -> None:
        """Make `wait` return after the engine's current step."""
        self._wake_event.set()

    def close(self) -> None:
        """Drop what is in flight and end the engine's processes."""
        self._incoming.clear()
        if self._engine:
            self._engine.close()
            self._engine = None

    def _deliver_any(self, outcomes: list[tuple[int, RequestOutcome]]) -> bool:
        if outcomes and self._deliver:
            self._deliver(outcomes)
        return bool(outcomes)

    def _admit(self) -> list[tuple[int, RequestOutcome]]:
        """Add the incoming requests to the engine; returns the failures of invalid ones."""
        failures: list[tuple[int, RequestOutcome]] = []
        while self._incoming:
            ticket, request = self._incoming.popleft()
            failed = self._engine_failure or (self._engine and self._engine.add(ticket, request))
            if failed:
                failures.append((ticket, failed))
        return failures

    def _step(self) -> list[tuple[int, RequestOutcome]]:
        assert self._engine
        try:
            return self._engine.step()
        except Exception as error:  # the engine is shared: every request fails
            self._engine_failure = FailedRequest(
                "server-error", f"vLLM's engine broke down: {error}", fatal=True
            )
            return [(ticket, self._engine_failure) for ticket in self._engine.drop()]
