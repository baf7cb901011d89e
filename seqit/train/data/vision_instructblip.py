"""The encoder of InstructBLIP: image tokens, then the question, then the answer.

The question is also the input of its Q-Former. As in its authors' training (arXiv 2305.06500):
no chat template, one image, one turn.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from seqit.errors import RowError, SeqitError, UsageError
from seqit.llm.images import read_image
from seqit.llm.providers.local.chat_template import ChatTemplate, plain_text
from seqit.llm.providers.local.libraries import installed_version
from seqit.llm.providers.local.vision import MAX_QUESTION_TOKENS
from seqit.records.formats.chat import prompt_text
from seqit.records.record import Record
from seqit.train.data.chat_encoder import Encoded
from seqit.train.data.collator import MicroBatch, collate
from seqit.train.data.conversation import UntrainableRow, conversation_of
from seqit.train.data.dataset import Example
from seqit.train.data.images import blank_image, image_processor_settings, load_images
from seqit.train.recipe import Loss

BLANK_QUESTION = "Describe the image."
"""The question about the blank image of a batch without images."""


class InstructBlipEncoder:
    """Encodes rows with at most one image and one turn.

    tokenizer: the language model's. Raises UsageError for a chat template, which the model does
    not have, and SeqitError if the processor is incomplete.
    """

    def __init__(self, processor: Any, template: ChatTemplate, loss: Loss, name: str) -> None:
        if template.text is not None:
            raise UsageError(f"{name} is an InstructBLIP, which has no chat template: --template")
        self._processor = processor
        self.tokenizer = processor.tokenizer
        self._queries = processor.num_query_tokens
        self._loss = loss
        if not self._queries or not self.tokenizer.eos_token:
            raise SeqitError(
                f"the processor of {name} has no number of tokens per image (num_query_tokens), "
                "or its tokenizer has no end token"
            )
        self.end_token_ids = [self.tokenizer.eos_token_id]
        self._image_token_id = self.tokenizer.convert_tokens_to_ids(str(processor.image_token))
        self._blank: Example | None = None

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the tokens."""
        settings = image_processor_settings(self._processor)
        text = self.tokenizer.backend_tokenizer.to_str() + settings
        return {
            "library": installed_version("tokenizers", "train"),
            "tokenizer": hashlib.sha256(text.encode()).hexdigest(),
            "queries": self._queries,
            "loss": self._loss,
        }

    def encode(self, record: Record) -> Encoded:
        """Return the tokens of a row; raises UntrainableRow."""
        try:
            return self._encode(record)
        except UntrainableRow:
            raise
        except RowError as error:
            raise UntrainableRow("images", str(error), error.field) from None

    def encode_all(self, records: Sequence[Record]) -> list[Encoded | UntrainableRow]:
        """Return the tokens of each row, or its error; every image is opened."""
        results: list[Encoded | UntrainableRow] = []
        for record in records:
            try:
                results.append(self.encode(record))
            except UntrainableRow as error:
                results.append(error)
        return results

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, including control tokens."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def collate(self, sequences: Sequence[Sequence[Example]]) -> MicroBatch:
        """Return sequences of one row each as tensors (rows, longest row).

        Rows with an image also get its pixels and the question for the Q-Former. Raises SeqitError
        if an image is missing that existed when the rows were prepared.
        """
        rows = [row for rows in sequences for row in rows]
        lengths = [len(row.ids) for row in rows]
        image_rows = [row for row in rows if row.images]
        images = [image for row in image_rows for image in load_images(row)]
        if not image_rows:
            image_rows, images = [self._blank_example()], [blank_image()]
            rows += image_rows
        micro_batch = collate([[row] for row in rows], packed=False)
        tokenizer = self._processor.qformer_tokenizer
        questions = tokenizer(
            [self._question(row) for row in image_rows],
            padding=True,
            truncation=True,  # for the Q-Former only; the language model gets the whole question
            max_length=min(tokenizer.model_max_length, MAX_QUESTION_TOKENS),
            return_tensors="pt",
        )
        pixels = self._processor.image_processor(images, return_tensors="pt")
        tensors = micro_batch.tensors | {
            "pixel_values": pixels["pixel_values"],
            "qformer_input_ids": questions["input_ids"],
            "qformer_attention_mask": questions["attention_mask"],
        }
        squared_lengths = sum(length**2 for length in lengths)
        return MicroBatch(tensors, micro_batch.supervised_tokens, sum(lengths), squared_lengths)

    def _encode(self, record: Record) -> Encoded:
        images = record.get("images", [])
        if len(images) > 1:
            raise UntrainableRow(
                "images", f"InstructBLIP takes one image per row, not {len(images)}", "images"
            )
        if record.get("history"):
            raise UntrainableRow(
                "turns", "InstructBLIP takes one turn per row, and no history", "history"
            )
        for image in images:
            read_image(image)
        *_, answer = conversation_of(record)
        question, answer_text = self._question_text(record), plain_text(answer["content"])
        control_tokens = self._control_tokens()
        if token := next((t for t in control_tokens if t in question or t in answer_text), None):
            raise UntrainableRow(
                "control-token", f"the text contains {token}, which is a control token"
            )
        image_ids = [self._image_token_id] * (self._queries * len(images))
        prompt_ids = image_ids + self.tokenizer(question).input_ids
        answer_ids = self.tokenizer(answer_text, add_special_tokens=False).input_ids
        if not answer_ids:
            raise UntrainableRow("zero-token", "the answer has no token except its end token")
        answer_ids.append(self.tokenizer.eos_token_id)
        return Encoded(
            prompt_ids + answer_ids, [False] * len(prompt_ids) + [True] * len(answer_ids)
        )

    def _question_text(self, record: Record) -> str:
        """Return the system message, if there is one, and the question, both stripped."""
        parts = (record.get("system", ""), prompt_text(record))
        return "\n".join(part.strip() for part in parts if part.strip())

    def _control_tokens(self) -> list[str]:
        return [*self.tokenizer.all_special_tokens, str(self._processor.image_token)]

    def _question(self, row: Example) -> str:
        """Return the question of a row, decoded from its tokens."""
        ids = row.ids[: row.loss_mask.argmax()] if row.loss_mask.any() else row.ids
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True)
        return text.replace(str(self._processor.image_token), "").strip()

    def _blank_example(self) -> Example:
        """Return the example without loss that is added to a batch without images."""
        import numpy as np

        if self._blank is None:
            image_ids = [self._image_token_id] * self._queries
            ids = image_ids + self.tokenizer(BLANK_QUESTION).input_ids
            array = np.asarray(ids, np.int32)
            self._blank = Example(array, np.zeros(len(ids), bool), "", ("blank",))
        return self._blank
