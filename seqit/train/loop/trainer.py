"""A rank's part of a run, from the model and the tokens on disk to the model's folder."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.providers.local.model_files import find_model
from seqit.train.data.collator import MicroBatch, collate
from seqit.train.data.dataset import Example, PreparedDataset
from seqit.train.data.loader import BatchLoader
from seqit.train.data.sampler import batches, one_epoch
from seqit.train.data.vision import vision_encoder, vision_kind
from seqit.train.libraries import silence_training_libraries
from seqit.train.loop import checkpoints
from seqit.train.loop.checkpoints import Checkpoint, Ranks
from seqit.train.loop.deepspeed_config import Settings, deepspeed_config
from seqit.train.loop.leakage import check_no_leakage
from seqit.train.loop.loop import Machine, TrainingLoop
from seqit.train.loop.metrics import Flops, MetricsLogger, peak_flops
from seqit.train.loop.provenance import write_provenance
from seqit.train.loop.resume_check import differences, resume_fingerprint
from seqit.train.model.card import About, write_card
from seqit.train.model.loading import attention_of, dtype_of, load_for_training
from seqit.train.model.saving import save_model
from seqit.train.recipe import TrainRecipe

MakeEngine = Callable[..., Any]


class Trainer:
    """What a rank knows of the run before it has a model."""

    def __init__(self, recipe: TrainRecipe, ranks: Ranks, device: Any) -> None:
        import torch

        silence_training_libraries()
        if not recipe.tokens:
            raise SeqitError("the rows are not prepared: run.json names no folder of tokens")
        self.recipe = recipe
        self._ranks = ranks
        self._device = device
        self._has_gpu = torch.cuda.is_available()
        self._prepared = PreparedDataset.open(recipe.tokens)
        lengths = self._prepared.lengths.tolist()
        self.schedule = batches(lengths, recipe.tuning, recipe.data, ranks.size)
        self._collate = self._collator()

    def train(self, make_engine: MakeEngine, watch: MetricsLogger | None) -> None:
        """Train, from the newest whole checkpoint if there is one, and write the model."""
        import torch

        torch.manual_seed(self.recipe.tuning.seed)  # decides what new adapters begin with
        config = self._config()
        model = load_for_training(self.recipe, config, self._device)
        flops = self._flops(model)
        engine = make_engine(model, config, self.recipe.tuning)
        feed = BatchLoader(self._prepared, self._collate)
        machine = Machine(engine, self._device, self._ranks)
        loop = TrainingLoop(self.recipe, machine, self.schedule, feed, watch=watch, flops=flops)
        if self.recipe.data.packing:
            check_no_leakage(engine, self._prepared, self._collate, self._device)
        start = self._resumed(loop, watch)
        if watch:
            watch.open(start)
        loop.run(start, self._evaluation(engine, loop))
        save_model(engine, self.recipe, self._ranks.rank)
        if self._ranks.rank == 0:
            seen = {"tokens": loop.tokens, "targets": loop.targets, "last": loop.last}
            seen["steps"] = len(self.schedule)
            record = write_provenance(self.recipe, self._ranks.size, seen)
            kind = vision_kind(find_model(self.recipe.model, self.recipe.revision).folder())
            write_card(Path(self.recipe.out), record, About(kind))
        if watch:
            watch.say(f"trained {len(self.schedule):,} steps; the model is in {self.recipe.out}")
        self._ranks.wait()

    def _config(self) -> dict[str, Any]:
        recipe = self.recipe
        settings = Settings(
            stage=zero_stage(recipe, self._ranks.size),
            offload=recipe.memory.offload,
            dtype=dtype_of(recipe, self._has_gpu),
            ranks=self._ranks.size,
            max_grad_norm=recipe.tuning.max_grad_norm,
            pin_memory=self._has_gpu,
        )
        return deepspeed_config(settings, recipe.memory.deepspeed)

    def _collator(self) -> Callable[[list[list[Example]]], MicroBatch]:
        recipe = self.recipe
        if vision_kind(find_model(recipe.model, recipe.revision).folder()) != "text":
            return vision_encoder(recipe).collate
        packed = recipe.data.packing
        flash = self._has_gpu and attention_of(recipe, True).startswith("flash_attention")
        return partial(collate, packed=packed, varlen=packed and flash)

    def _resumed(self, loop: TrainingLoop, watch: MetricsLogger | None) -> int:
        """Go on from the newest whole checkpoint; return after which step."""
        out = Path(self.recipe.out)
        say = watch.say if watch else _nothing
        found = self._agreed(checkpoints.newest(out, say) if self._ranks.rank == 0 else None)
        if found is None:
            return 0
        differing = list(differences(resume_fingerprint(self.recipe), found.notes["run"]))
        if differing:
            raise SeqitError(
                f"{found.folder} is of another run: {', '.join(differing)} differ; take another "
                "--out, or the same recipe"
            )
        loop.resume(found)
        say(f"goes on after step {found.step:,} of {len(self.schedule):,}, from {found.folder}")
        return found.step

    def _agreed(self, found: Checkpoint | None) -> Checkpoint | None:
        """Return what rank 0 has found, on every rank."""
        import torch

        box: list[Any] = [found]
        torch.distributed.broadcast_object_list(box, device=self._device)
        result: Checkpoint | None = box[0]
        return result

    def _evaluation(
        self, engine: Any, loop: TrainingLoop
    ) -> Callable[[int], dict[str, Any]] | None:
        """Return what gives the loss on the held-out rows; None where there are none."""
        data = self.recipe.data
        if not (data.eval or data.hold_out):
            return None
        held = PreparedDataset.open(self.recipe.tokens or "", "eval")
        if not len(held):
            return None
        micros = one_epoch(held.lengths.tolist(), self.recipe.tuning, data, self._ranks.size)
        mine, filler = micros[self._ranks.rank], next(bins[0] for bins in micros[0] if bins)
        feed = BatchLoader(held, self._collate)

        def evaluate(step: int) -> dict[str, Any]:
            import torch

            engine.module.eval()
            loss = targets = 0.0
            with torch.no_grad():
                for bins in mine:
                    (portion,) = feed.portions([bins], filler)
                    loss += float(loop.loss(portion, 1))
                    targets += portion.micro.targets * portion.counts
            engine.module.train()
            loss, targets = loop.total(loss, targets)
            return {"eval_loss": loss / targets, "eval_targets": int(targets)}

        return evaluate

    def _flops(self, model: Any) -> Flops | None:
        import torch

        peak = peak_flops(torch.cuda.get_device_name()) if self._has_gpu else None
        if not peak:
            return None
        text = model.config.get_text_config()
        embedding = model.get_input_embeddings().weight
        count = sum(getattr(each, "ds_numel", each.numel()) for each in model.parameters())
        if not text.tie_word_embeddings:
            count -= getattr(embedding, "ds_numel", embedding.numel())
        return Flops(count, text.num_hidden_layers, text.hidden_size, peak)


def zero_stage(recipe: TrainRecipe, ranks: int) -> int:
    """Return the stage of ZeRO: the recipe's, or 3 where ranks share a full fine-tuning.

    One rank has nothing to share, but stage 1 sums the gradients of micro-batches in float32.
    """
    memory = recipe.memory
    if memory.zero is not None:
        return memory.zero
    if memory.offload:
        return 3 if memory.offload != "cpu" or ranks > 1 else 2
    if ranks == 1:
        return 1
    return 2 if recipe.lora else 3


def _nothing(text: str) -> None:
    """Say nothing: rank 0 does."""
