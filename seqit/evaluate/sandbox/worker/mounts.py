"""The worker's view of the file system: Python's library and shared libraries, read-only."""

import os
from pathlib import Path
from typing import NamedTuple

SCRATCH = "/scratch"
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/nix/store", "/etc/ld.so.cache")
_HIDDEN = ("site-packages", "dist-packages")  # an answer may use the standard library only


class MountPlan(NamedTuple):
    """Paths that exist in the worker's root, at the same place as on the host."""

    visible: tuple[str, ...]  # directories and files, read-only
    symlinks: tuple[tuple[str, str], ...]  # (path, target)
    hidden: tuple[str, ...]  # directories below the visible ones that are empty in the worker


def mount_plan(prefix: str) -> MountPlan:
    """Return the plan for the Python installed under `prefix` (sys.base_prefix)."""
    paths = [path for path in _LIBRARIES if Path(path).exists()]
    library = str(Path(os.__file__).parent)
    for path in (f"{prefix}/lib", library):
        if not any(path == known or path.startswith(f"{known}/") for known in paths):
            paths.append(path)
    symlinks = tuple(
        (path, str(Path(path).readlink())) for path in paths if Path(path).is_symlink()
    )
    linked = {path for path, _ in symlinks}
    visible = tuple(path for path in paths if path not in linked)
    hidden = (Path(library) / name for name in _HIDDEN)
    return MountPlan(visible, symlinks, tuple(str(path) for path in hidden if path.is_dir()))
