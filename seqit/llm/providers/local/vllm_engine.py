"""Wraps vLLM's engine: takes requests and returns outcomes in seqit's types."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.images import as_data_url
from seqit.llm.providers.local.chat_template import ChatTemplate, check_length, resolve_sampling
from seqit.llm.providers.local.libraries import silence_libraries
from seqit.llm.providers.local.model_files import ModelSource
from seqit.llm.providers.local.vllm_guard import start_guard
from seqit.llm.request import Completion, FailedRequest, Message, Request, RequestOutcome

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values of max_lora_rank that vLLM supports."""
MAX_IMAGE_SIDE = 2048
"""Pixels to which local images are scaled down; the model's processor may scale further."""


class VLLMEngine:
    """A vLLM engine with one model; requests can be added at any time.

    max_num_seqs: how many requests it runs at once. running: its requests by ticket.
    """

    def __init__(
        self, source: ModelSource, template: ChatTemplate, settings: dict[str, Any]
    ) -> None:
        model, adapter = source.model, source.adapter
        silence_libraries()
        # Not fork: a forked process would keep this one's files open, so pipes would never close.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        pins = {"revision": model.revision, "tokenizer_revision": model.revision}
        if not model.is_folder:
            settings = settings | pins
        self._lora: LoRARequest | None = None
        if adapter:
            folder = Path(adapter.folder())
            settings = settings | {"enable_lora": True, "max_lora_rank": _max_lora_rank(folder)}
            self._lora = LoRARequest("adapter", 1, str(folder))
        self._guard = start_guard()
        try:
            self._llm = LLM(
                model.model,
                enable_prefix_caching=True,
                use_tqdm_on_load=sys.stderr.isatty(),
                **settings,
            )
        except Exception as error:
            self._guard.terminate()
            raise SeqitError(f"vLLM cannot load {model.model}: {error}") from error
        self.running: dict[int, Request] = {}
        self._label = model.label
        self._template = template
        self._limit: int = self._llm.model_config.max_model_len
        self.max_num_seqs: int = self._llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
        try:
            template.probe(self._as_text, model.model)
        except SeqitError:
            self.close()
            raise

    def add(self, ticket: int, request: Request) -> FailedRequest | None:
        """Add a request to the engine; returns the failure if it is invalid."""
        try:
            prompt = self._render(self._template.adapt_messages(request.messages))
            max_new_tokens = request.sampling.max_new_tokens
            if failed := check_length(len(prompt["prompt_token_ids"]), max_new_tokens, self._limit):
                return failed
            self._llm.llm_engine.add_request(
                str(ticket), prompt, _params(request), lora_request=self._lora
            )
        except Exception as error:  # an invalid chat, image, schema or setting
            return FailedRequest("bad-request", f"vLLM cannot take the request: {error}")
        self.running[ticket] = request
        return None

    def step(self) -> list[tuple[int, RequestOutcome]]:
        """Compute one token for each request; returns the outcomes of those that finished."""
        done = [output for output in self._llm.llm_engine.step() if output.finished]
        return [(int(output.request_id), self._parse_output(output)) for output in done]

    def drop(self) -> list[int]:
        """Forget the running requests; returns their tickets."""
        tickets = list(self.running)
        self.running.clear()
        return tickets

    def close(self) -> None:
        """End the engine's processes."""
        self._llm.llm_engine.engine_core.shutdown()
        self._guard.terminate()
        self._guard.wait()

    def _render(self, turns: list[Message]) -> Any:
        """Return the prompt's token ids, with its images if any.

        Special tokens come only from the template: the tokenizer adds no second BOS. The length is
        not limited here, so that the failure can report it.
        """
        from vllm.renderers import ChatParams
        from vllm.utils.mistral import is_mistral_tokenizer

        renderer = self._llm.renderer
        variables = self._template.options | {
            "add_generation_prompt": True,
            "tokenize": is_mistral_tokenizer(renderer.tokenizer),
        }
        _, (prompt,) = renderer.render_chat(
            [[{"role": turn["role"], "content": _content(turn)} for turn in turns]],
            ChatParams(chat_template=self._template.text, chat_template_kwargs=variables),
            replace(
                renderer.default_chat_tok_params, add_special_tokens=False, max_total_tokens=None
            ),
        )
        return prompt

    def _as_text(self, turns: list[Message]) -> str:
        text: str = self._llm.get_tokenizer().decode(self._render(turns)["prompt_token_ids"])
        return text

    def _parse_output(self, output: Any) -> RequestOutcome:
        request = self.running.pop(int(output.request_id))
        (generated,) = output.outputs
        if generated.finish_reason not in ("stop", "length"):
            return FailedRequest(
                "server-error", f"vLLM gave up: {generated.finish_reason}", retryable=True
            )
        return Completion(
            generated.text,
            generated.finish_reason,
            len(output.prompt_token_ids),
            len(generated.token_ids),
            self._label,
            _logprobs(generated, request.logprobs),
        )


def _params(request: Request) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    temperature, top_p, top_k = resolve_sampling(request.sampling)
    return SamplingParams(
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        max_tokens=request.sampling.max_new_tokens,
        stop=list(request.sampling.stop),
        seed=request.seed,
        logprobs=request.logprobs or None,
        structured_outputs=StructuredOutputsParams(json=request.schema) if request.schema else None,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _content(turn: Message) -> str | list[dict[str, Any]]:
    """Return a turn's content in vLLM's form, with images as URLs."""
    if isinstance(turn["content"], str):
        return turn["content"]
    return [
        dict(part)
        if part["type"] == "text"
        else {"type": "image_url", "image_url": {"url": as_data_url(part["image"], MAX_IMAGE_SIDE)}}
        for part in turn["content"]
    ]


def _logprobs(generated: Any, limit: int) -> list[dict[str, Any]]:
    """Return each token with its log probability and those of the most likely alternatives."""
    return [
        {
            "token": alternatives[token].decoded_token,
            "logprob": alternatives[token].logprob,
            # The most likely last, so that it stays if two tokens have the same text.
            "top": {
                each.decoded_token: each.logprob
                for each in sorted(alternatives.values(), key=lambda each: -each.rank)
                if each.rank <= limit
            },
        }
        for token, alternatives in zip(generated.token_ids, generated.logprobs or (), strict=False)
    ]


def _max_lora_rank(adapter: Path) -> int:
    """Return the smallest supported rank for an adapter; raises SeqitError if it is too large."""
    rank = json.loads((adapter / "adapter_config.json").read_text())["r"]
    for supported_rank in LORA_RANKS:
        if rank <= supported_rank:
            return supported_rank
    raise SeqitError(f"the adapter {adapter} has rank {rank}; vLLM supports up to {LORA_RANKS[-1]}")
