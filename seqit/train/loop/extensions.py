"""Compile DeepSpeed's extension for NVMe offload before the ranks start.

DeepSpeed compiles it at the first use under a lock file that is left behind by a killed process;
every later run would wait for it forever. So seqit compiles it in its own folder.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from seqit.errors import SeqitError

FOLDER_VARIABLE = "TORCH_EXTENSIONS_DIR"
BUILD_SCRIPT = """
import deepspeed
from deepspeed.accelerator import get_accelerator
builder = get_accelerator().create_op_builder("AsyncIOBuilder")
if not builder.is_compatible(verbose=False):
    raise SystemExit("libaio is missing (Debian and Ubuntu: apt install libaio-dev)")
builder.load(verbose=False)
"""


def build_extensions(offload: str | None) -> Mapping[str, str]:
    """Compile the extension if `offload` needs it, and return the ranks' environment variables.

    Raises SeqitError if the compilation fails.
    """
    if not str(offload).startswith("nvme"):
        return {}
    folder = Path(os.environ.get(FOLDER_VARIABLE) or _default_folder())
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "seqit.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel releases it when its holder dies
        if FOLDER_VARIABLE not in os.environ:
            for stale_lock in folder.glob("*/lock"):
                stale_lock.unlink()  # its holder would have to hold the lock above
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", BUILD_SCRIPT],
            env={**os.environ, FOLDER_VARIABLE: str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SeqitError(
            f"--offload nvme needs a DeepSpeed extension that cannot be compiled here: {reason}. "
            "Use --offload cpu, or install what is missing"
        )
    return {FOLDER_VARIABLE: str(folder)}


def _default_folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    name = f"{python}-torch{version('torch')}-deepspeed{version('deepspeed')}"
    return cache / "seqit" / "torch_extensions" / name
