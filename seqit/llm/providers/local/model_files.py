"""Which model it is: folders and hub names, and what tells one state of a model from another."""

import hashlib
import os
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any, NamedTuple

from seqit.errors import SeqitError

DECIDING = {".json", ".jinja", ".model", ".txt", ".tiktoken", ".safetensors", ".bin", ".gguf"}
WHOLE = 16 << 20
"""Bytes up to which a file is hashed whole."""
SLICES, SLICE = 256, 4096
"""How many slices of how many bytes are taken of a larger file."""


class LocatedModel(NamedTuple):
    """A model: a folder, or a name on the hub; `revision` is its content's or its commit's."""

    model: str
    revision: str
    is_folder: bool

    @property
    def label(self) -> str:
        """What stands in a completion as the model that gave it."""
        return f"{self.model}@{self.revision[:12]}"

    def folder(self) -> str:
        """Return where its files lie, fetched where they are not here yet."""
        if self.is_folder:
            return self.model
        from huggingface_hub import snapshot_download

        return snapshot_download(self.model, revision=self.revision)


def find_model(model: str, revision: str | None, marker: str = "config.json") -> LocatedModel:
    """Return which model a folder or a hub name stands for; needs huggingface_hub for the latter.

    A name on the hub is resolved to its commit once, without the network to the one that was
    fetched last. Raises SeqitError where there is no such model.
    """
    folder = Path(model)
    if folder.is_dir():
        if not (folder / marker).is_file():
            raise SeqitError(f"{model} is a folder without {marker}, so it holds no model")
        return LocatedModel(model, fingerprint(folder), True)
    from huggingface_hub import hf_hub_download

    try:
        # It lies in snapshots/COMMIT/ of the hub's cache.
        file = hf_hub_download(model, marker, revision=revision)
    except Exception as error:  # network, name, access: the hub's own sentence says which
        raise SeqitError(
            f"{model} is no folder here, and the hub gives no model of that name: {error}"
        ) from error
    return LocatedModel(model, Path(file).parent.name, False)


def fingerprint(folder: Path) -> str:
    """Return a hash of a model's content, the same wherever the folder lies.

    Settings, tokenizer and templates are hashed whole, and so is the weights' index; of each
    larger file its size and 256 slices spread over it, 1 MiB in all: another training run or a
    merged adapter shows, a single changed number may not.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in DECIDING or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= WHOLE:
                digest.update(file.read())
                continue
            for number in range(SLICES):
                file.seek((size - SLICE) * number // (SLICES - 1))
                digest.update(file.read(SLICE))
    return digest.hexdigest()


def installed_version(module: str, extra: str) -> str:
    """Return "DISTRIBUTION VERSION" of an installed library, without importing it.

    Raises SeqitError that names the extra where it is not installed.
    """
    names = packages_distributions().get(module)
    if not names:
        raise SeqitError(
            f"{module} is not installed; install it with: pip install 'seqit[{extra}]'"
        )
    return f"{names[0]} {version(names[0])}"


def silence_libraries() -> None:
    """Before a library is imported: no telemetry, no progress bars, warnings to standard error.

    What the user has set stays.
    """
    for name, value in (
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("DO_NOT_TRACK", "1"),
        ("VLLM_NO_USAGE_STATS", "1"),
        ("VLLM_LOGGING_LEVEL", "ERROR"),
        ("VLLM_LOGGING_STREAM", "ext://sys.stderr"),
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ):
        os.environ.setdefault(name, value)


class ModelSource:
    """The model and the adapter that a backend was asked for; looked up once, when needed."""

    def __init__(self, model: str, revision: str | None, adapter: str | None) -> None:
        self._asked = (model, revision)
        self._adapter = adapter
        self._model_found: LocatedModel | None = None
        self._adapter_found: LocatedModel | None = None

    @property
    def model(self) -> LocatedModel:
        """The model; raises SeqitError where there is none of that name."""
        if self._model_found is None:
            self._model_found = find_model(*self._asked)
        return self._model_found

    @property
    def adapter(self) -> LocatedModel | None:
        """The LoRA adapter, if one was asked for; raises SeqitError."""
        if self._adapter and self._adapter_found is None:
            self._adapter_found = find_model(self._adapter, None, "adapter_config.json")
        return self._adapter_found

    def identity(self, **more: Any) -> dict[str, Any]:
        """Return both with their revisions, and `more` that decides an answer."""
        adapter = self.adapter
        return {
            "model": self.model.model,
            "revision": self.model.revision,
            "adapter": [adapter.model, adapter.revision] if adapter else None,
            **more,
        }
