"""numpy, or the sentence that says how to get it."""

from types import ModuleType

from seqit.errors import SeqitError


def numpy_for(what: str) -> ModuleType:
    """Return numpy for `what`, a statistic. Raises SeqitError where it is not installed."""
    try:
        import numpy
    except ImportError:
        raise SeqitError(f"{what} computes with numpy: pip install 'seqit[stats]'") from None
    return numpy
