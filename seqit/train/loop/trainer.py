"""The complete run of a rank, from the model and the prepared tokens to the trained model."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.providers.local.model_files import find_model
from seqit.llm.providers.local.vision import is_vision_model, model_kind
from seqit.train.data.collator import MicroBatch, collate
from seqit.train.data.dataset import Example, PreparedDataset
from seqit.train.data.loader import BatchLoader
from seqit.train.data.sampler import BatchSampler, one_epoch
from seqit.train.data.vision import vision_encoder
from seqit.train.libraries import silence_training_libraries
from seqit.train.loop import checkpoints
from seqit.train.loop.checkpoints import Checkpoint, ProcessGroup
from seqit.train.loop.deepspeed_config import DeepSpeedSettings, deepspeed_config
from seqit.train.loop.leakage import check_no_leakage
from seqit.train.loop.loop import RankContext, TrainingLoop
from seqit.train.loop.metrics import MetricsLogger, ModelFlops, peak_flops
from seqit.train.loop.provenance import write_provenance
from seqit.train.loop.resume_check import differences, resume_fingerprint
from seqit.train.model.card import CardInfo, write_card
from seqit.train.model.loading import attention_of, dtype_of, load_for_training
from seqit.train.model.saving import save_model
from seqit.train.recipe import TrainRecipe

MakeEngine = Callable[..., Any]


class Trainer:
    """Sets up and runs the training of one rank; without a model until `train` is called."""

    def __init__(self, recipe: TrainRecipe, group: ProcessGroup, device: Any) -> None:
        import torch

        silence_training_libraries()
        if not recipe.tokens:
            raise SeqitError("the rows are not prepared: run.json names no folder of tokens")
        self.recipe = recipe
        self._group = group
        self._device = device
        self._has_gpu = torch.cuda.is_available()
        self._prepared = PreparedDataset.open(recipe.tokens)
        lengths = self._prepared.lengths.tolist()
        self.sampler = BatchSampler(lengths, recipe.tuning, recipe.data, group.world_size)
        self._collate = self._make_collate()

    def train(self, make_engine: MakeEngine, logger: MetricsLogger | None) -> None:
        """Train, from the newest complete checkpoint if there is one, and write the model."""
        import torch

        torch.manual_seed(self.recipe.tuning.seed)  # for the initial weights of new adapters
        config = self._deepspeed_config()
        model = load_for_training(self.recipe, config, self._device)
        flops = self._model_flops(model)
        engine = make_engine(model, config, self.recipe.tuning)
        loader = BatchLoader(self._prepared, self._collate)
        context = RankContext(engine, self._device, self._group)
        loop = TrainingLoop(self.recipe, context, self.sampler, loader, logger=logger, flops=flops)
        if self.recipe.data.packing:
            check_no_leakage(engine, self._prepared, self._collate, self._device)
        start = self._resume(loop, logger)
        if logger:
            logger.open(start)
        loop.run(start, self._make_evaluate(engine, loop))
        save_model(engine, self.recipe, self._group.rank)
        if self._group.rank == 0:
            results = {
                "tokens": loop.tokens,
                "targets": loop.supervised_tokens,
                "last": loop.last,
                "steps": len(self.sampler),
            }
            provenance = write_provenance(self.recipe, self._group.world_size, results)
            kind = model_kind(find_model(self.recipe.model, self.recipe.revision).folder())
            write_card(Path(self.recipe.output), provenance, CardInfo(kind))
        if logger:
            logger.info(
                f"trained {len(self.sampler):,} steps; the model is in {self.recipe.output}"
            )
        self._group.barrier()

    def _deepspeed_config(self) -> dict[str, Any]:
        recipe = self.recipe
        settings = DeepSpeedSettings(
            stage=zero_stage(recipe, self._group.world_size),
            offload=recipe.memory.offload,
            dtype=dtype_of(recipe, self._has_gpu),
            ranks=self._group.world_size,
            max_grad_norm=recipe.tuning.max_grad_norm,
            pin_memory=self._has_gpu,
        )
        return deepspeed_config(settings, recipe.memory.deepspeed)

    def _make_collate(self) -> Callable[[list[list[Example]]], MicroBatch]:
        recipe = self.recipe
        if is_vision_model(find_model(recipe.model, recipe.revision).folder()):
            return vision_encoder(recipe).collate
        packed = recipe.data.packing
        flash = self._has_gpu and attention_of(recipe, True).startswith("flash_attention")
        return partial(collate, packed=packed, varlen=packed and flash)

    def _resume(self, loop: TrainingLoop, logger: MetricsLogger | None) -> int:
        """Load the newest complete checkpoint, if any, and return the number of steps done.

        Raises SeqitError if the checkpoint belongs to a run with another recipe.
        """
        out = Path(self.recipe.output)
        info = logger.info if logger else _ignore_message
        is_first = self._group.rank == 0
        checkpoint = self._broadcast(checkpoints.newest(out, info) if is_first else None)
        if checkpoint is None:
            return 0
        differing = list(differences(resume_fingerprint(self.recipe), checkpoint.notes["run"]))
        if differing:
            raise SeqitError(
                f"{checkpoint.folder} belongs to another run: {', '.join(differing)} differ; use "
                "another --output, or the same recipe"
            )
        loop.resume(checkpoint)
        info(
            f"resumes after step {checkpoint.step:,} of {len(self.sampler):,}, from "
            f"{checkpoint.folder}"
        )
        return checkpoint.step

    def _broadcast(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Return rank 0's checkpoint on every rank."""
        import torch

        objects: list[Any] = [checkpoint]
        torch.distributed.broadcast_object_list(objects, device=self._device)
        result: Checkpoint | None = objects[0]
        return result

    def _make_evaluate(
        self, engine: Any, loop: TrainingLoop
    ) -> Callable[[int], dict[str, Any]] | None:
        """Return a function that computes the evaluation loss; None without evaluation rows."""
        data = self.recipe.data
        if not (data.eval or data.held_out):
            return None
        held_out = PreparedDataset.open(self.recipe.tokens or "", "eval")
        if not len(held_out):
            return None
        lengths = held_out.lengths.tolist()
        micro_batches = one_epoch(lengths, self.recipe.tuning, data, self._group.world_size)
        rank_batches = micro_batches[self._group.rank]
        filler = next(sequences[0] for sequences in micro_batches[0] if sequences)
        loader = BatchLoader(held_out, self._collate)

        def evaluate(step: int) -> dict[str, Any]:
            import torch

            engine.module.eval()
            loss = supervised_tokens = 0.0
            with torch.no_grad():
                for micro_batch_rows in rank_batches:
                    (step_input,) = loader.step_inputs([micro_batch_rows], filler)
                    loss += float(loop.loss(step_input, 1))
                    if step_input.is_real:
                        supervised_tokens += step_input.micro_batch.supervised_tokens
            engine.module.train()
            loss, supervised_tokens = loop.total(loss, supervised_tokens)
            return {"eval_loss": loss / supervised_tokens, "eval_targets": int(supervised_tokens)}

        return evaluate

    def _model_flops(self, model: Any) -> ModelFlops | None:
        import torch

        peak = peak_flops(torch.cuda.get_device_name()) if self._has_gpu else None
        if not peak:
            return None
        text = model.config.get_text_config()
        embedding = model.get_input_embeddings().weight
        count = sum(getattr(each, "ds_numel", each.numel()) for each in model.parameters())
        if not text.tie_word_embeddings:
            count -= getattr(embedding, "ds_numel", embedding.numel())
        return ModelFlops(count, text.num_hidden_layers, text.hidden_size, peak)


def zero_stage(recipe: TrainRecipe, ranks: int) -> int:
    """Return the ZeRO stage: the recipe's, or 3 for full fine-tuning on several ranks.

    One rank has nothing to partition, but stage 1 accumulates gradients in float32.
    """
    memory = recipe.memory
    if memory.zero is not None:
        return memory.zero
    if memory.offload:
        return 3 if memory.offload != "cpu" or ranks > 1 else 2
    if ranks == 1:
        return 1
    return 2 if recipe.lora else 3


def _ignore_message(text: str) -> None:
    """Ignore a message that rank 0 reports."""
