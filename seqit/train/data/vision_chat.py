"""The encoder of vision-language chat models such as LLaVA and Qwen-VL, with their processor."""

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

from seqit.errors import RowError, SeqitError
from seqit.llm.images import read_image
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.request import ImagePart, Message, TextPart
from seqit.records.record import Record
from seqit.train.data.chat_encoder import PROBE_QUESTION, Encoded, TextEncoder
from seqit.train.data.collator import MicroBatch, collate
from seqit.train.data.conversation import UntrainableRow, conversation_of
from seqit.train.data.dataset import Example
from seqit.train.data.images import blank_image, image_processor_settings, load_images
from seqit.train.recipe import Loss

TEXT_KEYS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""Keys of the text in a processor's output; all others belong to the images."""


class ChatVisionEncoder(TextEncoder):
    """Encodes rows of text and images with a model's processor and chat template.

    Raises SeqitError if the template does not render images or cannot be used for training.
    """

    def __init__(self, processor: Any, template: ChatTemplate, loss: Loss, name: str) -> None:
        # The processor's tokenizer keeps its padding state, which must not affect encoding.
        tokenizer = copy.deepcopy(processor.tokenizer)
        if template.text is not None or getattr(processor, "chat_template", None):
            tokenizer.chat_template = template.text or processor.chat_template
        self._processor = processor
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token
        super().__init__(tokenizer, template, loss, name)
        self._image_tokens, self._image_text = self._find_image_tokens()
        self._blank: Example | None = None

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the tokens of text and images."""
        settings = image_processor_settings(self._processor)
        digest = hashlib.sha256(settings.encode()).hexdigest()
        return super().identity() | {"images": digest, "processor": type(self._processor).__name__}

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return the tokens of each row, or its error; every image is opened for its size."""
        return [
            self._encode_images(record, encoded)
            for record, encoded in zip(records, super().encode_all(records), strict=True)
        ]

    def collate(self, sequences: Sequence[Sequence[Example]]) -> MicroBatch:
        """Return sequences of one row each as tensors (rows, longest row), with their images.

        Raises SeqitError if an image is missing that existed when the rows were prepared.
        """
        import torch

        rows = [row for rows in sequences for row in rows]
        lengths = [len(row.ids) for row in rows]
        image_rows = [row for row in rows if row.images]
        images = [load_images(row) for row in image_rows]
        if not image_rows:
            image_rows = [self._blank_example()]
            rows += image_rows
            images = [[blank_image()]]
        micro_batch = collate([[row] for row in rows], packed=False)
        texts = [self._image_text * len(row_images) for row_images in images]
        processed = self._process(texts, images, padding=True, return_tensors="pt")
        self._check_image_sizes(image_rows, processed["input_ids"])
        image_tensors = {key: processed[key] for key in processed if key not in TEXT_KEYS}
        tensors = micro_batch.tensors | image_tensors
        ids = tensors["input_ids"].tolist()
        for key in ("token_type_ids", "mm_token_type_ids"):
            if key in processed:
                token_types = self._processor.create_mm_token_type_ids(ids)
                tensors[key] = torch.tensor(token_types)
        squared_lengths = sum(length**2 for length in lengths)
        return MicroBatch(tensors, micro_batch.supervised_tokens, sum(lengths), squared_lengths)

    def _to_content(self, messages: list[Message]) -> list[Message]:
        return messages

    def _check_control_tokens(self, messages: list[Message]) -> None:
        texts: list[Message] = [{"role": m["role"], "content": _text_content(m)} for m in messages]
        super()._check_control_tokens(texts)
        for message in texts:
            text = str(message["content"])
            found = next((token for token in self._image_tokens if token in text), None)
            if found:
                raise UntrainableRow(
                    "control-token",
                    f"the {message['role']}'s text contains {found}, the placeholder of an image",
                )

    def _render(self, messages: list[Message], **options: Any) -> str:
        return super()._render([{**m, "content": _content_parts(m)} for m in messages], **options)

    def _find_image_tokens(self) -> tuple[list[str], str]:
        """Return the tokens that occur only for images, and the text of one image in a prompt."""
        text_part: TextPart = {"type": "text", "text": PROBE_QUESTION}
        image_part: ImagePart = {"type": "image", "image": "image.png"}
        without = self._render([{"role": "user", "content": [text_part]}])
        rendered = self._render([{"role": "user", "content": [image_part, text_part]}])
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values()}
        tokens = sorted(token for token in added if token in rendered and token not in without)
        if not tokens:
            raise SeqitError(
                f"the chat template of {self._name} does not render images; name one that does: "
                "--template FILE"
            )
        start = min(rendered.index(token) for token in tokens)
        end = max(rendered.rindex(token) + len(token) for token in tokens)
        return tokens, rendered[start:end]

    def _encode_images(
        self, record: Record, encoded: Encoded | UntrainableRow
    ) -> Encoded | UntrainableRow:
        paths = record.get("images", [])
        if isinstance(encoded, UntrainableRow) or not paths:
            return encoded
        try:
            images = [read_image(path) for path in paths]
            text = self._render(self._template.adapt_messages(conversation_of(record)))
            return self._expand_images(encoded, text, images)
        except UntrainableRow as error:
            return error
        except RowError as error:
            return UntrainableRow("images", str(error), error.field)

    def _expand_images(self, encoded: Encoded, text: str, images: list[Any]) -> Encoded:
        """Return the row with each image placeholder expanded to the model's number of tokens.

        Images come before all supervised text, and their tokens are token boundaries, so the text
        up to the last placeholder is encoded separately.
        """
        end = max(text.rindex(token) + len(token) for token in self._image_tokens if token in text)
        head = text[:end]
        head_ids = self._backend.encode(head, add_special_tokens=False).ids
        try:
            ids = self._process([head], [images])["input_ids"][0]
        except Exception as error:  # the processor compares the numbers of images and placeholders
            raise UntrainableRow("images", f"the processor rejects it: {error}", "images") from None
        size = len(head_ids)
        if encoded.ids[:size] != head_ids or any(encoded.loss_mask[:size]):
            raise UntrainableRow(
                "template", "the chat template puts an image after supervised text"
            )
        return Encoded(
            [*map(int, ids), *encoded.ids[size:]],
            [False] * len(ids) + encoded.loss_mask[size:],
            encoded.turns_left_out,
        )

    def _check_image_sizes(self, rows: Sequence[Example], expanded: Any) -> None:
        """Raise SeqitError if an image has another size than when its row was prepared."""
        token = getattr(self._processor, "image_token_id", None)
        if token is None:
            return
        for row, ids in zip(rows, expanded, strict=True):
            if int((ids == token).sum()) != int((row.ids == token).sum()):
                raise SeqitError(
                    f"row {row.row_id}: an image has another size than when the rows were "
                    f"prepared: {', '.join(row.images)}. Restore it, then continue with --resume"
                )

    def _process(self, texts: list[str], images: list[list[Any]], **options: Any) -> Any:
        return self._processor(text=texts, images=images, add_special_tokens=False, **options)

    def _blank_example(self) -> Example:
        """Return the example without loss that is added to a batch without images."""
        import numpy as np

        if self._blank is None:
            processed = self._process([self._image_text], [[blank_image()]])
            ids = np.asarray(processed["input_ids"][0])
            self._blank = Example(ids.astype(np.int32), np.zeros(len(ids), bool), "", ("blank",))
        return self._blank


def _content_parts(message: Message) -> list[TextPart | ImagePart]:
    """Return a turn's content as a list of parts, which the templates of these models support."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text_content(message: Message) -> str:
    parts = _content_parts(message)
    return "\n".join(part["text"] for part in parts if part["type"] == "text")
