"""Read and write the state of a DeepSpeed engine: weights and the optimizer's moments, by name.

DeepSpeed stores them in flat partitions over the ranks, in another layout for each ZeRO stage.
Here tensors are read and written in full, so checkpoints do not depend on the ranks.
"""

from typing import Any, NamedTuple

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
KINDS = (WEIGHT, *MOMENTS)


class StateTensor(NamedTuple):
    """One tensor of the state: its kind, and the name of its parameter."""

    kind: str
    name: str

    @property
    def key(self) -> str:
        """The tensor's name in a checkpoint."""
        return f"{self.kind}/{self.name}"


class EngineState:
    """Reads and writes the state of a DeepSpeed engine with PyTorch's AdamW.

    Methods are collective: all ranks must call them in the same order.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._optimizer = engine.basic_optimizer
        self._is_linked = False
        named = engine.module.named_parameters()
        self._parameters = {name: each for name, each in named if each.requires_grad}
        self._masters = self._full_masters()

    def tensors(self) -> list[tuple[StateTensor, int]]:
        """Return all tensors of the state with their numbers of elements."""
        return [
            (StateTensor(kind, name), getattr(parameter, "ds_numel", parameter.numel()))
            for name, parameter in self._parameters.items()
            for kind in KINDS
        ]

    def read(self, tensor: StateTensor) -> Any:
        """Return the full tensor in float32, on every rank."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        parameter = self._parameters[tensor.name]
        self._link_moments()
        if self._masters is None:
            if tensor.kind == WEIGHT:
                return safe_get_full_fp32_param(parameter)
            return safe_get_full_optimizer_state(parameter, tensor.kind)
        master = self._masters[tensor.name]
        if tensor.kind == WEIGHT:
            return master.detach()
        return self._optimizer.state[master][tensor.kind]

    def init_moments(self, step: int) -> None:
        """Allocate the moments as after `step` steps; `write` fills them."""
        import torch

        for master in self._flat_masters():
            moments = {kind: torch.zeros_like(master) for kind in MOMENTS}
            device = master.device if self._optimizer.defaults["fused"] else "cpu"
            count = torch.tensor(float(step), dtype=torch.float32, device=device)
            self._optimizer.state[master] = {"step": count, **moments}
        self._link_moments()

    def write(self, tensor: StateTensor, value: Any) -> None:
        """Set a tensor; a weight is also set in the model's own dtype."""
        import torch
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters

        parameter = self._parameters[tensor.name]
        with torch.no_grad():
            if tensor.kind == WEIGHT:
                with GatheredParameters([parameter], modifier_rank=0):
                    parameter.copy_(value)
            if self._masters is None:
                _write_shard(parameter, tensor.kind, value)
                return
            target = master = self._masters[tensor.name]
            if tensor.kind != WEIGHT:
                target = self._optimizer.state[master][tensor.kind]
            target.copy_(value)

    def _link_moments(self) -> None:
        """Make DeepSpeed link the moments of all parameter groups to their parameters.

        Stages 1 and 2 link them once, when only those of the first group exist.
        """
        optimizer = self._engine.optimizer
        if not self._is_linked and hasattr(optimizer, "_hp_optimizer_states_linked"):
            optimizer._hp_optimizer_states_linked = False
            optimizer._lazy_init_hp_params_optimizer_state()
        self._is_linked = True

    def _full_masters(self) -> dict[str, Any] | None:
        """Return the optimizer's master weights by name; None if they are partitioned."""
        if self._engine.zero_optimization_stage():
            return None
        groups = getattr(self._engine.optimizer, "fp32_groups", None)
        if groups is None:
            return self._parameters
        low = [parameter for group in self._engine.optimizer.fp16_groups for parameter in group]
        high = {id(p): m for p, m in zip(low, (m for g in groups for m in g), strict=True)}
        return {name: high[id(parameter)] for name, parameter in self._parameters.items()}

    def _flat_masters(self) -> list[Any]:
        """Return the optimizer's master weights on this rank, for any ZeRO stage."""
        if self._masters is not None:
            return list(self._masters.values())
        for name in (
            "fp32_partitioned_groups_flat",  # stage 3
            "single_partition_of_fp32_groups",  # 1 and 2
            "fp32_groups_flat_partition",  # 1, of bfloat16
        ):
            if (masters := getattr(self._engine.optimizer, name, None)) is not None:
                return list(masters)
        raise AssertionError(f"no master weights in {type(self._engine.optimizer).__name__}")


def _write_shard(parameter: Any, kind: str, value: Any) -> None:
    """Set this rank's shard of a float32 tensor from the full tensor."""
    import torch
    from deepspeed.utils import (
        safe_set_full_fp32_param,
        safe_set_full_optimizer_state,
        safe_set_local_fp32_param,
        safe_set_local_optimizer_state,
    )

    if not hasattr(parameter, "ds_id"):
        if kind == WEIGHT:
            safe_set_full_fp32_param(parameter, value)
        else:
            safe_set_full_optimizer_state(parameter, value, kind)
        return
    # Stage 3: shards of equal size, the last one padded.
    size = parameter.ds_tensor.numel()
    start = size * torch.distributed.get_rank(parameter.ds_process_group)
    shard = torch.zeros(size, dtype=torch.float32)
    values = value.flatten()[start : start + size]
    shard[: values.numel()] = values
    if kind == WEIGHT:
        safe_set_local_fp32_param(parameter, shard)
    else:
        safe_set_local_optimizer_state(parameter, shard, kind)
