"""Chat templates and sampling settings of models in this process, for vLLM and transformers."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from seqit.errors import SeqitError, UsageError
from seqit.llm.request import FailedRequest, ImagePart, Message, Sampling, TextPart

TOP_K = 50
"""The default of a request without top_k, as in the paper's runs with vLLM (arXiv 2403.07794)."""

PROBE_TEXT = "Zebra4711"
"""A system message that no template contains by itself."""

Render = Callable[[list[Message]], str]
"""Returns the rendered prompt as text; may raise anything that the template raises."""


class ResolvedSampling(NamedTuple):
    """Complete sampling settings; temperature 0: greedy, top_k 0: no limit."""

    temperature: float
    top_p: float
    top_k: int


def resolve_sampling(sampling: Sampling) -> ResolvedSampling:
    """Return the settings with defaults for those that are None: 1, 1 and TOP_K.

    The model's generation_config.json is not used. Raises ValueError for invalid settings.
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
    """A model's chat template; `options` are its variables.

    text: the template given by the user; None: the model's own.
    """

    def __init__(self, file: str | None, options: str | None) -> None:
        """Read the template's file and parse the options, a JSON object; raises UsageError."""
        try:
            self.text = Path(file).read_text(encoding="utf-8") if file else None
        except (OSError, UnicodeError) as error:
            raise UsageError(f"the chat template {file} cannot be read: {error}") from None
        self.options = _parse_object(options) if options else {}
        self._folds_system = False

    def identity(self) -> dict[str, Any]:
        """Return what decides the prompt; a template of the model is part of its revision."""
        text = None if self.text is None else hashlib.sha256(self.text.encode()).hexdigest()
        return {"chat_template": text, "chat_template_kwargs": self.options}

    def probe(self, render: Render, model: str) -> None:
        """Find out if the template takes system messages; raises SeqitError if it does not work."""
        try:
            render([{"role": "user", "content": "Hello."}])
        except Exception as error:
            raise SeqitError(
                f"{model} has no working chat template ({error}); use an instruction-tuned model, "
                "or pass a template: --engine-arg chat_template=FILE"
            ) from error
        try:
            rendered = render(
                [{"role": "system", "content": PROBE_TEXT}, {"role": "user", "content": "Hello."}]
            )
        except Exception:  # the template rejects system messages
            rendered = ""
        self._folds_system = PROBE_TEXT not in rendered

    def adapt_messages(self, messages: list[Message]) -> list[Message]:
        """Return the messages in a form that the template supports.

        An empty system message is removed. If the template rejects or ignores system messages,
        the text is put at the start of the first user turn.
        """
        if not messages or messages[0]["role"] != "system":
            return messages
        system, rest = plain_text(messages[0]["content"]), messages[1:]
        if not system.strip():
            return rest
        if not self._folds_system:
            return [{"role": "system", "content": system}, *rest]
        if not rest or rest[0]["role"] != "user":
            return [{"role": "user", "content": system}, *rest]
        content = rest[0]["content"]
        if isinstance(content, str):
            return [{"role": "user", "content": f"{system}\n\n{content}"}, *rest[1:]]
        return [{"role": "user", "content": [_text(f"{system}\n\n"), *content]}, *rest[1:]]


def plain_text(content: str | list[TextPart | ImagePart]) -> str:
    """Return the text of a turn; raises ValueError if it has an image."""
    if isinstance(content, str):
        return content
    texts = [part["text"] for part in content if part["type"] == "text"]
    if len(texts) < len(content):
        raise ValueError("the model takes no images")
    return "\n".join(texts)


def check_length(prompt: int, max_new_tokens: int, limit: int) -> FailedRequest | None:
    """Return the failure if prompt and answer exceed the model's limit (in tokens), else None."""
    if prompt + max_new_tokens <= limit:
        return None
    return FailedRequest(
        "too-long",
        f"the prompt has {prompt} tokens and the answer may have {max_new_tokens}; the model takes "
        f"{limit} together",
        evidence={"prompt_tokens": prompt, "max_new_tokens": max_new_tokens, "limit": limit},
    )


def _text(text: str) -> TextPart:
    return {"type": "text", "text": text}


def _parse_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UsageError(
            f'chat_template_kwargs is a JSON object, as in {{"enable_thinking": false}}, not {text}'
        )
    return value
