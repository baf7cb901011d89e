"""What DeepSpeed compiles before it can run: for NVMe alone, all else is PyTorch's own.

It compiles at the first use, guarded by a lock file that outlives a killed process; every later
run would wait for it for ever. So seqit compiles before the ranks start, in a folder of its own.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from seqit.errors import SeqitError

FOLDER = "TORCH_EXTENSIONS_DIR"
BUILD = """
import deepspeed
from deepspeed.accelerator import get_accelerator
builder = get_accelerator().create_op_builder("AsyncIOBuilder")
if not builder.is_compatible(verbose=False):
    raise SystemExit("libaio is missing (Debian and Ubuntu: apt install libaio-dev)")
builder.load(verbose=False)
"""


def environment(offload: str | None) -> Mapping[str, str]:
    """Return what ranks need in their environment, with what they use compiled.

    Raises SeqitError where that fails.
    """
    if not str(offload).startswith("nvme"):
        return {}
    folder = Path(os.environ.get(FOLDER) or _own_folder())
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "seqit.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when its holder dies
        if FOLDER not in os.environ:
            for left in folder.glob("*/lock"):
                left.unlink()  # whoever would hold it holds the lock above
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", BUILD],
            env={**os.environ, FOLDER: str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SeqitError(
            f"--offload nvme needs a part of DeepSpeed that cannot be compiled here: {last}. "
            "Use --offload cpu, or install what is missing"
        )
    return {FOLDER: str(folder)}


def _own_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    name = f"{python}-torch{version('torch')}-deepspeed{version('deepspeed')}"
    return cache / "seqit" / "torch_extensions" / name
