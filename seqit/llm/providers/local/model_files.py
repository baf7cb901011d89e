"""Locates models in folders and on the Hub, and identifies their revision."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from seqit.errors import SeqitError

HASHED_SUFFIXES = {
    ".json",
    ".jinja",
    ".model",
    ".txt",
    ".tiktoken",
    ".safetensors",
    ".bin",
    ".gguf",
}
MAX_WHOLE_SIZE = 16 << 20
"""Bytes up to which a file is hashed completely."""
SLICE_COUNT, SLICE_SIZE = 256, 4096
"""The number and size in bytes of the slices of a larger file that are hashed."""


class LocatedModel(NamedTuple):
    """A model: a folder or a name on the Hub; `revision` is the content's hash or the commit."""

    model: str
    revision: str
    is_folder: bool

    @property
    def label(self) -> str:
        """The model's name in completions."""
        return f"{self.model}@{self.revision[:12]}"

    def folder(self) -> str:
        """Return the folder of its files, after downloading them if necessary."""
        if self.is_folder:
            return self.model
        from huggingface_hub import snapshot_download

        return snapshot_download(self.model, revision=self.revision)


def find_model(model: str, revision: str | None, config_file: str = "config.json") -> LocatedModel:
    """Return the model of a folder or Hub name; needs huggingface_hub for the latter.

    A Hub name is resolved to a commit, offline to the one that was downloaded last. Raises
    SeqitError if there is no such model.
    """
    folder = Path(model)
    if folder.is_dir():
        if not (folder / config_file).is_file():
            raise SeqitError(f"{model} is a folder without {config_file}, so it is not a model")
        return LocatedModel(model, fingerprint(folder), True)
    from huggingface_hub import hf_hub_download

    try:
        # It is in snapshots/COMMIT/ of the Hub's cache.
        file = hf_hub_download(model, config_file, revision=revision)
    except Exception as error:  # network, name, access: the Hub's message says which
        raise SeqitError(
            f"{model} is not a folder, and the Hub returns no model of that name: {error}"
        ) from error
    return LocatedModel(model, Path(file).parent.name, False)


def fingerprint(folder: Path) -> str:
    """Return a hash of a model's content, independent of the folder's path.

    Config, tokenizer, templates and the weights' index are hashed completely; of each larger file
    its size and 256 slices spread over it, 1 MiB in total. So another training run or a merged
    adapter changes the hash, but a single changed number may not.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in HASHED_SUFFIXES or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= MAX_WHOLE_SIZE:
                digest.update(file.read())
                continue
            for number in range(SLICE_COUNT):
                file.seek((size - SLICE_SIZE) * number // (SLICE_COUNT - 1))
                digest.update(file.read(SLICE_SIZE))
    return digest.hexdigest()


class ModelSource:
    """The model and adapter of a backend; located once, when first needed."""

    def __init__(self, model: str, revision: str | None, adapter: str | None) -> None:
        self._requested = (model, revision)
        self._adapter = adapter
        self._located_model: LocatedModel | None = None
        self._located_adapter: LocatedModel | None = None

    @property
    def model(self) -> LocatedModel:
        """The model; raises SeqitError if it is not found."""
        if self._located_model is None:
            self._located_model = find_model(*self._requested)
        return self._located_model

    @property
    def adapter(self) -> LocatedModel | None:
        """The LoRA adapter if one is used; raises SeqitError if it is not found."""
        if self._adapter and self._located_adapter is None:
            self._located_adapter = find_model(self._adapter, None, "adapter_config.json")
        return self._located_adapter

    def identity(self, **settings: Any) -> dict[str, Any]:
        """Return both with their revisions, and further `settings` that decide a completion."""
        adapter = self.adapter
        return {
            "model": self.model.model,
            "revision": self.model.revision,
            "adapter": [adapter.model, adapter.revision] if adapter else None,
            **settings,
        }
