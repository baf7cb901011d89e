"""One batch through transformers' generate: each row draws by its own seed and ends by itself."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from seqit.llm.providers.local.chat_template import resolve_sampling
from seqit.llm.providers.local.vision import VisionPrompt, collate
from seqit.llm.request import Completion, Request

BYTES_A_CHARACTER = 4
"""So many tokens at most make one character of a text."""


class EncodedPrompt(NamedTuple):
    """A request, its prompt's token ids, and what the model takes with them (its images)."""

    ticket: int
    request: Request
    ids: list[int]
    tensors: dict[str, Any]


def generate(
    model: Any, tokenizer: Any, ends: frozenset[int], label: str, prompts: Sequence[EncodedPrompt]
) -> list[Completion]:
    """Return each prompt's completion. `ends`: tokens that end a turn; `label`: who answered.

    Raises torch.OutOfMemoryError where the batch is too much for the device.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

    width = max(len(prompt.ids) for prompt in prompts)
    ids = torch.zeros((len(prompts), width), dtype=torch.long)  # padding: masked, so any id does
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt.ids) :] = torch.tensor(prompt.ids)
        mask[row, width - len(prompt.ids) :] = 1
    requests = [prompt.request for prompt in prompts]
    drawer = Sampler(requests, model.device)
    stopper = StopTracker(requests, tokenizer, ends)
    longest = max(request.sampling.max_new_tokens for request in requests)
    with torch.inference_mode():
        model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            **collate(
                [VisionPrompt(prompt.ids, prompt.tensors) for prompt in prompts], width, model
            ),
            generation_config=GenerationConfig(
                do_sample=False, max_new_tokens=longest, pad_token_id=0
            ),
            logits_processor=LogitsProcessorList([drawer]),
            stopping_criteria=StoppingCriteriaList([stopper]),
        )
    return [
        Completion(
            cut(decode(tokenizer, stopper.made[row]), prompt.request.sampling.stop),
            stopper.reasons[row],
            len(prompt.ids),
            len(stopper.made[row]),
            label,
            [_readable(tokenizer, each) for each in drawer.places[row][: len(stopper.made[row])]],
        )
        for row, prompt in enumerate(prompts)
    ]


class Sampler:
    """A logits processor that draws: it adds noise to the logits, and the likeliest then wins.

    Noise of the Gumbel distribution makes that a draw from the softmax. It comes from each row's
    own generator, so that no answer depends on the rows beside it.
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
        # All the mass is more than 1: rounding must not cut the tail off.
        self._mass = column([each.top_p if each.top_p < 1 else 2.0 for each in settings])
        self._top_k = column([each.top_k for each in settings])
        self._most = 0 if 0 in self._top_k else int(self._top_k.max())
        self._wanted = [request.logprobs for request in requests]
        self.places: list[list[_Place]] = [[] for _ in requests]

    def __call__(self, ids: Any, logits: Any) -> Any:
        """Return what the next token is the argmax of; both logits are (rows, vocabulary)."""
        scaled = logits / self._temperature
        noisy = scaled.masked_fill(scaled < self._floor(scaled), -float("inf")) + self._noise(
            scaled
        )
        for row, wanted in enumerate(self._wanted):
            if wanted:
                chances = logits[row].log_softmax(-1)
                token = int(noisy[row].argmax())
                values, tokens = chances.topk(min(wanted, len(chances)))
                top = list(zip(tokens.tolist(), values.tolist(), strict=True))
                self.places[row].append(_Place(token, float(chances[token]), top))
        return noisy

    def _floor(self, scaled: Any) -> Any:
        """Return for each row the least logit that top-k, then top-p, leave in."""
        import torch

        size = scaled.shape[1]
        values = scaled.topk(min(self._most or size, size)).values
        ranks = torch.arange(values.shape[1], device=values.device)
        beyond = (ranks >= self._top_k) & (self._top_k > 0)
        values = values.masked_fill(beyond, -float("inf"))
        chances = values.softmax(-1)
        kept = ~beyond & (chances.cumsum(-1) - chances < self._mass)
        return values.masked_fill(~kept, float("inf")).amin(-1, keepdim=True)

    def _noise(self, scaled: Any) -> Any:
        import torch

        waits = torch.ones_like(scaled)  # whose logarithm is 0: a greedy row has no noise
        for row, generator in enumerate(self._generators):
            if generator:
                waits[row].exponential_(generator=generator)
        return -waits.log()


class StopTracker:
    """A stopping criterion that keeps of each row what it said until it ended, and why it did."""

    def __init__(self, requests: Sequence[Request], tokenizer: Any, ends: frozenset[int]) -> None:
        self._samplings = [request.sampling for request in requests]
        self._tokenizer = tokenizer
        self._ends = ends
        self.made: list[list[int]] = [[] for _ in requests]
        self.reasons = [""] * len(requests)

    def __call__(self, ids: Any, scores: Any) -> Any:
        """Return which rows have ended; the last of the ids (rows, length) are new."""
        import torch

        for row, token in enumerate(ids[:, -1].tolist()):
            if self.reasons[row]:
                continue
            made, sampling = self.made[row], self._samplings[row]
            made.append(token)
            if token in self._ends or self._said(made, sampling.stop):
                self.reasons[row] = "stop"
            elif len(made) >= sampling.max_new_tokens:
                self.reasons[row] = "length"
        return torch.tensor([bool(reason) for reason in self.reasons], device=ids.device)

    def _said(self, made: list[int], stop: tuple[str, ...]) -> bool:
        """Tell whether a stop string stands at the end; earlier ones were seen earlier."""
        if not stop:
            return False
        tail = decode(self._tokenizer, made[-BYTES_A_CHARACTER * (max(map(len, stop)) + 1) :])
        return any(each in tail for each in stop)


class _Place(NamedTuple):
    """One token of an answer, with its log probability and the likeliest in its place."""

    token: int
    logprob: float
    top: list[tuple[int, float]]  # the likeliest first


def decode(tokenizer: Any, tokens: list[int]) -> str:
    """Return the text of tokens, without the special ones, to the letter."""
    text: str = tokenizer.decode(
        tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text


def cut(text: str, stop: tuple[str, ...]) -> str:
    """Return the text up to the first stop string, without it."""
    return text[: min((text.index(each) for each in stop if each in text), default=len(text))]


def _readable(tokenizer: Any, place: _Place) -> dict[str, Any]:
    return {
        "token": tokenizer.decode([place.token]),
        "logprob": place.logprob,
        # The likeliest last: where two tokens have one text, its number stays.
        "top": {tokenizer.decode([token]): value for token, value in reversed(place.top)},
    }
