"""Checkpoints: whole or not there, and the same whatever the number of ranks that wrote them.

    OUT/checkpoints/step-00000012/state-00000-of-00002.safetensors   one file, or several, a rank
                                  complete.json                      step, sizes and hashes

Each rank writes whole tensors, its share of them. The folder gets its name when all are written.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import xxhash

from seqit.errors import SeqitError
from seqit.stores.targets import whole_file
from seqit.train.loop.engine_state import WEIGHT

if TYPE_CHECKING:
    from seqit.train.loop.engine_state import EngineState, Tensor

FOLDER = "checkpoints"
COMPLETE = "complete.json"
PARTIAL = ".partial"
PART_BYTES = 4 << 30
"""Bytes after which a rank begins another file."""

_NAME = re.compile(r"step-(\d{8,})")


class Ranks(NamedTuple):
    """Which rank this is, of how many, and what makes it wait for all others."""

    rank: int
    size: int
    wait: Callable[[], None]


class Checkpoint(NamedTuple):
    """A whole checkpoint: where it lies, after which step, and what its run wrote beside."""

    folder: Path
    step: int
    notes: dict[str, Any]


def save(
    out: Path, step: int, state: "EngineState", ranks: Ranks, *, notes: dict[str, Any], keep: int
) -> Path:
    """Write the state after `step` steps, then remove all but the newest `keep` checkpoints.

    Every rank calls it. Raises SeqitError where the disk is full; then the older ones are all
    there still.
    """
    final = out / FOLDER / f"step-{step:08}"
    partial = final.with_name(f".{final.name}{PARTIAL}")
    if ranks.rank == 0:
        with _told(final):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
    ranks.wait()
    try:
        with _told(final):
            _write_share(partial, state, ranks)
        ranks.wait()
        if ranks.rank == 0:
            with _told(final):
                _check_whole(partial, state)
                _seal(partial, step, ranks.size, notes)
                shutil.rmtree(final, ignore_errors=True)  # a corrupt one of the same step
                partial.rename(final)
                _sync(final.parent)
    except BaseException:
        if ranks.rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    if ranks.rank == 0:
        prune(out, keep)
    ranks.wait()
    return final


def newest(out: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """Return the newest whole checkpoint; `say` gets a sentence about each broken one."""
    for folder in reversed(_folders(out)):
        try:
            return _opened(folder)
        except SeqitError as error:
            say(f"{error}; it is passed over for the one before")
    return None


def load(checkpoint: Checkpoint, state: "EngineState") -> None:
    """Set the state to what the checkpoint holds; every rank calls it.

    Raises SeqitError where it is not of this model.
    """
    from safetensors import safe_open

    with contextlib.ExitStack() as stack:
        places: dict[str, Any] = {}
        for path in sorted(checkpoint.folder.glob("*.safetensors")):
            file = stack.enter_context(safe_open(path, "pt"))
            places |= dict.fromkeys(file.keys(), file)
        wanted = [tensor for tensor, _ in state.tensors()]
        if {tensor.key for tensor in wanted} != places.keys():
            raise SeqitError(f"{checkpoint.folder} is of other weights than are trained here")
        state.begin(checkpoint.step)
        for tensor in wanted:
            state.write(tensor, places[tensor.key].get_tensor(tensor.key))


def weights(folder: Path) -> dict[str, Any]:
    """Return the trained weights in a checkpoint's folder, in float32, by name.

    Raises SeqitError where it is not whole.
    """
    from safetensors import safe_open

    checkpoint = _opened(folder)
    found: dict[str, Any] = {}
    for path in sorted(checkpoint.folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for key in file.keys():  # noqa: SIM118  # no dictionary
                kind, _, name = key.partition("/")
                if kind == WEIGHT:
                    found[name] = file.get_tensor(key)
    return found


def prune(out: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    folders = _folders(out)
    for folder in folders[: max(len(folders) - keep, 0)]:
        gone = folder.with_name(f".{folder.name}{PARTIAL}")
        folder.rename(gone)  # a name that nobody takes for a checkpoint, while it is removed
    sweep(out)


def sweep(out: Path) -> None:
    """Remove what a run that ended in the middle of writing or removing a checkpoint has left."""
    for left in (out / FOLDER).glob(f".step-*{PARTIAL}"):
        shutil.rmtree(left, ignore_errors=True)


def _folders(out: Path) -> list[Path]:
    """Return what is named as a checkpoint, oldest first."""
    found = (path for path in (out / FOLDER).glob("step-*") if _NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def _shares(sizes: "list[tuple[Tensor, int]]", ranks: int) -> "list[tuple[Tensor, int]]":
    """Return which rank writes each tensor, so that all write about as much; in the same order."""
    loads = [0] * ranks
    owners: dict[str, int] = {}
    for tensor, size in sorted(sizes, key=lambda each: -each[1]):
        owners[tensor.key] = owner = loads.index(min(loads))
        loads[owner] += size
    return [(tensor, owners[tensor.key]) for tensor, _ in sizes]


def _write_share(folder: Path, state: "EngineState", ranks: Ranks) -> None:
    held: dict[str, Any] = {}
    size = part = 0
    for tensor, owner in _shares(state.tensors(), ranks.size):
        value = state.read(tensor)  # on every rank: they hold it together
        if owner != ranks.rank:
            continue
        held[tensor.key] = value.cpu().contiguous()
        size += value.numel() * value.element_size()
        if size >= PART_BYTES:
            _write_part(folder, ranks, part, held)
            held, size, part = {}, 0, part + 1
    if held:
        _write_part(folder, ranks, part, held)


def _write_part(folder: Path, ranks: Ranks, part: int, tensors: dict[str, Any]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    more = f"-{part:03}" if part else ""
    path = folder / f"state-{ranks.rank:05}-of-{ranks.size:05}{more}.safetensors"
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise OSError(None, str(error)) from error
    _sync(path)


def _check_whole(folder: Path, state: "EngineState") -> None:
    """Raise SeqitError where what other ranks have written is not here."""
    from safetensors import safe_open

    found: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            found.update(file.keys())
    if found != {tensor.key for tensor, _ in state.tensors()}:
        raise SeqitError(
            f"{folder.parent} does not show what other ranks write there; --out has to be a folder "
            "that all nodes share"
        )


def _seal(folder: Path, step: int, ranks: int, notes: dict[str, Any]) -> None:
    files = {
        path.name: {"bytes": path.stat().st_size, "xxh3_64": _hash(path)}
        for path in sorted(folder.glob("*.safetensors"))
    }
    content = {"step": step, "ranks": ranks, "files": files, "notes": notes}
    with whole_file(str(folder / COMPLETE)) as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    _sync(folder)


def _opened(folder: Path) -> Checkpoint:
    """Return the checkpoint in a folder; raises SeqitError with what is wrong with it."""
    try:
        content = orjson.loads((folder / COMPLETE).read_bytes())
        step, notes, files = int(content["step"]), content["notes"], content["files"]
        for name, said in files.items():
            path = folder / name
            if path.stat().st_size != said["bytes"] or _hash(path) != said["xxh3_64"]:
                raise SeqitError(f"the checkpoint {folder} is corrupt: {name} is not as written")
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise SeqitError(f"the checkpoint {folder} is not whole: {missing} is missing") from None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise SeqitError(f"the checkpoint {folder} is corrupt: {COMPLETE} cannot be read") from None
    return Checkpoint(folder, step, notes)


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 24), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    """Have the disk hold a file, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(final: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise SeqitError(
            f"the checkpoint {final} cannot be written: {why}. The ones before it are whole: make "
            "room, then go on with --resume"
        ) from error
