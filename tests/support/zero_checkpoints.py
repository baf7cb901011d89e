"""A rank that trains a tiny model with each ZeRO stage and saves DeepSpeed checkpoints.

``torchrun --nproc-per-node 2 zero_checkpoints.py MODEL OUT``: OUT/STAGE/ contains the checkpoint
and whole.safetensors, the full weights of the ranks.
"""

import sys
from pathlib import Path


def main(base: str, out: Path) -> None:
    import deepspeed
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    deepspeed.init_distributed("gloo")
    for stage in (0, 1, 2, 3):
        model = AutoModelForCausalLM.from_pretrained(base)
        config = {
            "train_micro_batch_size_per_gpu": 1,
            "zero_optimization": {"stage": stage},
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
        }
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        engine = deepspeed.initialize(model=model, optimizer=optimizer, config=config)[0]
        for start in (10, 20):
            ids = torch.arange(start, start + 20)[None]
            engine.backward(engine(input_ids=ids, labels=ids).loss)
            engine.step()
        folder = out / str(stage)
        engine.save_checkpoint(str(folder))
        whole = {}
        for name, each in engine.module.named_parameters():
            with deepspeed.zero.GatheredParameters([each]):
                whole[name] = each.detach().clone()
        if torch.distributed.get_rank() == 0:
            save_file(whole, folder / "whole.safetensors")
        torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
