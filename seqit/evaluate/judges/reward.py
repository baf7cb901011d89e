"""Judge with a reward model: a sequence classification head gives each answer one number."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

from seqit.errors import SeqitError
from seqit.evaluate.judges.candidate import Candidate
from seqit.evaluate.judges.controls import REWARD as METRIC
from seqit.llm.chat import prompt_messages
from seqit.llm.model_call import CompletionFailed
from seqit.llm.providers.local.libraries import installed_version, silence_libraries
from seqit.llm.providers.local.model_files import find_model


class RewardJudge:
    """Scores conversations with a model that has one output; the number has no fixed scale.

    path: a folder or a hub name; remote code is never run. The model's chat template is applied;
    if it has none, question and answer are encoded as a text pair. A conversation that is longer
    than the model's context is not truncated: it has no reward. Raises SeqitError if the model
    cannot be loaded.
    """

    def __init__(self, path: str, *, batch_size: int = 8) -> None:
        self.name = f"reward:{path}"
        self._path = path
        self._batch_size = batch_size
        self._model: Any = None
        self._tokenizer: Any = None
        self._pad: int | None = None

    def run(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield each candidate with its reward added, batch by batch."""
        while batch := list(islice(candidates, self._batch_size)):
            self._load()
            self._score(batch)
            yield from batch

    def _load(self) -> None:
        if self._model is not None:
            return
        for module in ("torch", "transformers"):
            installed_version(module, "train")
        silence_libraries()
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        folder = find_model(self._path, None).folder()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, trust_remote_code=False, dtype="auto"
            )
        except Exception as error:  # broken files raise many kinds of errors
            raise SeqitError(f"{self._path} cannot be loaded as a reward model: {error}") from error
        if model.config.num_labels != 1:
            raise SeqitError(
                f"{self._path} has {model.config.num_labels} outputs; a reward model has one"
            )
        self._pad = model.config.pad_token_id
        self._model = model.to(device).eval()

    def _score(self, batch: list[Candidate]) -> None:
        import torch

        limit = getattr(self._model.config, "max_position_embeddings", None) or 1 << 30
        encoded = [self._encode(candidate) for candidate in batch]
        lengths = [len(row["input_ids"]) for row in encoded]
        fit = [number for number, length in enumerate(lengths) if length <= limit]
        rewards: dict[int, float] = {}
        if fit:
            with torch.inference_mode():
                logits = self._model(**self._pad_batch([encoded[n] for n in fit])).logits
            rewards = dict(zip(fit, logits[:, 0].float().tolist(), strict=True))
        for number, candidate in enumerate(batch):
            reward = rewards.get(number)
            if reward is not None and math.isfinite(reward):
                candidate.add_score(METRIC, self.name, round(reward, 6))
                continue
            too_long = f"{lengths[number]} tokens are more than the model takes ({limit})"
            message = too_long if reward is None else f"the model's output is {reward}, no number"
            reason = "too-long" if reward is None else "not-a-number"
            candidate.add_unscored(METRIC, self.name, CompletionFailed(METRIC, reason, message))

    def _pad_batch(self, rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        """Return the batch as tensors of shape (rows, longest row), padded on the right.

        The head reads the last token that is not padding. If the model names no padding token, one
        that occurs in no row is used: with the end token, a row's own end would count as padding.
        """
        import torch

        used = {token for row in rows for token in row["input_ids"]}
        pad = next(n for n in range(len(used) + 1) if n not in used)
        pad = pad if self._pad is None else self._pad
        self._model.config.pad_token_id = pad
        longest = max(len(row["input_ids"]) for row in rows)
        return {
            name: torch.tensor(
                [
                    row[name] + [pad if name == "input_ids" else 0] * (longest - len(row[name]))
                    for row in rows
                ],
                device=self._model.device,
            )
            for name in rows[0]
        }

    def _encode(self, candidate: Candidate) -> dict[str, list[int]]:
        """Return the token ids of the conversation, with special tokens added exactly once."""
        chat: list[Any] = [*prompt_messages(candidate.item)]
        for turn in chat:
            if not isinstance(turn["content"], str):
                raise SeqitError(
                    f"{self.name} takes no images, and item {candidate.item['id']} has"
                )
        if self._tokenizer.chat_template:
            chat.append({"role": "assistant", "content": candidate.answer})
            text = self._tokenizer.apply_chat_template(chat, tokenize=False)
            encoded = self._tokenizer(text, add_special_tokens=False)
        else:
            question = "\n\n".join(turn["content"] for turn in chat)
            encoded = self._tokenizer(question, candidate.answer)
        names = ("input_ids", "attention_mask", "token_type_ids")
        return {name: encoded[name] for name in names if name in encoded}
