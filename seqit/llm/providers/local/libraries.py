"""Installed libraries: their versions, and environment variables that silence them."""

import os
from importlib.metadata import packages_distributions, version

from seqit.errors import SeqitError


def installed_version(module: str, extra: str) -> str:
    """Return "DISTRIBUTION VERSION" of an installed library, without importing it.

    Raises SeqitError that says how to install the `extra` if it is missing.
    """
    names = packages_distributions().get(module)
    if not names:
        raise SeqitError(
            f"{module} is not installed; install it with: pip install 'seqit[{extra}]'"
        )
    return f"{names[0]} {version(names[0])}"


def silence_libraries() -> None:
    """Turn off telemetry, progress bars and log messages below errors; call before importing.

    Variables that the user has set are kept.
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
