"""A model's folder: what lies in it beside the weights, and how it appears whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from seqit.errors import SeqitError
from seqit.stores.partial import partial_folder

SHARD = "5GB"
"""The most that one file of weights holds."""

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin")
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_SETTINGS = (
    *("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt"),
    *("*.model", "*.tiktoken", "chat_template.*", "additional_chat_templates"),
    *("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"),
    "qformer_tokenizer",
)
"""What says how text and images become a model's input."""


def has_weights(folder: Path) -> bool:
    """Tell whether a folder holds a whole model's weights."""
    return any(
        not path.name.startswith("adapter_") for kind in _WEIGHTS for path in folder.glob(kind)
    )


def copy_settings(folders: Iterable[Path], out: Path, template: str | None = None) -> None:
    """Copy tokenizer, templates and processor, as they are, from the first folder that has them.

    template: a file with the chat template that the model was trained with, in place of theirs.
    How answers end and are drawn by default comes from the first that says so. Raises SeqitError
    where no folder has a tokenizer, or it does not open.
    """
    ordered = list(folders)
    owner = next((each for each in ordered if _has_tokenizer(each)), None)
    if owner is None:
        raise SeqitError(
            f"there is no tokenizer in {' or '.join(map(str, ordered))}: nobody could use the "
            "model; put the one that it was trained with there"
        )
    for pattern in _SETTINGS:
        for path in owner.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, out / path.name, dirs_exist_ok=True)
            else:
                shutil.copyfile(path, out / path.name)
    if template:
        _put_template(Path(template), out)
    said = (each / "generation_config.json" for each in ordered)
    if settings := next((each for each in said if each.is_file()), None):
        shutil.copyfile(settings, out / settings.name)
    _check_tokenizer(out, owner)


def end_at(folder: Path, tokens: Iterable[int]) -> None:
    """Have generation stop at these tokens, too: those that the model learnt to end a turn with.

    A base that was not made for chat stops at the end of a text alone, which it no longer says.
    """
    from transformers import AutoTokenizer

    path = folder / "generation_config.json"
    settings = orjson.loads(path.read_bytes()) if path.is_file() else {}
    known = settings.get("eos_token_id")
    if known is None:
        known = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False).eos_token_id
    before = [known] if isinstance(known, int) else known or []
    settings["eos_token_id"] = list(dict.fromkeys([*before, *tokens]))
    path.write_bytes(orjson.dumps(settings, option=orjson.OPT_INDENT_2))


def _put_template(file: Path, out: Path) -> None:
    try:
        shutil.copyfile(file, out / "chat_template.jinja")
    except FileNotFoundError:
        raise SeqitError(f"the chat template {file}, which it was trained with, is gone") from None


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _TOKENIZER)


def _check_tokenizer(folder: Path, owner: Path) -> None:
    from transformers import AutoTokenizer

    try:
        AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except Exception as error:
        raise SeqitError(f"the tokenizer in {owner} does not open: {error}") from error


@contextlib.contextmanager
def new_folder(final: Path, need: int = 0) -> Iterator[Path]:
    """Give a folder beside `final` to write into, and name it `final` when the block is done.

    need: bytes that are to be written at least. Raises SeqitError where the disk has less, or is
    full in the middle; nothing is left then.
    """
    final = final.absolute()
    _existing(final.parent)
    free = shutil.disk_usage(final.parent).free
    if free < need:
        raise SeqitError(
            f"{final} needs {need / 1e9:.1f} GB, and the disk has {free / 1e9:.1f} GB left"
        )
    try:
        with partial_folder(final) as folder:
            yield folder
            for path in folder.rglob("*"):
                sync(path)
            folder.replace(final)  # which may be there, empty
            sync(final.parent)
    except OSError as error:
        raise SeqitError(f"{final} cannot be written: {error.strerror or error}") from error


def sync(path: Path) -> None:
    """Have the disk hold a file, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _existing(folder: Path) -> None:
    if not folder.is_dir():
        raise SeqitError(f"the folder {folder} is not there; make it first")
