"""What a cell sees of the file system: Python's library and the shared ones, read-only."""

import os
from pathlib import Path
from typing import NamedTuple

SCRATCH = "/scratch"
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_SHARED = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/nix/store", "/etc/ld.so.cache")
_PACKAGES = ("site-packages", "dist-packages")  # hidden: an answer has the standard library alone


class MountPlan(NamedTuple):
    """Paths that stand in the cell where they stand outside."""

    shown: tuple[str, ...]  # directories and files, read-only
    links: tuple[tuple[str, str], ...]  # (path, what it points to)
    hidden: tuple[str, ...]  # directories below those shown that are empty in the cell


def mount_plan(prefix: str) -> MountPlan:
    """Return the plan for the Python installed under `prefix` (sys.base_prefix)."""
    wanted = [path for path in _SHARED if Path(path).exists()]
    library = str(Path(os.__file__).parent)
    for path in (f"{prefix}/lib", library):
        if not any(path == known or path.startswith(f"{known}/") for known in wanted):
            wanted.append(path)
    links = tuple((path, str(Path(path).readlink())) for path in wanted if Path(path).is_symlink())
    linked = {path for path, _ in links}
    shown = tuple(path for path in wanted if path not in linked)
    below = (Path(library) / name for name in _PACKAGES)
    return MountPlan(shown, links, tuple(str(path) for path in below if path.is_dir()))
