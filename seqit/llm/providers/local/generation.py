"""Generates a batch with transformers: each row has its own seed and stops independently."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seqit.llm.providers.local.chat_template import resolve_sampling
from seqit.llm.providers.local.vision import VisionPrompt, collate
from seqit.llm.request import Completion, Request

MAX_TOKENS_PER_CHARACTER = 4
"""A character has at most 4 bytes in UTF-8, and a token has at least one byte."""


class EncodedPrompt(NamedTuple):
    """A request, its prompt's token ids, and further tensors of the model's input (images)."""

    ticket: int
    request: Request
    ids: list[int]
    tensors: dict[str, Any]


def generate(
    model: Any, tokenizer: Any, ends: frozenset[int], label: str, prompts: Sequence[EncodedPrompt]
) -> list[Completion]:
    """Return each prompt's completion.

    ends: tokens that end a turn. label: the model's name for the completions. Raises
    torch.OutOfMemoryError if the batch does not fit into the device's memory.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

    width = max(len(prompt.ids) for prompt in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)  # padding is masked: any id
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
        mask[row, width - len(prompt.ids) :] = 1
    requests = [prompt.request for prompt in prompts]
    sampler = Sampler(requests, model.device)
    stop_tracker = StopTracker(requests, tokenizer, ends)
    max_new_tokens = max(request.sampling.max_new_tokens for request in requests)
    with torch.inference_mode():
        model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            **collate(
                [VisionPrompt(prompt.ids, prompt.tensors) for prompt in prompts], width, model
            ),
            generation_config=GenerationConfig(
                do_sample=False, max_new_tokens=max_new_tokens, pad_token_id=0
            ),
            logits_processor=LogitsProcessorList([sampler]),
            stopping_criteria=StoppingCriteriaList([stop_tracker]),
        )
    return [
        Completion(
            cut_at_stop(decode(tokenizer, stop_tracker.tokens[row]), prompt.request.sampling.stop),
            stop_tracker.reasons[row],
            len(prompt.ids),
            len(stop_tracker.tokens[row]),
            label,
            [
                _decode_logprobs(tokenizer, each)
                for each in sampler.logprobs[row][: len(stop_tracker.tokens[row])]
            ],
        )
        for row, prompt in enumerate(prompts)
    ]


class Sampler:
    """A logits processor that samples: it adds noise to the logits before the argmax.

    With Gumbel noise the argmax is a sample of the softmax. Each row has its own generator, so
    that its completion does not depend on the other rows of the batch.
    """

    def __init__(self, requests: Sequence[Request], device: Any) -> None:
        import torch

        settings = [resolve_sampling(request.sampling) for request in requests]
        self._generators = [
            torch.Generator(device).manual_seed(request.seed) if each.temperature > 0 else None
            for request, each in zip(requests, settings, strict=True)
        ]

        def column(values: list[Any]) -> Any:
            return torch.tensor(values, device=device).unsqueeze(1)

        self._temperature = column([each.temperature or 1.0 for each in settings])
        # 2.0 rather than 1: rounding must not cut off the tail.
        self._top_p = column([each.top_p if each.top_p < 1 else 2.0 for each in settings])
        self._top_k = column([each.top_k for each in settings])
        self._max_top_k = 0 if 0 in self._top_k else int(self._top_k.max())
        self._num_logprobs = [request.logprobs for request in requests]
        self.logprobs: list[list[_TokenLogprobs]] = [[] for _ in requests]

    def __call__(self, ids: Any, logits: Any) -> Any:
        """Return logits whose argmax is the next token; both are of shape (rows, vocabulary)."""
        scaled = logits / self._temperature
        noisy = scaled.masked_fill(scaled < self._min_logit(scaled), -float("inf")) + self._noise(
            scaled
        )
        for row, num_logprobs in enumerate(self._num_logprobs):
            if num_logprobs:
                logprobs = logits[row].log_softmax(-1)
                token = int(noisy[row].argmax())
                values, tokens = logprobs.topk(min(num_logprobs, len(logprobs)))
                top = list(zip(tokens.tolist(), values.tolist(), strict=True))
                self.logprobs[row].append(_TokenLogprobs(token, float(logprobs[token]), top))
        return noisy

    def _min_logit(self, scaled: Any) -> Any:
        """Return for each row the smallest logit that top-k and then top-p keep."""
        import torch

        size = scaled.shape[1]
        values = scaled.topk(min(self._max_top_k or size, size)).values
        ranks = torch.arange(values.shape[1], device=values.device)
        outside = (ranks >= self._top_k) & (self._top_k > 0)
        values = values.masked_fill(outside, -float("inf"))
        probabilities = values.softmax(-1)
        kept = ~outside & (probabilities.cumsum(-1) - probabilities < self._top_p)
        return values.masked_fill(~kept, float("inf")).amin(-1, keepdim=True)

    def _noise(self, scaled: Any) -> Any:
        import torch

        exponentials = torch.ones_like(scaled)  # log 1 is 0: no noise in a greedy row
        for row, generator in enumerate(self._generators):
            if generator:
                exponentials[row].exponential_(generator=generator)
        return -exponentials.log()


class StopTracker:
    """A stopping criterion that stores each row's tokens until it ends, and its finish reason."""

    def __init__(self, requests: Sequence[Request], tokenizer: Any, ends: frozenset[int]) -> None:
        self._samplings = [request.sampling for request in requests]
        self._tokenizer = tokenizer
        self._ends = ends
        self.tokens: list[list[int]] = [[] for _ in requests]
        self.reasons = [""] * len(requests)

    def __call__(self, ids: Any, scores: Any) -> Any:
        """Return which rows have ended; the last column of the ids (rows, length) is new."""
        import torch

        for row, token in enumerate(ids[:, -1].tolist()):
            if self.reasons[row]:
                continue
            tokens, sampling = self.tokens[row], self._samplings[row]
            tokens.append(token)
            if token in self._ends or self._has_stop_string(tokens, sampling.stop):
                self.reasons[row] = "stop"
            elif len(tokens) >= sampling.max_new_tokens:
                self.reasons[row] = "length"
        return torch.tensor([bool(reason) for reason in self.reasons], device=ids.device)

    def _has_stop_string(self, tokens: list[int], stop: tuple[str, ...]) -> bool:
        """Return whether the last token completes a stop string."""
        if not stop:
            return False
        tail = decode(
            self._tokenizer, tokens[-MAX_TOKENS_PER_CHARACTER * (max(map(len, stop)) + 1) :]
        )
        return any(each in tail for each in stop)


class _TokenLogprobs(NamedTuple):
    """One token of a completion, its log probability, and the most likely alternatives."""

    token: int
    logprob: float
    top: list[tuple[int, float]]  # most likely first


def decode(tokenizer: Any, tokens: list[int]) -> str:
    """Return the text of tokens without the special ones, spaces unchanged."""
    text: str = tokenizer.decode(
        tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text


def cut_at_stop(text: str, stop: tuple[str, ...]) -> str:
    """Return the text up to the first stop string, without it."""
    return text[: min((text.index(each) for each in stop if each in text), default=len(text))]


def _decode_logprobs(tokenizer: Any, entry: _TokenLogprobs) -> dict[str, Any]:
    return {
        "token": tokenizer.decode([entry.token]),
        "logprob": entry.logprob,
        # The most likely last, so that it stays if two tokens have the same text.
        "top": {tokenizer.decode([token]): value for token, value in reversed(entry.top)},
    }
