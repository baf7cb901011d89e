"""Checkpoints, written atomically and independent of the number of ranks that wrote them.

    OUT/checkpoints/step-00000012/state-00000-of-00002.safetensors   one or more files per rank
                                  complete.json                      step, sizes and hashes

Each rank writes its share of the tensors, each one in full. The folder is renamed to its final
name once all tensors are written.
"""

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import xxhash

from seqit.errors import SeqitError
from seqit.stores.targets import atomic_file
from seqit.train.loop.engine_state import WEIGHT
from seqit.train.model.folder import fsync

if TYPE_CHECKING:
    from seqit.train.loop.engine_state import EngineState, StateTensor

CHECKPOINTS_FOLDER = "checkpoints"
COMPLETE_FILE = "complete.json"
PARTIAL_SUFFIX = ".partial"
PART_BYTES = 4 << 30
"""Bytes after which a rank starts another file."""

_NAME = re.compile(r"step-(\d{8,})")


class ProcessGroup(NamedTuple):
    """The number of this rank, the number of all ranks, and a barrier for all of them."""

    rank: int
    world_size: int
    barrier: Callable[[], None]


class Checkpoint(NamedTuple):
    """A complete checkpoint: its folder, the number of steps done, and the run's notes."""

    folder: Path
    step: int
    notes: dict[str, Any]


def save(
    out: Path,
    step: int,
    state: "EngineState",
    group: ProcessGroup,
    *,
    notes: dict[str, Any],
    keep: int,
) -> Path:
    """Write the state after `step` steps, then remove all but the newest `keep` checkpoints.

    Called by every rank. Raises SeqitError if the disk is full; older checkpoints are then kept.
    """
    final = out / CHECKPOINTS_FOLDER / f"step-{step:08}"
    partial = final.with_name(f".{final.name}{PARTIAL_SUFFIX}")
    if group.rank == 0:
        with _write_errors(final):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
    group.barrier()
    try:
        with _write_errors(final):
            _write_own_tensors(partial, state, group)
        group.barrier()
        if group.rank == 0:
            with _write_errors(final):
                _check_complete(partial, state)
                _write_complete_file(partial, step, group.world_size, notes)
                shutil.rmtree(final, ignore_errors=True)  # a corrupt one of the same step
                partial.rename(final)
                fsync(final.parent)
    except BaseException:
        if group.rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
        raise
    if group.rank == 0:
        prune(out, keep)
    group.barrier()
    return final


def newest(out: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """Return the newest complete checkpoint; `warn` gets a message about each broken one."""
    for folder in reversed(_checkpoint_folders(out)):
        try:
            return _open_checkpoint(folder)
        except SeqitError as error:
            warn(f"{error}; it is skipped for the one before it")
    return None


def load(checkpoint: Checkpoint, state: "EngineState") -> None:
    """Load a checkpoint into the state; called by every rank.

    Raises SeqitError if the checkpoint belongs to other weights.
    """
    from safetensors import safe_open

    with contextlib.ExitStack() as stack:
        files: dict[str, Any] = {}
        for path in sorted(checkpoint.folder.glob("*.safetensors")):
            file = stack.enter_context(safe_open(path, "pt"))
            files |= dict.fromkeys(file.keys(), file)
        tensors = [tensor for tensor, _ in state.tensors()]
        if {tensor.key for tensor in tensors} != files.keys():
            raise SeqitError(f"{checkpoint.folder} contains other weights than this run trains")
        state.init_moments(checkpoint.step)
        for tensor in tensors:
            state.write(tensor, files[tensor.key].get_tensor(tensor.key))


def load_weights(folder: Path) -> dict[str, Any]:
    """Return the trained weights in a checkpoint's folder by name, in float32.

    Raises SeqitError if the checkpoint is incomplete or corrupt.
    """
    from safetensors import safe_open

    checkpoint = _open_checkpoint(folder)
    weights: dict[str, Any] = {}
    for path in sorted(checkpoint.folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for key in file.keys():  # noqa: SIM118  # not a dictionary
                kind, _, name = key.partition("/")
                if kind == WEIGHT:
                    weights[name] = file.get_tensor(key)
    return weights


def prune(out: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints."""
    folders = _checkpoint_folders(out)
    for folder in folders[: max(len(folders) - keep, 0)]:
        partial = folder.with_name(f".{folder.name}{PARTIAL_SUFFIX}")
        folder.rename(partial)  # so that a partly removed one is not taken for a checkpoint
    remove_partial(out)


def remove_partial(out: Path) -> None:
    """Remove the partial folders of a run that was killed while it wrote or removed checkpoints."""
    for partial in (out / CHECKPOINTS_FOLDER).glob(f".step-*{PARTIAL_SUFFIX}"):
        shutil.rmtree(partial, ignore_errors=True)


def _checkpoint_folders(out: Path) -> list[Path]:
    """Return the folders named like a checkpoint, oldest first."""
    paths = (out / CHECKPOINTS_FOLDER).glob("step-*")
    folders = (path for path in paths if _NAME.fullmatch(path.name))
    return sorted(folders, key=lambda path: int(path.name.removeprefix("step-")))


def _assign_owners(
    sizes: "list[tuple[StateTensor, int]]", ranks: int
) -> "list[tuple[StateTensor, int]]":
    """Return the rank that writes each tensor, balanced by size; in the order of the tensors."""
    loads = [0] * ranks
    owners: dict[str, int] = {}
    for tensor, size in sorted(sizes, key=lambda each: -each[1]):
        owners[tensor.key] = owner = loads.index(min(loads))
        loads[owner] += size
    return [(tensor, owners[tensor.key]) for tensor, _ in sizes]


def _write_own_tensors(folder: Path, state: "EngineState", group: ProcessGroup) -> None:
    tensors: dict[str, Any] = {}
    size = part = 0
    for tensor, owner in _assign_owners(state.tensors(), group.world_size):
        value = state.read(tensor)  # on every rank: each has a shard of it
        if owner != group.rank:
            continue
        tensors[tensor.key] = value.cpu().contiguous()
        size += value.numel() * value.element_size()
        if size >= PART_BYTES:
            _write_part(folder, group, part, tensors)
            tensors, size, part = {}, 0, part + 1
    if tensors:
        _write_part(folder, group, part, tensors)


def _write_part(folder: Path, group: ProcessGroup, part: int, tensors: dict[str, Any]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    suffix = f"-{part:03}" if part else ""
    path = folder / f"state-{group.rank:05}-of-{group.world_size:05}{suffix}.safetensors"
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise OSError(None, str(error)) from error
    fsync(path)


def _check_complete(folder: Path, state: "EngineState") -> None:
    """Raise SeqitError if the tensors of other ranks are missing in this folder."""
    from safetensors import safe_open

    keys: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            keys.update(file.keys())
    if keys != {tensor.key for tensor, _ in state.tensors()}:
        raise SeqitError(
            f"{folder.parent} does not contain the files that other ranks wrote there; --output "
            "must be a folder that all nodes share"
        )


def _write_complete_file(folder: Path, step: int, ranks: int, notes: dict[str, Any]) -> None:
    files = {
        path.name: {"bytes": path.stat().st_size, "xxh3_64": _hash(path)}
        for path in sorted(folder.glob("*.safetensors"))
    }
    content = {"step": step, "ranks": ranks, "files": files, "notes": notes}
    with atomic_file(str(folder / COMPLETE_FILE)) as file:
        file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    fsync(folder)


def _open_checkpoint(folder: Path) -> Checkpoint:
    """Return the checkpoint in a folder; raises SeqitError if it is incomplete or corrupt."""
    try:
        content = orjson.loads((folder / COMPLETE_FILE).read_bytes())
        step, notes, files = int(content["step"]), content["notes"], content["files"]
        for name, expected in files.items():
            path = folder / name
            if path.stat().st_size != expected["bytes"] or _hash(path) != expected["xxh3_64"]:
                raise SeqitError(f"the checkpoint {folder} is corrupt: {name} has changed")
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        raise SeqitError(f"the checkpoint {folder} is incomplete: {missing} is missing") from None
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        raise SeqitError(
            f"the checkpoint {folder} is corrupt: {COMPLETE_FILE} cannot be read"
        ) from None
    return Checkpoint(folder, step, notes)


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 24), b""):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def _write_errors(final: Path) -> Iterator[None]:
    """Convert OSError in the block to SeqitError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise SeqitError(
            f"the checkpoint {final} cannot be written: {reason}. Earlier checkpoints are "
            "complete: free disk space, then continue with --resume"
        ) from error
