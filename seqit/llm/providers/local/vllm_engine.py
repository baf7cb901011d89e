"""vLLM's own classes at work: requests and answers in seqit's types, token by token between."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.images import as_data_url
from seqit.llm.providers.local.chat_template import ChatTemplate, resolve_sampling, too_long
from seqit.llm.providers.local.model_files import ModelSource, silence_libraries
from seqit.llm.providers.local.vllm_guard import start_guard
from seqit.llm.request import Completion, FailedRequest, Message, Request, RequestOutcome

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM makes room for."""
LONGEST_SIDE = 2048
"""Pixels of a local picture; what a model takes of it is its own processor's business."""


class VLLMEngine:
    """A vLLM engine with one model; takes requests at any time.

    at_once: how many it computes together. inside: the requests that it has, by ticket.
    """

    def __init__(
        self, source: ModelSource, template: ChatTemplate, settings: dict[str, Any]
    ) -> None:
        model, adapter = source.model, source.adapter
        silence_libraries()
        # A copy of this process would hold its open files, and its pipes would never end.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        from vllm import LLM
        from vllm.lora.request import LoRARequest

        pins = {"revision": model.revision, "tokenizer_revision": model.revision}
        if not model.is_folder:
            settings = settings | pins
        self._lora: LoRARequest | None = None
        if adapter:
            folder = Path(adapter.folder())
            settings = settings | {"enable_lora": True, "max_lora_rank": _rank(folder)}
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
        self.inside: dict[int, Request] = {}
        self._label = model.label
        self._template = template
        self._limit: int = self._llm.model_config.max_model_len
        self.at_once: int = self._llm.llm_engine.vllm_config.scheduler_config.max_num_seqs
        try:
            template.probe(self._as_text, model.model)
        except SeqitError:
            self.close()
            raise

    def add(self, ticket: int, request: Request) -> FailedRequest | None:
        """Take a request into the batch, or return why it cannot be taken."""
        try:
            prompt = self._render(self._template.turns(request.messages))
            new = request.sampling.max_new_tokens
            if failed := too_long(len(prompt["prompt_token_ids"]), new, self._limit):
                return failed
            self._llm.llm_engine.add_request(
                str(ticket), prompt, _params(request), lora_request=self._lora
            )
        except Exception as error:  # a template, a picture, a schema: whatever is wrong with one
            return FailedRequest("bad-request", f"vLLM cannot take the request: {error}")
        self.inside[ticket] = request
        return None

    def step(self) -> list[tuple[int, RequestOutcome]]:
        """Compute one token for each in the batch; return those that are done."""
        done = [output for output in self._llm.llm_engine.step() if output.finished]
        return [(int(output.request_id), self._answer(output)) for output in done]

    def drop(self) -> list[int]:
        """Forget the requests in the batch, and return their tickets."""
        tickets = list(self.inside)
        self.inside.clear()
        return tickets

    def close(self) -> None:
        """End the engine's processes."""
        self._llm.llm_engine.engine_core.shutdown()
        self._guard.terminate()
        self._guard.wait()

    def _render(self, turns: list[Message]) -> Any:
        """Return the prompt's token ids, and its pictures where there are some.

        The template alone sets special tokens: the tokenizer adds no second BOS. No length is
        refused here, so that the true one can be told.
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

    def _answer(self, output: Any) -> RequestOutcome:
        request = self.inside.pop(int(output.request_id))
        (made,) = output.outputs
        if made.finish_reason not in ("stop", "length"):
            return FailedRequest(
                "server-error", f"vLLM gave up: {made.finish_reason}", retryable=True
            )
        return Completion(
            made.text,
            made.finish_reason,
            len(output.prompt_token_ids),
            len(made.token_ids),
            self._label,
            _logprobs(made, request.logprobs),
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
    """Return a turn's content as vLLM takes it, with pictures by their URL."""
    if isinstance(turn["content"], str):
        return turn["content"]
    return [
        dict(part)
        if part["type"] == "text"
        else {"type": "image_url", "image_url": {"url": as_data_url(part["image"], LONGEST_SIDE)}}
        for part in turn["content"]
    ]


def _logprobs(made: Any, most: int) -> list[dict[str, Any]]:
    """Return each token with its log probability and those of the likeliest in its place."""
    return [
        {
            "token": place[token].decoded_token,
            "logprob": place[token].logprob,
            # The likeliest last: where two tokens have one text, its number stays.
            "top": {
                each.decoded_token: each.logprob
                for each in sorted(place.values(), key=lambda each: -each.rank)
                if each.rank <= most
            },
        }
        for token, place in zip(made.token_ids, made.logprobs or (), strict=False)
    ]


def _rank(adapter: Path) -> int:
    """Return the room that an adapter needs; raises SeqitError where vLLM has none so large."""
    rank = json.loads((adapter / "adapter_config.json").read_text())["r"]
    for room in LORA_RANKS:
        if rank <= room:
            return room
    raise SeqitError(f"the adapter {adapter} has rank {rank}; vLLM takes at most {LORA_RANKS[-1]}")
