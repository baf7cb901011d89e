"""Set up the training libraries: select the device and suppress their warnings."""

import logging
import os
import warnings

from seqit.llm.providers.local.libraries import silence_libraries


def has_gpu() -> bool:
    """Return True if there is a GPU; if not, set DeepSpeed's environment variable for the CPU."""
    import torch

    is_available = bool(torch.cuda.is_available())
    if not is_available:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    return is_available


def silence_training_libraries() -> None:
    """Suppress warnings about optional kernels, devices and future deprecations."""
    silence_libraries()
    has_gpu()  # sets DS_ACCELERATOR: transformers imports DeepSpeed, which warns without it
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)
