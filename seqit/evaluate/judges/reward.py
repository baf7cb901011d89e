"""A reward model as judge: a sequence classification head gives each answer one number."""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

from seqit.errors import SeqitError
from seqit.evaluate.judges.candidate import Candidate
from seqit.evaluate.judges.controls import REWARD as METRIC
from seqit.llm.chat import chat_of
from seqit.llm.model_call import CompletionFailed
from seqit.llm.providers.local.model_files import find_model, installed_version, silence_libraries


class RewardJudge:
    """Scores conversations with a model of one output; the number has no fixed scale.

    path: a folder or a hub name; no code of theirs is run. The chat is put as the model's own
    template puts it; without one, question and answer go in as a pair of texts. What is longer
    than the model takes is not cut: it has no reward. Raises SeqitError where it cannot be loaded.
    """

    def __init__(self, path: str, *, batch_size: int = 8) -> None:
        self.name = f"reward:{path}"
        self._path = path
        self._batch_size = batch_size
        self._model: Any = None
        self._tokenizer: Any = None
        self._pad: int | None = None

    def run(self, candidates: Iterator[Candidate]) -> Iterator[Candidate]:
        """Yield each candidate with its reward added; they are read by the batch."""
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
        except Exception as error:  # whatever the files are wrong in
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
        ids = [self._ids(candidate) for candidate in batch]
        fit = [number for number, each in enumerate(ids) if len(each["input_ids"]) <= limit]
        rewards: dict[int, float] = {}
        if fit:
            with torch.inference_mode():
                logits = self._model(**self._padded([ids[n] for n in fit])).logits
            rewards = dict(zip(fit, logits[:, 0].float().tolist(), strict=True))
        for number, candidate in enumerate(batch):
            reward = rewards.get(number)
            if reward is not None and math.isfinite(reward):
                candidate.score(METRIC, self.name, round(reward, 6))
                continue
            why = f"{len(ids[number]['input_ids'])} tokens are more than the model takes ({limit})"
            message = why if reward is None else f"the model's output is {reward}, no number"
            reason = "too-long" if reward is None else "not-a-number"
            candidate.unscored(METRIC, self.name, CompletionFailed(METRIC, reason, message))

    def _padded(self, rows: list[dict[str, list[int]]]) -> dict[str, Any]:
        """Return the batch as tensors (rows, longest), padded on the right.

        The head reads the last token that is not the padding. Where the model names none, that is
        one which no row has: an end token would hide the end of a row that has it, too.
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

    def _ids(self, candidate: Candidate) -> dict[str, list[int]]:
        """Return the tokens of the conversation, special ones included once."""
        chat: list[Any] = [*chat_of(candidate.item)]
        for turn in chat:
            if not isinstance(turn["content"], str):
                raise SeqitError(
                    f"{self.name} takes no images, and item {candidate.item['id']} has"
                )
        if self._tokenizer.chat_template:
            chat.append({"role": "assistant", "content": candidate.answer})
            text = self._tokenizer.apply_chat_template(chat, tokenize=False)
            found = self._tokenizer(text, add_special_tokens=False)
        else:
            asked = "\n\n".join(turn["content"] for turn in chat)
            found = self._tokenizer(asked, candidate.answer)
        kept = ("input_ids", "attention_mask", "token_type_ids")
        return {name: found[name] for name in kept if name in found}
