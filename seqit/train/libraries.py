"""The libraries of training: told to say less, and which device there is before they look."""

import logging
import os
import warnings

from seqit.llm.providers.local.model_files import silence_libraries


def has_gpu() -> bool:
    """Tell whether there is a GPU; where not, DeepSpeed is told so by its environment."""
    import torch

    found = bool(torch.cuda.is_available())
    if not found:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    return found


def silence_training_libraries() -> None:
    """Let no library speak of what is not needed here: kernels, devices, names of next year."""
    silence_libraries()
    has_gpu()  # transformers imports DeepSpeed, which else warns of what it finds
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)
