"""What a run may use up: estimates of requests before they are answered, and the limits."""

from collections import defaultdict
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from seqit.llm.request import Completion, Request
from seqit.llm.scheduling.prices import Price, no_price

CHARACTERS_A_TOKEN = 4.0  # of English text, as a first guess
TOKENS_AN_IMAGE = 1000  # servers count from some 250 to 1,500
FIRST_COMPLETION = 400  # tokens: the paper's outputs have about 300 to 430 on average


class TokenCount(NamedTuple):
    """How many tokens, of prompts and of completions; whole, so that sums stay exact."""

    prompt: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def plus(self, other: "TokenCount") -> "TokenCount":
        """Return both together."""
        return TokenCount(self.prompt + other.prompt, self.completion + other.completion)

    def minus(self, other: "TokenCount") -> "TokenCount":
        """Return what is left without the other."""
        return TokenCount(self.prompt - other.prompt, self.completion - other.completion)


@dataclass(slots=True)
class _Mean:
    """Two sums over the answers to one stage's requests."""

    count: int = 0
    tokens: int = 0


class Estimator:
    """Estimates the tokens of a request; learns from each that is answered.

    Characters a token are learnt over all requests, completion tokens by stage.
    """

    def __init__(self) -> None:
        self._characters = self._prompt_tokens = 0
        self._completions: dict[str, _Mean] = defaultdict(_Mean)

    def estimate(self, request: Request) -> TokenCount:
        """Return what a request is expected to take."""
        learnt = self._characters > 0
        a_token = self._characters / self._prompt_tokens if learnt else CHARACTERS_A_TOKEN
        characters, images = _size(request)
        mean = self._completions.get(request.stage)
        completion = ceil(mean.tokens / mean.count) if mean else FIRST_COMPLETION
        return TokenCount(
            ceil(characters / a_token) + images * TOKENS_AN_IMAGE,
            min(completion, request.sampling.max_new_tokens),
        )

    def used(self, request: Request, completion: Completion) -> TokenCount:
        """Return what a request took: as the server counted, or as estimated where it did not."""
        if completion.prompt_tokens:
            return TokenCount(completion.prompt_tokens, completion.completion_tokens)
        text = ceil(len(completion.text) / CHARACTERS_A_TOKEN)
        return TokenCount(self.estimate(request).prompt, completion.completion_tokens or text)

    def learn(self, request: Request, completion: Completion) -> None:
        """Take a completion into the means."""
        if not completion.prompt_tokens:
            return
        characters, images = _size(request)
        if not images:
            self._characters += characters
            self._prompt_tokens += completion.prompt_tokens
        mean = self._completions[request.stage]
        mean.count += 1
        mean.tokens += completion.completion_tokens


class Budget:
    """The limits of one run, and what it has used of them; what comes from the cache is free.

    max_cost: US dollars. max_tokens: of prompts and completions together. None: no limit. What is
    in flight counts as estimated, so a limit is passed by no more than the estimates err.
    Raises UsageError where there is a limit on the cost and no price.
    """

    def __init__(
        self,
        max_cost: float | None = None,
        max_tokens: int | None = None,
        price: Price | None = None,
        model: str = "the model",
    ) -> None:
        if max_cost is not None and price is None:
            raise no_price(model)
        self._max_cost = max_cost
        self._max_tokens = max_tokens
        self._price = price
        self._estimator = Estimator()
        self.estimate = self._estimator.estimate
        self.spent = TokenCount()
        self.answers = 0

    @property
    def cost(self) -> float | None:
        """US dollars spent; None where the model has no price."""
        return self._price.cost(*self.spent) if self._price else None

    def spend(self, request: Request, completion: Completion) -> TokenCount:
        """Count a completion of this run, and return what it took."""
        used = self._estimator.used(request, completion)
        self._estimator.learn(request, completion)
        self.spent = self.spent.plus(used)
        self.answers += 1
        return used

    def may_send(self, estimate: TokenCount, in_flight: TokenCount) -> bool:
        """Say whether a request so large stays within the limits, if all that is in flight ends.

        Where it does not and something is in flight, what that takes in truth may make room.
        """
        expected = self.spent.plus(in_flight).plus(estimate)
        if self._max_tokens is not None and expected.total > self._max_tokens:
            return False
        if self._max_cost is None or self._price is None:
            return True
        return self._price.cost(*expected) <= self._max_cost

    def reason(self, estimate: TokenCount) -> str:
        """Return the sentence that says which limit a request so large would pass; else empty."""
        if self.may_send(estimate, TokenCount()):
            return ""
        after = f"after {self.answers:,} completion{'' if self.answers == 1 else 's'}"
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


def _size(request: Request) -> tuple[int, int]:
    """Return how many characters and how many images a request shows the model."""
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
