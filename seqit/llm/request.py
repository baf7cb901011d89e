"""What every backend is asked and answers: one request type, one completion type."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict


class TextPart(TypedDict):
    type: Literal["text"]
    text: str


class ImagePart(TypedDict):
    type: Literal["image"]
    image: str  # a path, an http(s) URL or a data URL


class Message(TypedDict):
    """One turn of a chat; a system message stands first or nowhere."""

    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart | ImagePart]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer is drawn; None leaves a setting to the backend's own default.

    The defaults are the paper's (arXiv 2403.07794); temperature 0 is greedy.
    """

    temperature: float | None = 1.0
    top_p: float | None = 0.9
    top_k: int | None = None
    max_new_tokens: int = 2048
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model.

    The first five fields decide the answer and are the cache's key, together with the backend's
    identity. The others say who asks, so that people can find it again.
    """

    messages: list[Message]
    sampling: Sampling
    seed: int
    schema: dict[str, Any] | None = None  # JSON Schema of the answer, where the backend honours it
    logprobs: int = 0  # alternatives wanted at each token

    record_id: str = ""
    iteration: int = 0
    stage: str = ""
    attempt: int = 0  # 0 for the first time this stage asks


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model said. Whether it is an answer depends on `finish_reason` and the reader."""

    text: str
    finish_reason: str  # "stop"; "length": cut off at the token limit; "content_filter": refused
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str = ""  # as the server names it, with its revision where it tells one
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    """One item a token: {"token", "logprob", "top": {token: logprob}}; empty unless asked."""


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """Why there is no completion; never an answer, never cached.

    Reasons: rate-limited, server-error, timeout, connection, malformed-response, wrong-model,
    too-long (the prompt), refused (content filter), bad-request, bad-image, no-recording, budget,
    config.
    """

    reason: str
    message: str
    retryable: bool = False  # the same request may well succeed later
    overloaded: bool = False  # a sign to ask for less at once (429, 503)
    retry_after: float | None = None  # seconds, as the server said
    fatal: bool = False  # every further request would fail alike (a wrong key): stop the run
    evidence: dict[str, Any] = field(default_factory=dict)


RequestOutcome = Completion | FailedRequest
