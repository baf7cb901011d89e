"""The limits of a run on tokens and cost, and token estimates of requests before they are sent."""

from collections import defaultdict
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from seqit.llm.request import Completion, Request
from seqit.llm.scheduling.prices import Price, missing_price_error

CHARACTERS_PER_TOKEN = 4.0  # of English text, as a first guess
TOKENS_PER_IMAGE = 1000  # servers count between about 250 and 1,500
DEFAULT_COMPLETION_TOKENS = 400  # the paper's outputs have about 300 to 430 on average


class TokenCount(NamedTuple):
    """Tokens of prompts and of completions; integers, so that sums stay exact."""

    prompt: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def plus(self, other: "TokenCount") -> "TokenCount":
        """Return the sum of both."""
        return TokenCount(self.prompt + other.prompt, self.completion + other.completion)

    def minus(self, other: "TokenCount") -> "TokenCount":
        """Return the difference to the other."""
        return TokenCount(self.prompt - other.prompt, self.completion - other.completion)


@dataclass(slots=True)
class _StageTotals:
    """Sums over the completions of one stage."""

    count: int = 0
    tokens: int = 0


class Estimator:
    """Estimates the tokens of a request from the completions received so far.

    Characters per token are averaged over all requests, completion tokens by stage.
    """

    def __init__(self) -> None:
        self._prompt_characters = self._prompt_tokens = 0
        self._completions: dict[str, _StageTotals] = defaultdict(_StageTotals)

    def estimate(self, request: Request) -> TokenCount:
        """Return the tokens that a request is expected to use."""
        has_counts = self._prompt_characters > 0
        characters_per_token = (
            self._prompt_characters / self._prompt_tokens if has_counts else CHARACTERS_PER_TOKEN
        )
        characters, images = _prompt_size(request)
        totals = self._completions.get(request.stage)
        completion = ceil(totals.tokens / totals.count) if totals else DEFAULT_COMPLETION_TOKENS
        return TokenCount(
            ceil(characters / characters_per_token) + images * TOKENS_PER_IMAGE,
            min(completion, request.sampling.max_new_tokens),
        )

    def used(self, request: Request, completion: Completion) -> TokenCount:
        """Return the tokens that a request used: the server's count, or an estimate without one."""
        if completion.prompt_tokens:
            return TokenCount(completion.prompt_tokens, completion.completion_tokens)
        text = ceil(len(completion.text) / CHARACTERS_PER_TOKEN)
        return TokenCount(self.estimate(request).prompt, completion.completion_tokens or text)

    def update(self, request: Request, completion: Completion) -> None:
        """Add a completion to the averages."""
        if not completion.prompt_tokens:
            return
        characters, images = _prompt_size(request)
        if not images:
            self._prompt_characters += characters
            self._prompt_tokens += completion.prompt_tokens
        totals = self._completions[request.stage]
        totals.count += 1
        totals.tokens += completion.completion_tokens


class Budget:
    """The limits of one run and what it has spent; cached completions are free.

    max_cost: US dollars. max_tokens: of prompts and completions together. None: no limit. Requests
    in flight count as estimated, so a limit is exceeded by at most the error of the estimates.
    Raises UsageError if the cost is limited and the model has no price.
    """

    def __init__(
        self,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        price: Price | None = None,
        model: str = "the model",
    ) -> None:
        if max_cost is not None and price is None:
            raise missing_price_error(model)
        self._max_cost = max_cost
        self._max_tokens = max_tokens
        self._price = price
        self._estimator = Estimator()
        self.estimate = self._estimator.estimate
        self.spent = TokenCount()
        self.completions = 0

    @property
    def cost(self) -> float | None:
        """US dollars spent; None if the model has no price."""
        return self._price.cost(*self.spent) if self._price else None

    def spend(self, request: Request, completion: Completion) -> TokenCount:
        """Count a completion of this run and return the tokens that it used."""
        used = self._estimator.used(request, completion)
        self._estimator.update(request, completion)
        self.spent = self.spent.plus(used)
        self.completions += 1
        return used

    def may_send(self, estimate: TokenCount, in_flight: TokenCount) -> bool:
        """Return whether a request of this size stays within the limits after those in flight.

        If it does not, the requests in flight may still use less than was estimated.
        """
        expected = self.spent.plus(in_flight).plus(estimate)
        if self._max_tokens is not None and expected.total > self._max_tokens:
            return False
        if self._max_cost is None or self._price is None:
            return True
        return self._price.cost(*expected) <= self._max_cost

    def exceeded_message(self, estimate: TokenCount) -> str:
        """Return which limit a request of this size would exceed, as a sentence; else empty."""
        if self.may_send(estimate, TokenCount()):
            return ""
        after = f"after {self.completions:,} completion{'' if self.completions == 1 else 's'}"
        if self._max_tokens is not None and (self.spent.plus(estimate)).total > self._max_tokens:
            return (
                f"the limit of {self._max_tokens:,} tokens is reached: {self.spent.total:,} "
                f"are spent {after}, and the next request takes about {estimate.total:,}"
            )
        assert self._price is not None and self._max_cost is not None
        return (
            f"the limit of {_dollars(self._max_cost)} is reached: "
            f"{_dollars(self._price.cost(*self.spent))} are spent {after}, and the next request "
            f"costs about {_dollars(self._price.cost(*estimate))}"
        )


def _dollars(amount: float) -> str:
    return f"US$ {amount:,.2f}" if amount >= 1 else f"US$ {amount:.4f}"


def _prompt_size(request: Request) -> tuple[int, int]:
    """Return the number of characters and of images in a request's messages."""
    characters = images = 0
    for message in request.messages:
        content = message["content"]
        if isinstance(content, str):
            characters += len(content)
            continue
        for part in content:
            if part["type"] == "text":
                characters += len(part["text"])
            else:
                images += 1
    return characters, images
