"""Embeddings of texts by a sentence-embedding model in a folder, with transformers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local.model_files import installed_version

_AT_ONCE = 32  # texts
_MOST_TOKENS = 512  # where neither the model nor its tokenizer says how many it takes
_POOLING = "1_Pooling/config.json"  # where sentence-transformers keeps it
_MODES = {"pooling_mode_cls_token": "first", "pooling_mode_lasttoken": "last"}


class EmbeddingModel:
    """A model whose hidden states, pooled over a text's tokens, stand for the text.

    They are pooled as the folder's 1_Pooling/config.json says (sentence-transformers' format):
    the first token, the last one, or, by default, the mean of all. Longer texts are cut off.
    """

    def __init__(self, folder: str) -> None:
        """Load the model; raises UsageError for no folder, SeqitError for one without a model."""
        if not Path(folder, "config.json").is_file():
            raise UsageError(f"--embeddings: {folder} is no folder of a model (no config.json)")
        installed_version("transformers", "train")
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model = AutoModel.from_pretrained(folder, trust_remote_code=False, dtype="float32")
        except Exception as error:
            raise SeqitError(f"--embeddings: transformers cannot load {folder}: {error}") from error
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.to(self._device).eval()
        self.width = int(model.config.hidden_size)
        self._pooling = _pooling(Path(folder, _POOLING))
        taken = getattr(model.config, "max_position_embeddings", None) or _MOST_TOKENS
        # RoBERTa's positions begin after its pad token's number.
        offset = (model.config.pad_token_id or 0) + 1 if "roberta" in model.config.model_type else 0
        self._most = min(self._tokenizer.model_max_length, taken - offset)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._tokenizer.padding_side = "right"

    def embed(self, texts: Sequence[str]) -> Any:
        """Return vectors of length 1: texts × width, float32."""
        import numpy as np
        import torch

        vectors = np.zeros((len(texts), self.width), np.float32)
        # Texts of like length together: the less is padding, the less is computed in vain.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        for start in range(0, len(order), _AT_ONCE):
            numbers = order[start : start + _AT_ONCE]
            batch = self._tokenizer(
                [texts[number] for number in numbers],
                padding=True,
                truncation=True,
                max_length=self._most,
                return_tensors="pt",
            ).to(self._device)
            with torch.inference_mode():
                states = self._model(**batch).last_hidden_state
            pooled = self._pooled(states.float(), batch["attention_mask"])
            vectors[numbers] = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors

    def _pooled(self, states: Any, mask: Any) -> Any:
        import torch

        rows = torch.arange(len(states), device=states.device)
        if self._pooling == "first":
            return states[:, 0]
        if self._pooling == "last":
            return states[rows, mask.sum(dim=1) - 1]
        weights = mask.unsqueeze(-1).float()
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def _pooling(file: Path) -> str:
    try:
        told = json.loads(file.read_bytes())
    except FileNotFoundError:
        return "mean"
    except (OSError, ValueError) as error:
        raise SeqitError(f"{file} cannot be read: {error}") from None
    return next((name for key, name in _MODES.items() if told.get(key)), "mean")
