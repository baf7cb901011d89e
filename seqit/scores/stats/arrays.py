"""Import of numpy, which is an optional dependency."""

from types import ModuleType

from seqit.errors import SeqitError


def require_numpy(what: str) -> ModuleType:
    """Return numpy for the statistic `what`. Raises SeqitError if it is not installed."""
    try:
        import numpy
    except ImportError:
        raise SeqitError(f"{what} needs numpy: pip install 'seqit[stats]'") from None
    return numpy
