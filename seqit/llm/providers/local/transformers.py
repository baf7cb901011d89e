"""transformers in this process: batched generate, for machines without vLLM."""

import threading
from collections import deque
from typing import Any

from seqit.errors import RowError, SeqitError, UsageError
from seqit.llm.backend import Deliver
from seqit.llm.providers.local.chat_template import (
    ChatTemplate,
    plain_text,
    resolve_sampling,
    too_long,
)
from seqit.llm.providers.local.generation import EncodedPrompt, generate
from seqit.llm.providers.local.loading import Loading, load_model, take_settings
from seqit.llm.providers.local.model_files import ModelSource, installed_version, silence_libraries
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
"""What the class takes beside the model."""

AHEAD = 4
"""Batches' worth of requests to choose from, so that those of a length go together."""


class TransformersBackend:
    """Answers with a model's own `generate`, batch by batch; images where the model takes them.

    model, lora: a folder or a hub name; no code of theirs is run. dtype auto: the checkpoint's,
    but bfloat16 for a float32 one on a GPU. load_in_4bit, load_in_8bit: with bitsandbytes.
    max_model_len: tokens of prompt and answer; what the model's configuration says by default.
    chat_template: a file, in place of the model's own; chat_template_kwargs: its variables, a
    JSON object. Each request draws with its own seed, so the batch that it falls into decides
    nothing but the rounding of its numbers. A batch that is too much for the memory is halved.
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
            raise UsageError("batch_size is at least 1")
        self.name = f"transformers:{model}"
        self._source = ModelSource(model, revision, lora)
        self._template = ChatTemplate(chat_template, chat_template_kwargs)
        bits = 4 if load_in_4bit else 8 if load_in_8bit else None
        self._loading = Loading(dtype, device_map, bits, attn_implementation)
        self._limit = max_model_len or 0
        self._batch_size = batch_size
        self._model: Any = None
        self._tokenizer: Any = None
        self._reader: VisionPromptBuilder | None = None
        self._ends: frozenset[int] = frozenset()
        self._deliver: Deliver | None = None
        self._arrived: deque[tuple[int, Request]] = deque()
        self._queue: list[EncodedPrompt] = []
        self._woken = threading.Event()

    @property
    def capacity(self) -> int:
        """How many requests it can use at once."""
        return AHEAD * self._batch_size

    def identity(self) -> dict[str, Any]:
        """Return what decides an answer; raises SeqitError where library or model is missing."""
        return {
            "kind": "transformers",
            "library": installed_version("transformers", "train"),
            **self._source.identity(**self._template.identity()),
            "dtype": self._loading.dtype,
            "bits": self._loading.bits,
            "attention": self._loading.attention,
        }

    def open(self, deliver: Deliver) -> None:
        """Load the model; raises SeqitError where that fails."""
        for module in ("torch", "transformers", "accelerate"):
            installed_version(module, "train")
        self._deliver = deliver
        silence_libraries()
        folder = self._source.model.folder()
        self._reader = (
            prompt_builder_for(folder, self._template) if is_vision_model(folder) else None
        )
        self._tokenizer = self._reader.tokenizer if self._reader else _tokenizer_of(folder)
        if not (self._reader and self._reader.takes_no_template):
            self._template.probe(self._as_text, self._source.model.model)
        adapter = self._source.adapter
        self._model = load_model(folder, adapter.folder() if adapter else None, self._loading)
        self._ends, longest = take_settings(self._model, self._tokenizer)
        self._limit = self._limit or longest

    def submit(self, batch: list[tuple[int, Request]]) -> None:
        """Queue requests for the next batches."""
        self._arrived.extend(batch)

    def wait(self, timeout: float | None) -> None:
        """Answer one batch; a batch under way is finished, whatever the timeout."""
        refused = self._admitted()
        if not refused and not self._queue:
            self._woken.wait(timeout)
        self._woken.clear()
        if self._deliver and (answers := refused or self._answered(self._next_batch())):
            self._deliver(answers)

    def wake(self) -> None:
        """Make a `wait` that has nothing to do return."""
        self._woken.set()

    def close(self) -> None:
        """Drop what is queued, and the model."""
        self._arrived.clear()
        self._queue.clear()
        self._model = self._tokenizer = self._reader = None

    def _seen(self, turns: list[Message]) -> VisionPrompt:
        """Return the prompt; the template alone sets special tokens."""
        if self._reader:
            return self._reader.prompt(turns)
        ids: list[int] = self._tokenizer.apply_chat_template(
            [{"role": turn["role"], "content": plain_text(turn["content"])} for turn in turns],
            chat_template=self._template.text,
            **self._template.options | {"add_generation_prompt": True, "return_dict": False},
        )
        return VisionPrompt(ids, {})

    def _as_text(self, turns: list[Message]) -> str:
        text: str = self._tokenizer.decode(self._seen(turns).ids)
        return text

    def _admitted(self) -> list[tuple[int, RequestOutcome]]:
        """Move what has arrived to the queue; return what cannot be answered."""
        refused: list[tuple[int, RequestOutcome]] = []
        while self._arrived:
            ticket, request = self._arrived.popleft()
            try:
                resolve_sampling(request.sampling)
                seen = self._seen(self._template.turns(request.messages))
            except RowError as error:
                failed: FailedRequest | None = FailedRequest("bad-image", str(error))
            except Exception as error:  # whatever the template raises for these messages
                failed = FailedRequest("bad-request", f"that cannot be asked: {error}")
            else:
                failed = too_long(len(seen.ids), request.sampling.max_new_tokens, self._limit)
            if failed:
                refused.append((ticket, failed))
            else:
                self._queue.append(EncodedPrompt(ticket, request, *seen))
        return refused

    def _next_batch(self) -> list[EncodedPrompt]:
        """Take the oldest prompt from the queue, and those nearest to it in length."""
        if not self._queue:
            return []
        length = len(self._queue[0].ids)
        places = sorted(
            range(len(self._queue)), key=lambda place: abs(len(self._queue[place].ids) - length)
        )
        taken = set(places[: self._batch_size])
        batch = [self._queue[place] for place in sorted(taken)]
        self._queue = [each for place, each in enumerate(self._queue) if place not in taken]
        return batch

    def _answered(self, batch: list[EncodedPrompt]) -> list[tuple[int, RequestOutcome]]:
        """Return the answers to a batch, in two halves where the memory does not hold it."""
        import torch

        if not batch:
            return []
        label = self._source.model.label
        try:
            done = generate(self._model, self._tokenizer, self._ends, label, batch)
            return [(prompt.ticket, each) for prompt, each in zip(batch, done, strict=True)]
        except torch.OutOfMemoryError as error:
            message = str(error)
        except Exception as error:  # the model is one for all: every request fails with it
            broken = FailedRequest("server-error", f"the model broke down: {error}", fatal=True)
            return [(prompt.ticket, broken) for prompt in batch]
        # Here, and not above: the error held on to what had filled the memory.
        if torch.accelerator.is_available():
            torch.accelerator.empty_cache()
        if len(batch) == 1:
            failed = FailedRequest(
                "too-long", f"the device's memory does not hold it alone: {message}"
            )
            return [(batch[0].ticket, failed)]
        self._batch_size = max(len(batch) // 2, 1)
        half = self._batch_size
        return self._answered(batch[:half]) + self._answered(batch[half:])


def _tokenizer_of(folder: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise SeqitError(f"transformers finds no tokenizer in {folder}: {error}") from error
