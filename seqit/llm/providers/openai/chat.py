"""Chat completions as OpenAI's interface writes them: the body of a request, and its answer.

Source: https://platform.openai.com/docs/api-reference/chat, and what vLLM, Ollama, llama.cpp,
Mistral, DeepSeek and OpenRouter answer in its place.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from seqit.errors import UsageError
from seqit.llm.providers.openai.errors import ErrorBody, error_of, failure_of_status
from seqit.llm.request import Completion, FailedRequest, Message, Request, RequestOutcome
from seqit.records.validation import describe, shorten

_RESERVED = ("model", "messages", "stream", "n")

_FINISHED = {
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
"""Finish reasons that end a text. With any other (abort, error, none) it may be a part only."""

_REVISION = re.compile(r"[-@:](?:latest|(?:v|r|rev)?\d[\d.:v-]*)")
"""What a server may add to the name that it was asked for: a date, a number, `latest`."""


def check_extra_body(extra: Mapping[str, Any]) -> None:
    """Raise UsageError where `extra` sets what seqit decides itself."""
    for key in _RESERVED:
        if key in extra:
            raise UsageError(f"--extra-body cannot set {key!r}: seqit decides that itself")


def chat_body(
    request: Request,
    model: str,
    *,
    image_url: Callable[[str], str],
    extra: Mapping[str, Any],
    structured: bool = True,
    limit: str = "max_tokens",
) -> dict[str, Any]:
    """Return the body that asks for one completion.

    `image_url` turns a record's image into a data URL. `extra` comes last, as the official
    client's extra_body does; a null in it leaves the key out. `limit` is the server's name for
    the bound on new tokens. Sampling settings that are None are left to the server.
    """
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": _messages(request.messages, image_url),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,  # not OpenAI's, but vLLM's and others'
        limit: sampling.max_new_tokens,
        "stop": list(sampling.stop) or None,
        "seed": request.seed,
    }
    if request.logprobs:
        body |= {"logprobs": True, "top_logprobs": request.logprobs}
    if request.schema and structured:
        form = {"name": "answer", "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    body.update(extra)
    return {key: value for key, value in body.items() if value is not None}


def has_images(messages: list[Message]) -> bool:
    """Say whether a chat shows images, which take time to read."""
    return any(not isinstance(message["content"], str) for message in messages)


def _messages(messages: list[Message], image_url: Callable[[str], str]) -> list[Any]:
    if not has_images(messages):
        return messages
    shown: list[Any] = []
    for message in messages:
        content: Any = message["content"]
        if not isinstance(content, str):
            content = [
                {"type": "image_url", "image_url": {"url": image_url(part["image"])}}
                if part["type"] == "image"
                else part
                for part in content
            ]
        shown.append({"role": message["role"], "content": content})
    return shown


def read_completion(raw: bytes, model: str) -> RequestOutcome:
    """Return what a server answered with success; Failed where that is no completion.

    `model` is the one that was asked for: another's answer is none.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _malformed("is not JSON, or was cut off")
    if not isinstance(value, dict):
        return _malformed(f"is {describe(value)}, not an object")
    if not value.get("choices") and error_of(value).message:
        return _reported(error_of(value), raw, model)
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
        return _completion(value, served)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        return _malformed(f"has not the shape of a chat completion ({_place(error)})")


def _reported(error: ErrorBody, raw: bytes, model: str) -> FailedRequest:
    """Return the failure that OpenRouter and others report under the status of success."""
    if isinstance(error.code, int) and 400 <= error.code < 600:
        return failure_of_status(error.code, {}, raw, {}, model)
    said = shorten(error.message, 300)
    return FailedRequest("server-error", f"the server reported an error: {said}", retryable=True)


def same_model(asked: str, served: str) -> bool:
    """Say whether `served` names the model asked for, or a dated revision of it."""
    asked, served = (name.rstrip("/").rpartition("/")[2].lower() for name in (asked, served))
    family = asked.removesuffix("-latest")
    if not served.startswith(family):
        return False
    rest = served[len(family) :]
    return served == asked or not rest or _REVISION.fullmatch(rest) is not None


def _completion(value: dict[str, Any], served: str) -> RequestOutcome:
    choice = value["choices"][0]
    message = choice["message"]
    finish = choice.get("finish_reason")
    text = _text(message.get("content"))
    refusal = message.get("refusal")
    known = "content_filter" if refusal else _FINISHED.get(str(finish).lower())
    if known is None:
        said = f"{finish!r}" if finish else "no reason"
        return _malformed(f"may be a part only: it finished with {said}")
    usage = value.get("usage") or {}
    return Completion(
        text or str(refusal or ""),
        known,
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        served,
        _logprobs(choice.get("logprobs")),
    )


def _text(content: Any) -> str:
    """Return the text of a message; some servers give it in parts, beside a model's thoughts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join([part["text"] for part in content if part["type"] == "text"])


def _logprobs(given: Any) -> list[dict[str, Any]]:
    return [
        {
            "token": token["token"],
            "logprob": token["logprob"],
            "top": {each["token"]: each["logprob"] for each in token.get("top_logprobs") or ()},
        }
        for token in (given or {}).get("content") or ()
    ]


def _malformed(problem: str) -> FailedRequest:
    return FailedRequest("malformed-response", f"the server's answer {problem}", retryable=True)


def _place(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    return "a list is empty" if isinstance(error, IndexError) else "a part has another type"
