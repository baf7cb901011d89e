"""A conversation as tokens, and which of them the model is to learn.

The template is rendered as it is at inference. What stands between the generation prompt and the
end token of a turn is what the model would have to say there, so that is what the loss is on; the
template needs no marks of its own for it.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from seqit.errors import SeqitError
from seqit.llm.providers.local.chat_template import ChatTemplate, plain_text
from seqit.llm.providers.local.model_files import installed_version
from seqit.llm.request import Message
from seqit.records.record import Record
from seqit.train.data.conversation import UntrainableRow, conversation_of
from seqit.train.data.spans import mark
from seqit.train.recipe import Loss

THOUGHTS = ("<think>", "</think>")
"""Tokens that templates write and answers may hold too."""

QUESTION, ANSWER = "Zebra4711?", "Yes4712."
"""What the template is tried with; no template holds them by itself."""


class Encoded(NamedTuple):
    """One row: its tokens, and which of them the loss is on, as many.

    left_out: earlier turns of the assistant that the loss is not on, since the template shows them
    otherwise once they are past (it drops their thoughts, or moves the system message).
    """

    ids: list[int]
    targets: list[bool]
    left_out: int = 0


class Encoder(Protocol):
    """What makes rows tokens: for text here, for images in seqit.train.data.vision.

    ends: the tokens that the model learns to end a turn with.
    """

    ends: list[int]

    def encode(self, record: Record) -> Encoded:
        """Return the row as tokens; raises UntrainableRow."""

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return rows as tokens, or why one cannot be."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return tokens as text, control tokens and blanks with it."""

    def identity(self) -> dict[str, Any]:
        """Return what decides the tokens, as JSON values."""


class TextEncoder:
    """Encodes rows of text with a model's tokenizer and chat template.

    Raises SeqitError where the tokenizer or the template cannot be trained with.
    """

    def __init__(self, tokenizer: Any, template: ChatTemplate, loss: Loss, name: str) -> None:
        if not tokenizer.is_fast:
            raise SeqitError(
                f"the tokenizer of {name} ({type(tokenizer).__name__}) has no fast form: it cannot "
                "say which token is of which text. Convert it to a tokenizer.json first"
            )
        self.tokenizer = tokenizer
        self._template = template
        self._loss = loss
        self._name = name
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._try_out()

    def identity(self) -> dict[str, Any]:
        """Return what decides the tokens: tokenizer, template and which turns are learnt."""
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
        """Return one row as tokens; raises UntrainableRow."""
        (encoded,) = self.encode_all([record])
        if isinstance(encoded, UntrainableRow):
            raise encoded
        return encoded

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return rows as tokens, or why one cannot be; the tokenizer's threads share them."""
        drafts = [self._drafted(record) for record in records]
        texts = [draft.text for draft in drafts if isinstance(draft, Draft)]
        found = iter(self._backend.encode_batch(texts, add_special_tokens=False))
        return [
            self._marked(draft, next(found)) if isinstance(draft, Draft) else draft
            for draft in drafts
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Return tokens as text, control tokens and blanks with it."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=False)
        return text

    def _marked(self, draft: "Draft", encoding: Any) -> Encoded | UntrainableRow:
        try:
            ids, targets = mark(self._backend, draft.text, draft.spans, encoding)
        except UntrainableRow as unfit:
            return unfit
        return Encoded(ids, targets, draft.left_out)

    def _drafted(self, record: Record) -> "Draft | UntrainableRow":
        try:
            messages = self._plain(self._template.turns(conversation_of(record)))
            self._refuse_controls(messages)
            return self._draft(messages)
        except UntrainableRow as unfit:
            return unfit
        except ValueError as error:
            return UntrainableRow("images", str(error), "images")

    def _plain(self, messages: list[Message]) -> list[Message]:
        return [{"role": m["role"], "content": plain_text(m["content"])} for m in messages]

    def _refuse_controls(self, messages: list[Message]) -> None:
        """Raise UntrainableRow where a text holds what the tokenizer reads as a control token.

        At inference it would be one too, so that teaching it as text would teach what never comes.
        """
        normalizer = self._backend.normalizer
        for message in messages:
            text = str(message["content"])
            found = self._controls.search(text)
            if not found and normalizer is not None and not text.isascii():
                found = self._controls.search(normalizer.normalize_str(text))
            if found:
                raise UntrainableRow(
                    "control-token",
                    f"the {message['role']}'s text holds {found[0]}, which the tokenizer reads as "
                    "a control token",
                )

    def _draft(self, messages: list[Message]) -> "Draft":
        """Return the whole text, and where in it the model speaks."""
        last = len(messages) - 1
        whole = self._render(messages)
        spans: list[tuple[int, int]] = []
        left_out = 0
        for number, message in enumerate(messages):
            if message["role"] != "assistant" or (self._loss == "last" and number < last):
                continue
            shown = whole if number == last else self._render(messages[: number + 1])
            prompt = self._render(messages[:number], add_generation_prompt=True)
            span = self._span(shown, prompt, str(message["content"]))
            if span and whole.startswith(shown[: span[1]]):
                spans.append(span)
            elif number == last:
                raise UntrainableRow("template", self._unlike(shown, prompt))
            else:
                left_out += 1
        return Draft(whole, spans, left_out)

    def _render(self, messages: list[Message], **options: Any) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages,
                chat_template=self._template.text,
                **self._template.options | options | {"tokenize": False},
            )
        except Exception as error:  # whatever the template raises for these messages
            raise UntrainableRow("template", f"the chat template refuses it: {error}") from None
        return text

    def _span(self, shown: str, prompt: str, answer: str) -> tuple[int, int] | None:
        """Return where the model speaks last in a text: from its prompt to its end token."""
        if not shown.startswith(prompt):
            return None
        start, words = len(prompt), answer.strip()
        place = shown.find(words, start)
        end = self._ends.search(shown, start if place < 0 else place + len(words))
        return (start, end.end()) if end else None

    def _unlike(self, shown: str, prompt: str) -> str:
        if shown.startswith(prompt):
            return "the chat template sets no end token after the answer"
        return (
            f"the chat template asks for an answer with {prompt[-30:]!r}, and does not show one so"
        )

    def _try_out(self) -> None:
        """Find the tokens that end a turn, and those that no text may hold."""
        if self._template.text is None and not getattr(self.tokenizer, "chat_template", None):
            raise SeqitError(
                f"{self._name} has no chat template, so nothing says how a conversation is "
                "written; name a file with one: --template FILE"
            )
        ask: Message = {"role": "user", "content": QUESTION}
        answer: Message = {"role": "assistant", "content": ANSWER}
        try:
            once, twice = self._render([ask, answer]), self._render([ask, answer, ask, answer])
            prompt = self._render([ask], add_generation_prompt=True)
            bare = self._render([ask])
        except UntrainableRow as unfit:
            raise SeqitError(f"{self._name}: {unfit}; name another: --template FILE") from None
        self._template.probe(self._render, self._name)
        added = self.tokenizer.added_tokens_decoder
        self._set_controls(added, twice + once)
        self._set_ends(added, once, twice, bare)
        if not once.startswith(prompt):
            raise SeqitError(f"{self._name}: {self._unlike(once, prompt)}; see --template FILE")
        before = once[len(prompt) : once.find(ANSWER)]
        if prompt == bare and before.strip():
            raise SeqitError(
                f"the chat template of {self._name} puts {before!r} before an answer, and leaves "
                "it out of the prompt; it should heed add_generation_prompt. See --template FILE"
            )

    def _set_controls(self, added: dict[int, Any], scaffold: str) -> None:
        used = set(self._backend.encode(scaffold, add_special_tokens=False).ids)
        controls = [
            token.content
            for number, token in added.items()
            if token.special or (number in used and token.content not in THOUGHTS)
        ]
        self._controls = _any_of(controls)

    def _set_ends(self, added: dict[int, Any], once: str, twice: str, bare: str) -> None:
        """Learn which token ends a turn: the first one after the answer.

        The last turn may end with another than those before it. Where these have none, what comes
        first is the head of the user's turn, and ends nothing.
        """
        tokens = {token.content for token in added.values()}
        last = once.rpartition(ANSWER)[2].lstrip()
        ends = {token for token in tokens if last.startswith(token)}
        between = twice.partition(ANSWER)[2].partition(QUESTION)[0].lstrip()
        if not bare.partition(QUESTION)[0].endswith(between):
            ends |= {token for token in tokens if between.startswith(token)}
        if not any(last.startswith(token) for token in ends):
            raise SeqitError(
                f"the chat template of {self._name} ends an answer without a token of its own, so "
                "the model would not learn to stop; put {{ eos_token }} there. See --template FILE"
            )
        self._ends = _any_of(ends)
        self.ends: list[int] = sorted(map(self.tokenizer.convert_tokens_to_ids, ends))


class Draft(NamedTuple):
    """A rendered conversation; spans: where the model speaks, end token included."""

    text: str
    spans: list[tuple[int, int]]
    left_out: int


def _any_of(words: Any) -> re.Pattern[str]:
    """Return a pattern for any of the words, the longest first; for none of them, of nothing."""
    ordered = sorted(words, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered)) or "(?!)")
