"""OpenAI's chat completions: builds the body of a request and parses the response.

Source: https://platform.openai.com/docs/api-reference/chat, and the responses of vLLM, Ollama,
llama.cpp, Mistral, DeepSeek and OpenRouter.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from seqit.errors import UsageError
from seqit.llm.providers.openai.errors import ErrorBody, failure_from_status, parse_error_body
from seqit.llm.request import Completion, FailedRequest, Message, Request, RequestOutcome
from seqit.records.validation import describe, shorten

_RESERVED = ("model", "messages", "stream", "n")

_FINISH_REASONS = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "length": "length",
    "model_length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
}
"""Known finish reasons. With any other (abort, error, none) the text may be incomplete."""

_REVISION = re.compile(r"[-@:](?:latest|(?:v|r|rev)?\d[\d.:v-]*)")
"""What a server may append to the requested model name: a date, a version, `latest`."""


def check_extra_body(extra: Mapping[str, Any]) -> None:
    """Raise UsageError if `extra` sets a key that seqit sets."""
    for key in _RESERVED:
        if key in extra:
            raise UsageError(f"--extra-body cannot set {key!r}: seqit sets it")


def chat_body(
    request: Request,
    model: str,
    *,
    image_url: Callable[[str], str],
    extra: Mapping[str, Any],
    structured: bool = True,
    limit_name: str = "max_tokens",
) -> dict[str, Any]:
    """Return the body of a chat completion request.

    `image_url` converts a record's image to a data URL. `extra` is merged last, like the official
    client's extra_body; a null in it removes the key. `limit_name` is the server's name for the
    limit of new tokens. Sampling settings that are None are left to the server.
    """
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(request.messages, image_url),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,  # not OpenAI's, but vLLM's and others'
        limit_name: sampling.max_new_tokens,
        "stop": list(sampling.stop) or None,
        "seed": request.seed,
    }
    if request.logprobs:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    if request.schema and structured:
        json_schema = {"name": "answer", "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": json_schema}
    body.update(extra)
    return {key: value for key, value in body.items() if value is not None}


def has_images(messages: list[Message]) -> bool:
    """Return whether a chat has images, which take time to read."""
    return any(not isinstance(message["content"], str) for message in messages)


def _messages(messages: list[Message], image_url: Callable[[str], str]) -> list[Any]:
    if not has_images(messages):
        return messages
    converted: list[Any] = []
    for message in messages:
        content: Any = message["content"]
        if not isinstance(content, str):
            content = [
                {"type": "image_url", "image_url": {"url": image_url(part["image"])}}
                if part["type"] == "image"
                else part
                for part in content
            ]
        converted.append({"role": message["role"], "content": content})
    return converted


def parse_completion(raw: bytes, model: str) -> RequestOutcome:
    """Return the completion in a successful response; a FailedRequest if there is none.

    `model` is the requested one: the completion of another model is a failure.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _malformed("is not JSON, or was cut off")
    if not isinstance(value, dict):
        return _malformed(f"is {describe(value)}, not an object")
    if not value.get("choices") and parse_error_body(value).message:
        return _reported_error(parse_error_body(value), raw, model)
    served = value.get("model")
    served = served if isinstance(served, str) else ""
    if served and not same_model(model, served):
        return FailedRequest(
            "wrong-model",
            f"the server answered with {served!r} where {model!r} was asked for; if that is the "
            f"model you mean, ask for it by this name",
            retryable=True,
        )
    try:
        return _parse_choice(value, served)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        return _malformed(f"has not the shape of a chat completion ({_shape_problem(error)})")


def _reported_error(error: ErrorBody, raw: bytes, model: str) -> FailedRequest:
    """Return the failure that OpenRouter and others report with a successful status."""
    if isinstance(error.code, int) and 400 <= error.code < 600:
        return failure_from_status(error.code, {}, raw, {}, model)
    message = f"the server reported an error: {shorten(error.message, 300)}"
    return FailedRequest("server-error", message, retryable=True)


def same_model(requested: str, served: str) -> bool:
    """Return whether `served` is the requested model or a dated revision of it."""
    names = (name.rstrip("/").rpartition("/")[2].lower() for name in (requested, served))
    requested, served = names
    family = requested.removesuffix("-latest")
    if not served.startswith(family):
        return False
    rest = served[len(family) :]
    return served == requested or not rest or _REVISION.fullmatch(rest) is not None


def _parse_choice(value: dict[str, Any], served: str) -> RequestOutcome:
    choice = value["choices"][0]
    message = choice["message"]
    finish = choice.get("finish_reason")
    text = _text(message.get("content"))
    refusal = message.get("refusal")
    finish_reason = "content_filter" if refusal else _FINISH_REASONS.get(str(finish).lower())
    if finish_reason is None:
        found = f"{finish!r}" if finish else "no reason"
        return _malformed(f"may be a part only: it finished with {found}")
    usage = value.get("usage") or {}
    return Completion(
        text or str(refusal or ""),
        finish_reason,
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        served,
        _logprobs(choice.get("logprobs")),
    )


def _text(content: Any) -> str:
    """Return the text of a message; some servers return it in parts, next to reasoning parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join([part["text"] for part in content if part["type"] == "text"])


def _logprobs(logprobs: Any) -> list[dict[str, Any]]:
    return [
        {
            "token": token["token"],
            "logprob": token["logprob"],
            "top": {each["token"]: each["logprob"] for each in token.get("top_logprobs") or ()},
        }
        for token in (logprobs or {}).get("content") or ()
    ]


def _malformed(problem: str) -> FailedRequest:
    return FailedRequest("malformed-response", f"the server's answer {problem}", retryable=True)


def _shape_problem(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    return "a list is empty" if isinstance(error, IndexError) else "a part has another type"
