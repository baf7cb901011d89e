"""Embeddings of texts by a local sentence-embedding model, with transformers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local.libraries import installed_version

_BATCH_SIZE = 32  # texts
_DEFAULT_MAX_TOKENS = 512  # if neither the model nor its tokenizer has a limit
_POOLING_CONFIG = "1_Pooling/config.json"  # sentence-transformers' format
_POOLING_MODES = {"pooling_mode_cls_token": "first", "pooling_mode_lasttoken": "last"}


class EmbeddingModel:
    """A model whose hidden states, pooled over the tokens of a text, are its embedding.

    The pooling is read from the folder's 1_Pooling/config.json (sentence-transformers' format):
    the first token, the last one, or, by default, the mean of all. Longer texts are truncated.
    """

    def __init__(self, folder: str) -> None:
        """Load the model.

        Raises UsageError if the folder has no config.json, SeqitError if the model does not load.
        """
        if not Path(folder, "config.json").is_file():
            raise UsageError(f"--embeddings: {folder} is not a model folder (no config.json)")
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
        self._pooling = _pooling(Path(folder, _POOLING_CONFIG))
        positions = getattr(model.config, "max_position_embeddings", None) or _DEFAULT_MAX_TOKENS
        # RoBERTa's positions begin after the id of its pad token.
        offset = (model.config.pad_token_id or 0) + 1 if "roberta" in model.config.model_type else 0
        self._max_tokens = min(self._tokenizer.model_max_length, positions - offset)
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._tokenizer.padding_side = "right"

    def embed(self, texts: Sequence[str]) -> Any:
        """Return vectors of norm 1: texts × width, float32."""
        import numpy as np
        import torch

        vectors = np.zeros((len(texts), self.width), np.float32)
        # Batches of texts of similar length need less padding.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), _BATCH_SIZE):
            indices = order[start : start + _BATCH_SIZE]
            batch = self._tokenizer(
                [texts[index] for index in indices],
                padding=True,
                truncation=True,
                max_length=self._max_tokens,
                return_tensors="pt",
            ).to(self._device)
            with torch.inference_mode():
                states = self._model(**batch).last_hidden_state
            pooled = self._pool(states.float(), batch["attention_mask"])
            vectors[indices] = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors

    def _pool(self, states: Any, mask: Any) -> Any:
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
        config = json.loads(file.read_bytes())
    except FileNotFoundError:
        return "mean"
    except (OSError, ValueError) as error:
        raise SeqitError(f"{file} cannot be read: {error}") from None
    return next((name for key, name in _POOLING_MODES.items() if config.get(key)), "mean")
