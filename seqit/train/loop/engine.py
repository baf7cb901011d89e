"""Initialize the process group, and wrap the model in a DeepSpeed engine."""

import os
import socket
from typing import Any

from seqit.train.libraries import has_gpu
from seqit.train.loop.checkpoints import ProcessGroup
from seqit.train.recipe import Tuning


def init_distributed() -> tuple[ProcessGroup, Any]:
    """Join the process group of the environment (RANK, WORLD_SIZE, MASTER_ADDR, …).

    Without these variables this is the only rank. Returns the group, and the rank's device.
    """
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = os.environ.setdefault("LOCAL_RANK", "0")
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world_size)}
    if world_size == 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", str(free_port()))
    import torch

    on_gpu = has_gpu()
    deepspeed = _import_deepspeed()
    device = torch.device("cuda", int(local_rank)) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    deepspeed.init_distributed("nccl" if on_gpu else "gloo", auto_mpi_discovery=False)
    return ProcessGroup(rank, world_size, torch.distributed.barrier), device


def _import_deepspeed() -> Any:
    """Return the module, with less logging and without compiling operators that are not needed."""
    import logging

    import deepspeed

    deepspeed.utils.logger.setLevel(logging.WARNING)
    # Collectives in shared memory: only for inference, and they take a minute to compile.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def free_port() -> int:
    """Return a free TCP port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def make_engine(model: Any, config: dict[str, Any], tuning: Tuning) -> Any:
    """Return a DeepSpeed engine for the model, with PyTorch's AdamW.

    Weight decay applies to matrices only, as usual: not to biases and norms.
    """
    import deepspeed
    import torch

    trainable = [each for each in model.parameters() if each.requires_grad]
    matrices = [each for each in trainable if len(getattr(each, "ds_shape", each.shape)) > 1]
    others = [each for each in trainable if len(getattr(each, "ds_shape", each.shape)) < 2]
    groups = [
        {"params": matrices, "weight_decay": tuning.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]] if tuning.weight_decay else trainable,
        lr=0.0,  # set by the loop; DeepSpeed may take a step itself before
        weight_decay=tuning.weight_decay,
        fused=torch.cuda.is_available(),
    )
    engine = deepspeed.initialize(model=model, optimizer=optimizer, config=config)[0]
    if engine.zero_optimization_stage() == 0:
        optimizer.state.clear()  # for bfloat16, DeepSpeed's own step is counted in it
    return engine
