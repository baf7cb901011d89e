"""The types that every backend takes and delivers: request, completion, failed request."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict


class TextPart(TypedDict):
    type: Literal["text"]
    text: str


class ImagePart(TypedDict):
    type: Literal["image"]
    image: str  # a path, an http(s) URL or a data URL


class Message(TypedDict):
    """One turn of a chat; only the first may be a system message."""

    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart | ImagePart]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling settings; None leaves a setting to the backend's default.

    The defaults are the paper's (arXiv 2403.07794); temperature 0 is greedy.
    """

    temperature: float | None = 1.0
    top_p: float | None = 0.9
    top_k: int | None = None
    max_new_tokens: int = 2048
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a model.

    The first five fields decide the completion; with the backend's identity they are the cache
    key. The others name the record and stage, so that people can find the request again.
    """

    messages: list[Message]
    sampling: Sampling
    seed: int
    schema: dict[str, Any] | None = None  # JSON Schema of the answer, if the backend supports it
    logprobs: int = 0  # number of alternatives to return for each token

    record_id: str = ""
    iteration: int = 0
    stage: str = ""
    attempt: int = 0  # 0 for a stage's first request


@dataclass(frozen=True, slots=True)
class Completion:
    """The model's text. Whether it is usable depends on `finish_reason` and the parser."""

    text: str
    finish_reason: str  # "stop"; "length": cut off at the token limit; "content_filter": refused
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str = ""  # as the server names it, with its revision if it returns one
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    """One item per token: {"token", "logprob", "top": {token: logprob}}; empty if not requested."""


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """Why there is no completion; never cached.

    Reasons: rate-limited, server-error, timeout, connection, malformed-response, wrong-model,
    too-long (the prompt), refused (content filter), bad-request, bad-image, no-recording, budget,
    config.
    """

    reason: str
    message: str
    retryable: bool = False  # the same request may succeed later
    overloaded: bool = False  # the server asks for lower concurrency (429, 503)
    retry_after: float | None = None  # seconds, from the server's header
    fatal: bool = False  # every further request would fail too (a wrong key): stop the run
    evidence: dict[str, Any] = field(default_factory=dict)


RequestOutcome = Completion | FailedRequest
