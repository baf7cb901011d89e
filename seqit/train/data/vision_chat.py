"""Chat models that see (LLaVA, Qwen-VL and their kin), through their own processor."""

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

from seqit.errors import RowError, SeqitError
from seqit.llm.images import read_image
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.request import ImagePart, Message, TextPart
from seqit.records.record import Record
from seqit.train.data.chat_encoder import QUESTION, Encoded, TextEncoder
from seqit.train.data.collator import MicroBatch, collate
from seqit.train.data.conversation import UntrainableRow, conversation_of
from seqit.train.data.dataset import Example
from seqit.train.data.images import blank_image, images_of, settings_of
from seqit.train.recipe import Loss

TEXT_KEYS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""What a processor returns of the text; all else is of the images."""


class ChatVision(TextEncoder):
    """Encodes rows of text and images with a model's processor and chat template.

    Raises SeqitError where the template shows no images, or cannot be trained with.
    """

    def __init__(self, processor: Any, template: ChatTemplate, loss: Loss, name: str) -> None:
        # Its own tokenizer pads, and keeps that in mind: the one that encodes must not.
        tokenizer = copy.deepcopy(processor.tokenizer)
        if template.text is not None or getattr(processor, "chat_template", None):
            tokenizer.chat_template = template.text or processor.chat_template
        self._processor = processor
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        super().__init__(tokenizer, template, loss, name)
        self._marks, self._mark = self._find_marks()
        self._blank: Example | None = None

    def identity(self) -> dict[str, Any]:
        """Return what decides the tokens: those of the text, and what images become."""
        settings = settings_of(self._processor)
        digest = hashlib.sha256(settings.encode()).hexdigest()
        return super().identity() | {"images": digest, "processor": type(self._processor).__name__}

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return rows as tokens, or why one cannot be; every image is opened and measured."""
        return [
            self._with_images(record, encoded)
            for record, encoded in zip(records, super().encode_all(records), strict=True)
        ]

    def collate(self, bins: Sequence[Sequence[Example]]) -> MicroBatch:
        """Return bins of one row each as tensors (rows, longest row), with their images.

        Raises SeqitError where an image that was there when the rows were prepared is gone.
        """
        import torch

        rows = [row for rows in bins for row in rows]
        tokens = [len(row.ids) for row in rows]
        seeing = [row for row in rows if row.images]
        images = [images_of(row) for row in seeing]
        if not seeing:
            seeing = [self._blank_row()]
            rows += seeing
            images = [[blank_image()]]
        micro = collate([[row] for row in rows], packed=False)
        texts = [self._mark * len(shown) for shown in images]
        made = self._processed(texts, images, padding=True, return_tensors="pt")
        self._check_sizes(seeing, made["input_ids"])
        tensors = micro.tensors | {key: made[key] for key in made if key not in TEXT_KEYS}
        ids = tensors["input_ids"].tolist()
        for key in ("token_type_ids", "mm_token_type_ids"):
            if key in made:
                kinds = self._processor.create_mm_token_type_ids(ids)
                tensors[key] = torch.tensor(kinds)
        return MicroBatch(tensors, micro.targets, sum(tokens), sum(number**2 for number in tokens))

    def _plain(self, messages: list[Message]) -> list[Message]:
        return messages

    def _refuse_controls(self, messages: list[Message]) -> None:
        texts: list[Message] = [{"role": m["role"], "content": _words(m)} for m in messages]
        super()._refuse_controls(texts)
        for message in texts:
            found = next((mark for mark in self._marks if mark in str(message["content"])), None)
            if found:
                raise UntrainableRow(
                    "control-token",
                    f"the {message['role']}'s text holds {found}, which stands for an image",
                )

    def _render(self, messages: list[Message], **options: Any) -> str:
        return super()._render([{**m, "content": _parts(m)} for m in messages], **options)

    def _find_marks(self) -> tuple[list[str], str]:
        """Return the tokens that stand for images alone, and what an image is in a prompt."""
        words: TextPart = {"type": "text", "text": QUESTION}
        image: ImagePart = {"type": "image", "image": "image.png"}
        bare = self._render([{"role": "user", "content": [words]}])
        shown = self._render([{"role": "user", "content": [image, words]}])
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values()}
        marks = sorted(token for token in added if token in shown and token not in bare)
        if not marks:
            raise SeqitError(
                f"the chat template of {self._name} does not show images; name one that does: "
                "--template FILE"
            )
        first = min(shown.index(mark) for mark in marks)
        end = max(shown.rindex(mark) + len(mark) for mark in marks)
        return marks, shown[first:end]

    def _with_images(
        self, record: Record, encoded: Encoded | UntrainableRow
    ) -> Encoded | UntrainableRow:
        paths = record.get("images", [])
        if isinstance(encoded, UntrainableRow) or not paths:
            return encoded
        try:
            images = [read_image(path) for path in paths]
            text = self._render(self._template.turns(conversation_of(record)))
            return self._expanded(encoded, text, images)
        except UntrainableRow as unfit:
            return unfit
        except RowError as error:
            return UntrainableRow("images", str(error), error.field)

    def _expanded(self, encoded: Encoded, text: str, images: list[Any]) -> Encoded:
        """Return the row with as many tokens for each image as the model takes for it.

        Images stand before all that is learnt, and the tokens that mark them part the text, so
        what stands up to the last mark is encoded by itself.
        """
        end = max(text.rindex(mark) + len(mark) for mark in self._marks if mark in text)
        head = text[:end]
        bare = self._backend.encode(head, add_special_tokens=False).ids
        try:
            ids = self._processed([head], [images])["input_ids"][0]
        except Exception as error:  # the processor counts images and marks, and knows best why not
            raise UntrainableRow("images", f"the processor refuses it: {error}", "images") from None
        if encoded.ids[: len(bare)] != bare or any(encoded.targets[: len(bare)]):
            raise UntrainableRow(
                "template", "the chat template puts an image after what is to be learnt"
            )
        return Encoded(
            [*map(int, ids), *encoded.ids[len(bare) :]],
            [False] * len(ids) + encoded.targets[len(bare) :],
            encoded.left_out,
        )

    def _check_sizes(self, rows: Sequence[Example], expanded: Any) -> None:
        """Raise SeqitError where an image is of another size than when its row was prepared."""
        token = getattr(self._processor, "image_token_id", None)
        if token is None:
            return
        for row, ids in zip(rows, expanded, strict=True):
            if int((ids == token).sum()) != int((row.ids == token).sum()):
                raise SeqitError(
                    f"row {row.row_id}: an image has another size than when the rows were "
                    f"prepared: {', '.join(row.images)}. Put it back, and go on with --resume"
                )

    def _processed(self, texts: list[str], images: list[list[Any]], **options: Any) -> Any:
        return self._processor(text=texts, images=images, add_special_tokens=False, **options)

    def _blank_row(self) -> Example:
        """Return the row that stands in where no other has an image; nothing is learnt of it."""
        import numpy as np

        if self._blank is None:
            ids = np.asarray(self._processed([self._mark], [[blank_image()]])["input_ids"][0])
            self._blank = Example(ids.astype(np.int32), np.zeros(len(ids), bool), "", ("blank",))
        return self._blank


def _parts(message: Message) -> list[TextPart | ImagePart]:
    """Return a turn's content in parts, which the templates of these models all take."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _words(message: Message) -> str:
    parts = _parts(message)
    return "\n".join(part["text"] for part in parts if part["type"] == "text")
