"""Joins the ranks, and puts the model under DeepSpeed."""

import os
import socket
from typing import Any

from seqit.train.libraries import has_gpu
from seqit.train.loop.checkpoints import Ranks
from seqit.train.recipe import Tuning


def join_ranks() -> tuple[Ranks, Any]:
    """Meet the other ranks that the environment tells of (RANK, WORLD_SIZE, MASTER_ADDR, …).

    Without it this is the only one. Returns the ranks, and the device of this one.
    """
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = os.environ.setdefault("LOCAL_RANK", "0")
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count)}
    if count == 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", str(free_port()))
    import torch

    on_gpu = has_gpu()
    deepspeed = _deepspeed()
    device = torch.device("cuda", int(local)) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    deepspeed.init_distributed("nccl" if on_gpu else "gloo", auto_mpi_discovery=False)
    return Ranks(rank, count, torch.distributed.barrier), device


def _deepspeed() -> Any:
    """Return the library, made to say less, and to compile nothing that is not needed."""
    import logging

    import deepspeed

    deepspeed.utils.logger.setLevel(logging.WARNING)
    # Collectives in shared memory, which only inference uses: a minute of compiling at the start.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def make_engine(model: Any, config: dict[str, Any], tuning: Tuning) -> Any:
    """Return DeepSpeed's engine over the model, with AdamW of PyTorch's own.

    Weight decay is on matrices alone, as usual: not on biases and norms.
    """
    import deepspeed
    import torch

    trained = [each for each in model.parameters() if each.requires_grad]
    matrices = [each for each in trained if len(getattr(each, "ds_shape", each.shape)) > 1]
    others = [each for each in trained if len(getattr(each, "ds_shape", each.shape)) < 2]
    groups = [
        {"params": matrices, "weight_decay": tuning.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]] if tuning.weight_decay else trained,
        lr=0.0,  # the loop sets it; DeepSpeed may take a step of its own before
        weight_decay=tuning.weight_decay,
        fused=torch.cuda.is_available(),
    )
    engine = deepspeed.initialize(model=model, optimizer=optimizer, config=config)[0]
    if engine.zero_optimization_stage() == 0:
        optimizer.state.clear()  # for bfloat16 it has counted that step
    return engine
