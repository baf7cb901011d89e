"""How a request is put to a model that runs in this process; vllm and transformers share it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from seqit.errors import SeqitError, UsageError
from seqit.llm.request import FailedRequest, ImagePart, Message, Sampling, TextPart

TOP_K = 50
"""Where the request leaves it open: as in the paper's own runs with vLLM (arXiv 2403.07794)."""

PROBE = "Zebra4711"
"""A system message that no template holds by itself."""

Render = Callable[[list[Message]], str]
"""Returns the whole prompt as text, or raises whatever the template raises."""


class ResolvedSampling(NamedTuple):
    """How a token is drawn; temperature 0: greedy, top_k 0: among all."""

    temperature: float
    top_p: float
    top_k: int


def resolve_sampling(sampling: Sampling) -> ResolvedSampling:
    """Return the settings, with what is left open filled in: 1, 1 and TOP_K.

    What the model's generation_config.json says of sampling is never taken. Raises ValueError for
    settings that nothing can be drawn with.
    """
    temperature = 1.0 if sampling.temperature is None else sampling.temperature
    top_p = 1.0 if sampling.top_p is None else sampling.top_p
    top_k = TOP_K if sampling.top_k is None else max(sampling.top_k, 0)
    if temperature < 0 or not 0 < top_p <= 1 or sampling.max_new_tokens < 1:
        raise ValueError(
            f"temperature is 0 or more, top_p in (0, 1], max_new_tokens 1 or more: {sampling}"
        )
    return ResolvedSampling(temperature, top_p, top_k)


class ChatTemplate:
    """A model's chat template, applied once; `options` are its own variables.

    text: the template's text where the user gave one; None: the model's own.
    """

    def __init__(self, file: str | None, options: str | None) -> None:
        """Read FILE and parse the options, a JSON object; raises UsageError."""
        try:
            self.text = Path(file).read_text(encoding="utf-8") if file else None
        except (OSError, UnicodeError) as error:
            raise UsageError(f"the chat template {file} cannot be read: {error}") from None
        self.options = _object(options) if options else {}
        self._folds = False

    def identity(self) -> dict[str, Any]:
        """Return what decides the prompt; the model's own template is part of its revision."""
        text = None if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()
        return {"chat_template": text, "chat_template_kwargs": self.options}

    def probe(self, render: Render, model: str) -> None:
        """Find out what the template takes. Raises SeqitError where there is none that works."""
        try:
            render([{"role": "user", "content": "Hello."}])
        except Exception as error:
            raise SeqitError(
                f"{model} has no chat template that works ({error}); take a model made for "
                "instructions, or name a template: --engine chat_template=FILE"
            ) from error
        try:
            shown = render(
                [{"role": "system", "content": PROBE}, {"role": "user", "content": "Hello."}]
            )
        except Exception:  # whatever the template raises: it takes no system message
            shown = ""
        self._folds = PROBE not in shown

    def turns(self, messages: list[Message]) -> list[Message]:
        """Return the messages as the template takes them.

        No empty system message is sent. Where the template refuses or drops system messages, the
        text opens the first user turn instead: it is never lost.
        """
        if not messages or messages[0]["role"] != "system":
            return messages
        system, rest = plain_text(messages[0]["content"]), messages[1:]
        if not system.strip():
            return rest
        if not self._folds:
            return [{"role": "system", "content": system}, *rest]
        if not rest or rest[0]["role"] != "user":
            return [{"role": "user", "content": system}, *rest]
        content = rest[0]["content"]
        if isinstance(content, str):
            return [{"role": "user", "content": f"{system}\n\n{content}"}, *rest[1:]]
        return [{"role": "user", "content": [_text(f"{system}\n\n"), *content]}, *rest[1:]]


def plain_text(content: str | list[TextPart | ImagePart]) -> str:
    """Return the text of a turn; raises ValueError where it holds an image."""
    if isinstance(content, str):
        return content
    texts = [part["text"] for part in content if part["type"] == "text"]
    if len(texts) < len(content):
        raise ValueError("the model takes no images")
    return "\n".join(texts)


def too_long(prompt: int, new: int, limit: int) -> FailedRequest | None:
    """Return the failure where prompt and answer do not fit into the model; counts of tokens."""
    if prompt + new <= limit:
        return None
    return FailedRequest(
        "too-long",
        f"the prompt has {prompt} tokens and the answer may have {new}; the model takes {limit} "
        "together",
        evidence={"prompt_tokens": prompt, "max_new_tokens": new, "limit": limit},
    )


def _text(text: str) -> TextPart:
    return {"type": "text", "text": text}


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError(
            f'chat_template_kwargs is a JSON object, as in {{"enable_thinking": false}}, not {text}'
        )
    return value
