"""InstructBLIP: image tokens, then the question, then the answer; its Q-Former reads the question.

As its authors train it (arXiv 2305.06500): no chat template, one image, one turn.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from seqit.errors import RowError, SeqitError, UsageError
from seqit.llm.images import read_image
from seqit.llm.providers.local.chat_template import ChatTemplate, plain_text
from seqit.llm.providers.local.model_files import installed_version
from seqit.records.formats.chat import question_of
from seqit.records.record import Record
from seqit.train.data.chat_encoder import Encoded
from seqit.train.data.collator import MicroBatch, collate
from seqit.train.data.conversation import UntrainableRow, conversation_of
from seqit.train.data.dataset import Example
from seqit.train.data.images import blank_image, images_of, settings_of
from seqit.train.recipe import Loss

MOST_ASKED = 512
"""Tokens of the question that the Q-Former has places for."""

ASKED = "Describe the image."
"""What is asked about the blank image of a batch without images."""


class InstructBlip:
    """Encodes rows of at most one image and one turn.

    tokenizer: the language model's. Raises UsageError for a chat template, which the model has
    none of, and SeqitError where the processor lacks something.
    """

    def __init__(self, processor: Any, template: ChatTemplate, loss: Loss, name: str) -> None:
        if template.text is not None:
            raise UsageError(f"{name} is an InstructBLIP, which takes no chat template: --template")
        self._processor = processor
        self.tokenizer = processor.tokenizer
        self._queries = processor.num_query_tokens
        self._loss = loss
        if not self._queries or not self.tokenizer.eos_token:
            raise SeqitError(
                f"the processor of {name} does not say how many tokens an image has "
                "(num_query_tokens), or its tokenizer has no end token"
            )
        self.ends = [self.tokenizer.eos_token_id]
        self._image = self.tokenizer.convert_tokens_to_ids(str(processor.image_token))
        self._blank: Example | None = None

    def identity(self) -> dict[str, Any]:
        """Return what decides the tokens."""
        settings = settings_of(self._processor)
        text = self.tokenizer.backend_tokenizer.to_str() + settings
        return {
            "library": installed_version("tokenizers", "train"),
            "tokenizer": hashlib.sha256(text.encode()).hexdigest(),
            "queries": self._queries,
            "loss": self._loss,
        }

    def encode(self, record: Record) -> Encoded:
        """Return one row as tokens; raises UntrainableRow."""
        try:
            return self._encoded(record)
        except UntrainableRow:
            raise
        except RowError as error:
            raise UntrainableRow("images", str(error), error.field) from None

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return rows as tokens, or why one cannot be; every image is opened."""
        found: list[Encoded | UntrainableRow] = []
        for record in records:
            try:
                found.append(self.encode(record))
            except UntrainableRow as unfit:
                found.append(unfit)
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """Return tokens as text, control tokens with it."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def collate(self, bins: Sequence[Sequence[Example]]) -> MicroBatch:
        """Return bins of one row each as tensors (rows, longest row).

        With them pixels and question of those that have an image.
        Raises SeqitError where an image that was there when the rows were prepared is gone.
        """
        rows = [row for rows in bins for row in rows]
        tokens = [len(row.ids) for row in rows]
        seeing = [row for row in rows if row.images]
        images = [image for row in seeing for image in images_of(row)]
        if not seeing:
            seeing, images = [self._blank_row()], [blank_image()]
            rows += seeing
        micro = collate([[row] for row in rows], packed=False)
        asker = self._processor.qformer_tokenizer
        asked = asker(
            [self._question(row) for row in seeing],
            padding=True,
            truncation=True,  # the Q-Former takes no more; the language model reads all of it
            max_length=min(asker.model_max_length, MOST_ASKED),
            return_tensors="pt",
        )
        pixels = self._processor.image_processor(images, return_tensors="pt")
        tensors = micro.tensors | {
            "pixel_values": pixels["pixel_values"],
            "qformer_input_ids": asked["input_ids"],
            "qformer_attention_mask": asked["attention_mask"],
        }
        return MicroBatch(tensors, micro.targets, sum(tokens), sum(number**2 for number in tokens))

    def _encoded(self, record: Record) -> Encoded:
        images = record.get("images", [])
        if len(images) > 1:
            raise UntrainableRow(
                "images", f"InstructBLIP takes one image a row, not {len(images)}", "images"
            )
        if record.get("history"):
            raise UntrainableRow(
                "turns", "InstructBLIP takes one turn a row, and has no history", "history"
            )
        for image in images:
            read_image(image)
        *_, answer = conversation_of(record)
        asked, said = self._asked(record), plain_text(answer["content"])
        if mark := next((t for t in self._controls() if t in asked or t in said), None):
            raise UntrainableRow(
                "control-token", f"the text holds {mark}, which is a control token"
            )
        prompt = [self._image] * (self._queries * len(images)) + self.tokenizer(asked).input_ids
        spoken = self.tokenizer(said, add_special_tokens=False).input_ids
        if not spoken:
            raise UntrainableRow("zero-token", "the answer comes to no token beside its end")
        spoken.append(self.tokenizer.eos_token_id)
        return Encoded(prompt + spoken, [False] * len(prompt) + [True] * len(spoken))

    def _asked(self, record: Record) -> str:
        """Return the question, after the system's text where there is one, and without blanks."""
        parts = (record.get("system", ""), question_of(record))
        return "\n".join(part.strip() for part in parts if part.strip())

    def _controls(self) -> list[str]:
        return [*self.tokenizer.all_special_tokens, str(self._processor.image_token)]

    def _question(self, row: Example) -> str:
        """Return what a row asks, read from its tokens."""
        asked = row.ids[: row.targets.argmax()] if row.targets.any() else row.ids
        text: str = self.tokenizer.decode(asked, skip_special_tokens=True)
        return text.replace(str(self._processor.image_token), "").strip()

    def _blank_row(self) -> Example:
        """Return the row that stands in where no other has an image; nothing is learnt of it."""
        import numpy as np

        if self._blank is None:
            ids = [self._image] * self._queries + self.tokenizer(ASKED).input_ids
            array = np.asarray(ids, np.int32)
            self._blank = Example(array, np.zeros(len(ids), bool), "", ("blank",))
        return self._blank
