"""The backend for transformers in this process: batched generate, for machines without vLLM."""

import threading
from collections import deque
from typing import Any

from seqit.errors import RowError, SeqitError, UsageError
from seqit.llm.backend import Deliver
from seqit.llm.providers.local.chat_template import (
    ChatTemplate,
    check_length,
    plain_text,
    resolve_sampling,
)
from seqit.llm.providers.local.generation import EncodedPrompt, generate
from seqit.llm.providers.local.libraries import installed_version, silence_libraries
from seqit.llm.providers.local.loading import LoadOptions, load_model, take_generation_settings
from seqit.llm.providers.local.model_files import ModelSource
from seqit.llm.providers.local.vision import (
    VisionPrompt,
    VisionPromptBuilder,
    is_vision_model,
    prompt_builder_for,
)
from seqit.llm.request import FailedRequest, Message, Request, RequestOutcome

OPTIONS: dict[str, type] = {
    "batch_size": int,
    "dtype": str,
    "device_map": str,
    "load_in_4bit": bool,
    "load_in_8bit": bool,
    "attn_implementation": str,
    "max_model_len": int,
    "lora": str,
    "revision": str,
    "chat_template": str,
    "chat_template_kwargs": str,
}
"""The arguments of the class besides the model."""

PREFETCH = 4
"""Batches of requests to queue, so that a batch can be made of prompts of similar length."""


class TransformersBackend:
    """Completes requests with the model's `generate`, batch by batch; images if it supports them.

    model, lora: a folder or a Hub name; their code is not run. dtype auto: the checkpoint's, but
    bfloat16 for a float32 one on a GPU. load_in_4bit, load_in_8bit: with bitsandbytes.
    max_model_len: tokens of prompt and answer; by default that of the model's config.
    chat_template: a file instead of the model's own; chat_template_kwargs: its variables, a JSON
    object. Each request is sampled with its own seed, so the batch that it is in changes only
    rounding. A batch that does not fit into memory is halved.
    """

    structured = False

    def __init__(
        self,
        model: str,
        *,
        lora: str | None = None,
        revision: str | None = None,
        chat_template: str | None = None,
        chat_template_kwargs: str | None = None,
        batch_size: int = 8,
        dtype: str = "auto",
        device_map: str = "auto",
        load_in_4bit: bool = False,
        load_in_8bit: bool = False,
        attn_implementation: str | None = None,
        max_model_len: int | None = None,
    ) -> None:
        if load_in_4bit and load_in_8bit:
            raise UsageError("load_in_4bit and load_in_8bit exclude each other")
        if batch_size < 1:
            raise UsageError("batch_size must be at least 1")
        self.name = f"transformers:{model}"
        self._source = ModelSource(model, revision, lora)
        self._template = ChatTemplate(chat_template, chat_template_kwargs)
        bits = 4 if load_in_4bit else 8 if load_in_8bit else None
        self._load_options = LoadOptions(dtype, device_map, bits, attn_implementation)
        self._limit = max_model_len or 0
        self._batch_size = batch_size
        self._model: Any = None
        self._tokenizer: Any = None
        self._prompt_builder: VisionPromptBuilder | None = None
        self._end_tokens: frozenset[int] = frozenset()
        self._deliver: Deliver | None = None
        self._incoming: deque[tuple[int, Request]] = deque()
        self._queue: list[EncodedPrompt] = []
        self._wake_event = threading.Event()

    @property
    def capacity(self) -> int:
        """How many requests it can queue at once."""
        return PREFETCH * self._batch_size

    def identity(self) -> dict[str, Any]:
        """Return what decides a completion; raises SeqitError if library or model is missing."""
        return {
            "kind": "transformers",
            "library": installed_version("transformers", "train"),
            **self._source.identity(**self._template.identity()),
            "dtype": self._load_options.dtype,
            "bits": self._load_options.bits,
            "attention": self._load_options.attention,
        }

    def open(self, deliver: Deliver) -> None:
        """Load the model; raises SeqitError if that fails."""
        for module in ("torch", "transformers", "accelerate"):
            installed_version(module, "train")
        self._deliver = deliver
        silence_libraries()
        folder = self._source.model.folder()
        self._prompt_builder = (
            prompt_builder_for(folder, self._template) if is_vision_model(folder) else None
        )
        self._tokenizer = (
            self._prompt_builder.tokenizer if self._prompt_builder else _load_tokenizer(folder)
        )
        if not (self._prompt_builder and self._prompt_builder.takes_no_template):
            self._template.probe(self._as_text, self._source.model.model)
        adapter = self._source.adapter
        self._model = load_model(folder, adapter.folder() if adapter else None, self._load_options)
        self._end_tokens, max_length = take_generation_settings(self._model, self._tokenizer)
        self._limit = self._limit or max_length

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Queue requests, each with its ticket."""
        self._incoming.extend(batch)

    def wait(self, timeout: float | None) -> None:
        """Generate one batch, whatever the timeout; wait only if the queue is empty."""
        failures = self._admit()
        if not failures and not self._queue:
            self._wake_event.wait(timeout)
        self._wake_event.clear()
        if self._deliver and (outcomes := failures or self._generate_batch(self._next_batch())):
            self._deliver(outcomes)

    def wake(self) -> None:
        """Make a `wait` with an empty queue return."""
        self._wake_event.set()

    def close(self) -> None:
        """Drop the queue and the model."""
        self._incoming.clear()
        self._queue.clear()
        self._model = self._tokenizer = self._prompt_builder = None

    def _build_prompt(self, turns: list[Message]) -> VisionPrompt:
        """Return the prompt; special tokens come only from the template."""
        if self._prompt_builder:
            return self._prompt_builder.prompt(turns)
        ids: list[int] = self._tokenizer.apply_chat_template(
            [{"role": turn["role"], "content": plain_text(turn["content"])} for turn in turns],
            chat_template=self._template.text,
            **self._template.options | {"add_generation_prompt": True, "return_dict": False},
        )
        return VisionPrompt(ids, {})

    def _as_text(self, turns: list[Message]) -> str:
        text: str = self._tokenizer.decode(self._build_prompt(turns).ids)
        return text

    def _admit(self) -> list[tuple[int, RequestOutcome]]:
        """Move incoming requests to the queue; returns the failures of invalid ones."""
        failures: list[tuple[int, RequestOutcome]] = []
        while self._incoming:
            ticket, request = self._incoming.popleft()
            try:
                resolve_sampling(request.sampling)
                prompt = self._build_prompt(self._template.adapt_messages(request.messages))
            except RowError as error:
                failed: FailedRequest | None = FailedRequest("bad-image", str(error))
            except Exception as error:  # raised by the template for these messages
                failed = FailedRequest("bad-request", f"that cannot be asked: {error}")
            else:
                failed = check_length(len(prompt.ids), request.sampling.max_new_tokens, self._limit)
            if failed:
                failures.append((ticket, failed))
            else:
                self._queue.append(EncodedPrompt(ticket, request, *prompt))
        return failures

    def _next_batch(self) -> list[EncodedPrompt]:
        """Remove and return the oldest prompt in the queue and those nearest to it in length."""
        if not self._queue:
            return []
        length = len(self._queue[0].ids)
        nearest = sorted(
            range(len(self._queue)), key=lambda index: abs(len(self._queue[index].ids) - length)
        )
        taken = set(nearest[: self._batch_size])
        batch = [self._queue[index] for index in sorted(taken)]
        self._queue = [each for index, each in enumerate(self._queue) if index not in taken]
        return batch

    def _generate_batch(self, batch: list[EncodedPrompt]) -> list[tuple[int, RequestOutcome]]:
        """Return the outcomes of a batch, in two halves if it does not fit into memory."""
        import torch

        if not batch:
            return []
        label = self._source.model.label
        try:
            done = generate(self._model, self._tokenizer, self._end_tokens, label, batch)
            return [(prompt.ticket, each) for prompt, each in zip(batch, done, strict=True)]
        except torch.OutOfMemoryError as error:
            message = str(error)
        except Exception as error:  # the model is shared: every request would fail
            failed = FailedRequest("server-error", f"the model broke down: {error}", fatal=True)
            return [(prompt.ticket, failed) for prompt in batch]
        # Outside the except block: there the error still references the tensors.
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()
        if len(batch) == 1:
            failed = FailedRequest(
                "too-long", f"the device's memory does not hold it alone: {message}"
            )
            return [(batch[0].ticket, failed)]
        self._batch_size = max(len(batch) // 2, 1)
        half = self._batch_size
        return self._generate_batch(batch[:half]) + self._generate_batch(batch[half:])


def _load_tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise SeqitError(f"transformers cannot load a tokenizer from {folder}: {error}") from error
