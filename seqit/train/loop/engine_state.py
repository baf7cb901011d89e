"""What training has changed so far: weights and the optimizer's moments, whole, by name.

DeepSpeed keeps them in flat pieces, spread over the ranks in a manner that each ZeRO stage has of
its own. Here a tensor is read and written whole, so that a checkpoint knows nothing of ranks.
"""

from typing import Any, NamedTuple

WEIGHT = "weight"
MOMENTS = ("exp_avg", "exp_avg_sq")
KINDS = (WEIGHT, *MOMENTS)


class Tensor(NamedTuple):
    """One tensor of the state: which kind, of which parameter."""

    kind: str
    name: str

    @property
    def key(self) -> str:
        """The name it has in a checkpoint."""
        return f"{self.kind}/{self.name}"


class EngineState:
    """Reads and writes the state of a DeepSpeed engine over an Adam of PyTorch's.

    Every call is made on all ranks together, in the same order.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._optimizer = engine.basic_optimizer
        self._linked = False
        named = engine.module.named_parameters()
        self._parameters = {name: each for name, each in named if each.requires_grad}
        self._masters = self._whole_masters()

    def tensors(self) -> list[tuple[Tensor, int]]:
        """Return all tensors of the state, and how many numbers each has."""
        return [
            (Tensor(kind, name), getattr(parameter, "ds_numel", parameter.numel()))
            for name, parameter in self._parameters.items()
            for kind in KINDS
        ]

    def read(self, tensor: Tensor) -> Any:
        """Return a tensor in float32, whole on every rank."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        parameter = self._parameters[tensor.name]
        self._link()
        if self._masters is None:
            if tensor.kind == WEIGHT:
                return safe_get_full_fp32_param(parameter)
            return safe_get_full_optimizer_state(parameter, tensor.kind)
        master = self._masters[tensor.name]
        if tensor.kind == WEIGHT:
            return master.detach()
        return self._optimizer.state[master][tensor.kind]

    def begin(self, step: int) -> None:
        """Make room for the moments, as they are after `step` steps; `write` fills them."""
        import torch

        for master in self._flat_masters():
            moments = {kind: torch.zeros_like(master) for kind in MOMENTS}
            on = master.device if self._optimizer.defaults["fused"] else "cpu"
            count = torch.tensor(float(step), dtype=torch.float32, device=on)
            self._optimizer.state[master] = {"step": count, **moments}
        self._link()

    def write(self, tensor: Tensor, value: Any) -> None:
        """Set a tensor, and where it is a weight, what the model computes with."""
        import torch
        from deepspeed.runtime.zero.partition_parameters import GatheredParameters

        parameter = self._parameters[tensor.name]
        with torch.no_grad():
            if tensor.kind == WEIGHT:
                with GatheredParameters([parameter], modifier_rank=0):
                    parameter.copy_(value)
            if self._masters is None:
                _write_piece(parameter, tensor.kind, value)
                return
            place = master = self._masters[tensor.name]
            if tensor.kind != WEIGHT:
                place = self._optimizer.state[master][tensor.kind]
            place.copy_(value)

    def _link(self) -> None:
        """Have DeepSpeed know where the moments are, of all groups of parameters.

        Stages 1 and 2 look for them once, when those of the first group alone are there.
        """
        optimizer = self._engine.optimizer
        if not self._linked and hasattr(optimizer, "_hp_optimizer_states_linked"):
            optimizer._hp_optimizer_states_linked = False
            optimizer._lazy_init_hp_params_optimizer_state()
        self._linked = True

    def _whole_masters(self) -> dict[str, Any] | None:
        """Return the tensors that the optimizer changes, by name; None where they are in pieces."""
        if self._engine.zero_optimization_stage():
            return None
        groups = getattr(self._engine.optimizer, "fp32_groups", None)
        if groups is None:
            return self._parameters
        low = [parameter for group in self._engine.optimizer.fp16_groups for parameter in group]
        high = {id(p): m for p, m in zip(low, (m for g in groups for m in g), strict=True)}
        return {name: high[id(parameter)] for name, parameter in self._parameters.items()}

    def _flat_masters(self) -> list[Any]:
        """Return the optimizer's own tensors on this rank, whatever the stage."""
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


def _write_piece(parameter: Any, kind: str, value: Any) -> None:
    """Set this rank's piece of a float32 tensor to its part of the whole one."""
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
    # Stage 3: equal pieces, the last one padded.
    size = parameter.ds_tensor.numel()
    start = size * torch.distributed.get_rank(parameter.ds_process_group)
    piece = torch.zeros(size, dtype=torch.float32)
    mine = value.flatten()[start : start + size]
    piece[: mine.numel()] = mine
    if kind == WEIGHT:
        safe_set_local_fp32_param(parameter, piece)
    else:
        safe_set_local_optimizer_state(parameter, piece, kind)
