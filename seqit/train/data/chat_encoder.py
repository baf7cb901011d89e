"""Encode conversations as tokens with a loss mask.

The chat template is rendered as at inference. The text between the generation prompt and the end
token of a turn is what the model would have to generate there, so the loss is on that text; the
template needs no `{% generation %}` markers.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from seqit.errors import SeqitError
from seqit.llm.providers.local.chat_template import ChatTemplate, plain_text
from seqit.llm.providers.local.libraries import installed_version
from seqit.llm.request import Message
from seqit.records.record import Record
from seqit.train.data.conversation import UntrainableRow, conversation_of
from seqit.train.data.spans import mask_spans
from seqit.train.recipe import Loss

THINK_TOKENS = ("<think>", "</think>")
"""Tokens that templates write and answers may also contain."""

PROBE_QUESTION, PROBE_ANSWER = "Zebra4711?", "Yes4712."
"""The turns that a template is probed with; no template contains them itself."""


class Encoded(NamedTuple):
    """The tokens of one row, and a loss mask of the same length.

    turns_left_out: earlier turns of the assistant without loss, because the template renders them
    differently after later turns (it drops their thoughts, or moves the system message).
    """

    ids: list[int]
    loss_mask: list[bool]
    turns_left_out: int = 0


class Encoder(Protocol):
    """Encodes rows as tokens: text in this module, images in seqit.train.data.vision.

    end_token_ids: the tokens that the model learns to end a turn with.
    """

    end_token_ids: list[int]

    def encode(self, record: Record) -> Encoded:
        """Return the tokens of a row; raises UntrainableRow."""

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return the tokens of each row, or the error of a row that cannot be encoded."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, including control tokens and whitespace."""

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the tokens, as JSON values."""


class TextEncoder:
    """Encodes rows of text with a model's tokenizer and chat template.

    Raises SeqitError if the tokenizer or the template cannot be used for training.
    """

    def __init__(self, tokenizer: Any, template: ChatTemplate, loss: Loss, name: str) -> None:
        if not tokenizer.is_fast:
            raise SeqitError(
                f"the tokenizer of {name} ({type(tokenizer).__name__}) is not a fast tokenizer, "
                "so it cannot map tokens to characters. Convert it to a tokenizer.json first"
            )
        self.tokenizer = tokenizer
        self._template = template
        self._loss = loss
        self._name = name
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._probe_template()

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the tokens: tokenizer, template and supervised turns."""
        import hashlib

        definition = self._backend.to_str() + self._chat_template
        return {
            "library": installed_version("tokenizers", "train"),
            "tokenizer": hashlib.sha256(definition.encode()).hexdigest(),
            "loss": self._loss,
        }

    @property
    def _chat_template(self) -> str:
        template: str = self._template.text or self.tokenizer.get_chat_template()
        return template

    def encode(self, record: Record) -> Encoded:
        """Return the tokens of a row; raises UntrainableRow."""
        (encoded,) = self.encode_all([record])
        if isinstance(encoded, UntrainableRow):
            raise encoded
        return encoded

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return the tokens of each row, or the error of a row that cannot be encoded.

        The rows are encoded in the tokenizer's threads.
        """
        chats = [self._render_row(record) for record in records]
        texts = [chat.text for chat in chats if isinstance(chat, RenderedChat)]
        encodings = iter(self._backend.encode_batch(texts, add_special_tokens=False))
        return [
            self._mask_chat(chat, next(encodings)) if isinstance(chat, RenderedChat) else chat
            for chat in chats
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, including control tokens and whitespace."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=False)
        return text

    def _mask_chat(self, chat: "RenderedChat", encoding: Any) -> Encoded | UntrainableRow:
        try:
            ids, loss_mask = mask_spans(self._backend, chat.text, chat.spans, encoding)
        except UntrainableRow as error:
            return error
        return Encoded(ids, loss_mask, chat.turns_left_out)

    def _render_row(self, record: Record) -> "RenderedChat | UntrainableRow":
        try:
            messages = self._to_content(self._template.adapt_messages(conversation_of(record)))
            self._check_control_tokens(messages)
            return self._render_chat(messages)
        except UntrainableRow as error:
            return error
        except ValueError as error:
            return UntrainableRow("images", str(error), "images")

    def _to_content(self, messages: list[Message]) -> list[Message]:
        """Return messages whose content is text; raises ValueError for images."""
        return [{"role": m["role"], "content": plain_text(m["content"])} for m in messages]

    def _check_control_tokens(self, messages: list[Message]) -> None:
        """Raise UntrainableRow if the tokenizer would read a part of a text as a control token.

        It does so at inference too, so training on it as text would teach tokens that never occur.
        """
        normalizer = self._backend.normalizer
        for message in messages:
            text = str(message["content"])
            match = self._control_tokens.search(text)
            if not match and normalizer is not None and not text.isascii():
                match = self._control_tokens.search(normalizer.normalize_str(text))
            if match:
                raise UntrainableRow(
                    "control-token",
                    f"the {message['role']}'s text contains {match[0]}, which the tokenizer reads "
                    "as a control token",
                )

    def _render_chat(self, messages: list[Message]) -> "RenderedChat":
        """Return the rendered conversation with the spans that the model generates."""
        last = len(messages) - 1
        rendered = self._render(messages)
        spans: list[tuple[int, int]] = []
        turns_left_out = 0
        for number, message in enumerate(messages):
            if message["role"] != "assistant" or (self._loss == "last" and number < last):
                continue
            text = rendered if number == last else self._render(messages[: number + 1])
            prompt = self._render(messages[:number], add_generation_prompt=True)
            span = self._answer_span(text, prompt, str(message["content"]))
            if span and rendered.startswith(text[: span[1]]):
                spans.append(span)
            elif number == last:
                raise UntrainableRow("template", self._mismatch(text, prompt))
            else:
                turns_left_out += 1
        return RenderedChat(rendered, spans, turns_left_out)

    def _render(self, messages: list[Message], **options: Any) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages,
                chat_template=self._template.text,
                **self._template.options | options | {"tokenize": False},
            )
        except Exception as error:  # templates raise errors of any type
            raise UntrainableRow("template", f"the chat template rejects it: {error}") from None
        return text

    def _answer_span(self, text: str, prompt: str, answer: str) -> tuple[int, int] | None:
        """Return the range of the last answer in a text, from its prompt to its end token."""
        if not text.startswith(prompt):
            return None
        start, words = len(prompt), answer.strip()
        index = text.find(words, start)
        end = self._end_tokens.search(text, start if index < 0 else index + len(words))
        return (start, end.end()) if end else None

    def _mismatch(self, text: str, prompt: str) -> str:
        if text.startswith(prompt):
            return "the chat template writes no end token after the answer"
        return (
            f"the chat template's generation prompt ends with {prompt[-30:]!r}, but answers are "
            "not rendered after it"
        )

    def _probe_template(self) -> None:
        """Find the tokens that end a turn and the control tokens by rendering a short chat.

        Raises SeqitError if the template cannot be used for training.
        """
        if self._template.text is None and not getattr(self.tokenizer, "chat_template", None):
            raise SeqitError(
                f"{self._name} has no chat template, so conversations cannot be rendered; name a "
                "file with one: --template FILE"
            )
        question: Message = {"role": "user", "content": PROBE_QUESTION}
        answer: Message = {"role": "assistant", "content": PROBE_ANSWER}
        try:
            one_turn = self._render([question, answer])
            two_turns = self._render([question, answer, question, answer])
            prompt = self._render([question], add_generation_prompt=True)
            no_prompt = self._render([question])
        except UntrainableRow as error:
            raise SeqitError(f"{self._name}: {error}; name another: --template FILE") from None
        self._template.probe(self._render, self._name)
        added = self.tokenizer.added_tokens_decoder
        self._find_control_tokens(added, two_turns + one_turn)
        self._find_end_tokens(added, one_turn, two_turns, no_prompt)
        if not one_turn.startswith(prompt):
            raise SeqitError(
                f"{self._name}: {self._mismatch(one_turn, prompt)}; see --template FILE"
            )
        before = one_turn[len(prompt) : one_turn.find(PROBE_ANSWER)]
        if prompt == no_prompt and before.strip():
            raise SeqitError(
                f"the chat template of {self._name} writes {before!r} before an answer, but not in "
                "the prompt; it should support add_generation_prompt. See --template FILE"
            )

    def _find_control_tokens(self, added: dict[int, Any], rendered: str) -> None:
        used = set(self._backend.encode(rendered, add_special_tokens=False).ids)
        control_tokens = [
            token.content
            for number, token in added.items()
            if token.special or (number in used and token.content not in THINK_TOKENS)
        ]
        self._control_tokens = _any_of(control_tokens)

    def _find_end_tokens(
        self, added: dict[int, Any], one_turn: str, two_turns: str, no_prompt: str
    ) -> None:
        """Set the tokens that end a turn: the first token after an answer.

        The last turn may end with another token than the turns before it. If those have no end
        token, the first token after them starts the user's turn and does not count.
        """
        tokens = {token.content for token in added.values()}
        last = one_turn.rpartition(PROBE_ANSWER)[2].lstrip()
        end_tokens = {token for token in tokens if last.startswith(token)}
        between = two_turns.partition(PROBE_ANSWER)[2].partition(PROBE_QUESTION)[0].lstrip()
        if not no_prompt.partition(PROBE_QUESTION)[0].endswith(between):
            end_tokens |= {token for token in tokens if between.startswith(token)}
        if not any(last.startswith(token) for token in end_tokens):
            raise SeqitError(
                f"the chat template of {self._name} writes no end token after an answer, so the "
                "model would not learn to stop; add {{ eos_token }} there. See --template FILE"
            )
        self._end_tokens = _any_of(end_tokens)
        ids = map(self.tokenizer.convert_tokens_to_ids, end_tokens)
        self.end_token_ids: list[int] = sorted(ids)


class RenderedChat(NamedTuple):
    """A rendered conversation; spans: character ranges of the answers, including end tokens."""

    text: str
    spans: list[tuple[int, int]]
    turns_left_out: int


def _any_of(words: Any) -> re.Pattern[str]:
    """Return a pattern that matches any of the words, longest first; nothing if there is none."""
    ordered = sorted(words, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered)) or "(?!)")
