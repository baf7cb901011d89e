"""A model's folder: its settings files, and how it is written atomically."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from seqit.errors import SeqitError
from seqit.stores.partial import partial_folder

MAX_SHARD_SIZE = "5GB"
"""Maximum size of one file of weights."""

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin")
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_SETTINGS = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt"),
    *("*.model", "*.tiktoken", "chat_template.*", "additional_chat_templates"),
    *("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"),
    "qformer_tokenizer",
)
"""Files of the tokenizer, the chat template and the processor."""


def has_weights(folder: Path) -> bool:
    """Return True if a folder contains the weights of a whole model, not only of an adapter."""
    return any(
        not path.name.startswith("adapter_") for kind in _WEIGHTS for path in folder.glob(kind)
    )


def copy_settings(folders: Iterable[Path], out: Path, template: str | None = None) -> None:
    """Copy tokenizer, templates and processor unchanged from the first folder with a tokenizer.

    template: a file with the chat template used in training, which replaces the folder's own.
    generation_config.json comes from the first folder that has one. Raises SeqitError if no folder
    has a tokenizer, or if it cannot be loaded.
    """
    candidates = list(folders)
    source = next((each for each in candidates if _has_tokenizer(each)), None)
    if source is None:
        raise SeqitError(
            f"there is no tokenizer in {' or '.join(map(str, candidates))}, and the model cannot "
            "be used without one; copy the tokenizer used in training there"
        )
    for pattern in _SETTINGS:
        for path in source.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, out / path.name, dirs_exist_ok=True)
            else:
                shutil.copyfile(path, out / path.name)
    if template:
        _copy_template(Path(template), out)
    paths = (each / "generation_config.json" for each in candidates)
    if settings := next((each for each in paths if each.is_file()), None):
        shutil.copyfile(settings, out / settings.name)
    _check_tokenizer(out, source)


def add_eos_tokens(folder: Path, token_ids: Iterable[int]) -> None:
    """Add the tokens that end a turn to eos_token_id in generation_config.json.

    A base model that was not trained for chat stops only at its end-of-text token, which the
    fine-tuned model no longer generates.
    """
    from transformers import AutoTokenizer

    path = folder / "generation_config.json"
    settings = orjson.loads(path.read_bytes()) if path.is_file() else {}
    current = settings.get("eos_token_id")
    if current is None:
        current = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False).eos_token_id
    present = [current] if isinstance(current, int) else current or []
    settings["eos_token_id"] = list(dict.fromkeys([*present, *token_ids]))
    path.write_bytes(orjson.dumps(settings, option=orjson.OPT_INDENT_2))


def _copy_template(file: Path, out: Path) -> None:
    try:
        shutil.copyfile(file, out / "chat_template.jinja")
    except FileNotFoundError:
        raise SeqitError(f"the chat template {file}, used in training, no longer exists") from None


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _TOKENIZER)


def _check_tokenizer(folder: Path, source: Path) -> None:
    from transformers import AutoTokenizer

    try:
        AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:
        raise SeqitError(f"the tokenizer in {source} cannot be loaded: {error}") from error


@contextlib.contextmanager
def new_folder(final: Path, min_bytes: int = 0) -> Iterator[Path]:
    """Yield a temporary folder next to `final`, and rename it to `final` after the block.

    min_bytes: bytes that will be written at least. Raises SeqitError if the disk has less free
    space or a write fails; then nothing is left behind.
    """
    final = final.absolute()
    _check_exists(final.parent)
    free = shutil.disk_usage(final.parent).free
    if free < min_bytes:
        raise SeqitError(
            f"{final} needs {min_bytes / 1e9:.1f} GB, but the disk has {free / 1e9:.1f} GB left"
        )
    try:
        with partial_folder(final) as folder:
            yield folder
            for path in folder.rglob("*"):
                fsync(path)
            folder.replace(final)  # `final` may exist if it is empty
            fsync(final.parent)
    except OSError as error:
        raise SeqitError(f"{final} cannot be written: {error.strerror or error}") from error


def fsync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_exists(folder: Path) -> None:
    if not folder.is_dir():
        raise SeqitError(f"the folder {folder} does not exist; create it first")
