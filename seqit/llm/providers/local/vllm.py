"""vLLM in this process: requests join the running batch as they come, and leave it when done."""

import threading
import time
from collections import deque
from typing import Any

from seqit.llm.backend import Deliver
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.model_files import ModelSource, installed_version
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
"""What the class takes beside the model."""

AHEAD = 4
"""Requests to have for each that the engine computes at once, so that it never waits for us."""
USUAL_SEQUENCES = 256


class VLLMBackend:
    """Answers with a vLLM engine of its own; prefix caching is on.

    model, lora: a folder or a hub name. chat_template: a file, in place of the model's own;
    chat_template_kwargs: its variables, a JSON object. The other options are vLLM's, and None
    leaves them to it. Each request draws with its own seed, so the batch that it falls into
    decides nothing but the rounding of its numbers.
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
        self._arrived: deque[tuple[int, Request]] = deque()
        self._woken = threading.Event()
        self._dead: FailedRequest | None = None

    @property
    def capacity(self) -> int:
        """How many requests it can use at once; known exactly when it is open."""
        at_once = self._settings.get("max_num_seqs", USUAL_SEQUENCES)
        return AHEAD * (self._engine.at_once if self._engine else at_once)

    def identity(self) -> dict[str, Any]:
        """Return what decides an answer; raises SeqitError where vLLM or the model is missing."""
        return {
            "kind": "vllm",
            "library": installed_version("vllm", "vllm"),
            **self._source.identity(**self._template.identity()),
            "dtype": self._settings["dtype"],
            "quantization": self._settings.get("quantization"),
        }

    def open(self, deliver: Deliver) -> None:
        """Load the model; raises SeqitError where that fails."""
        installed_version("vllm", "vllm")
        self._deliver, self._dead = deliver, None
        self._engine = VLLMEngine(self._source, self._template, self._settings)

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Queue requests; the next `wait` gives them to the engine."""
        self._arrived.extend(batch)

    def wait(self, timeout: float | None) -> None:
        """Let the engine compute until something is done; see Backend.wait."""
        end = None if timeout is None else time.monotonic() + timeout
        if self._hand_over(self._admitted()):
            return
        while self._engine and self._engine.inside:
            if self._hand_over(self._stepped()) or self._woken.is_set():
                self._woken.clear()
                return
            if end is not None and time.monotonic() >= end:
                return
        self._woken.wait(None if end is None else max(end - time.monotonic(), 0))
        self._woken.clear()

    def wake(self) -> None:
        """Make `wait` return after the engine's present step."""
        self._woken.set()

    def close(self) -> None:
        """Drop what is in flight and end the engine's processes."""
        self._arrived.clear()
        if self._engine:
            self._engine.close()
            self._engine = None

    def _hand_over(self, answers: list[tuple[int, RequestOutcome]]) -> bool:
        if answers and self._deliver:
            self._deliver(answers)
        return bool(answers)

    def _admitted(self) -> list[tuple[int, RequestOutcome]]:
        """Give all that has arrived to the engine; return what it cannot take."""
        refused: list[tuple[int, RequestOutcome]] = []
        while self._arrived:
            ticket, request = self._arrived.popleft()
            failed = self._dead or (self._engine and self._engine.add(ticket, request))
            if failed:
                refused.append((ticket, failed))
        return refused

    def _stepped(self) -> list[tuple[int, RequestOutcome]]:
        assert self._engine
        try:
            return self._engine.step()
        except Exception as error:  # the engine is one for all: every request fails with it
            self._dead = FailedRequest(
                "server-error", f"vLLM's engine broke down: {error}", fatal=True
            )
            return [(ticket, self._dead) for ticket in self._engine.drop()]
