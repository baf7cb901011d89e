"""One model folder out of what training left: adapters beside a base, or weights in pieces."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local.model_files import find_model, installed_version
from seqit.train.data.encoder import encoder_of
from seqit.train.data.vision import class_of, vision_kind
from seqit.train.libraries import silence_training_libraries
from seqit.train.loop import checkpoints
from seqit.train.model.card import About, read_record, write_card
from seqit.train.model.folder import SHARD, copy_settings, end_at, has_weights, new_folder
from seqit.train.model.lora import ADAPTER_FILE, add_lora, load_adapter
from seqit.train.model.sharded import LATEST, gather, is_sharded
from seqit.train.recipe import PROVENANCE_FILE, RUN_FILE, TrainRecipe


class WeightPart(NamedTuple):
    """What training left: what has to be done to a base, and which base that is.

    kind: "adapter", "checkpoint" or "shards". settings: where tokenizer and template may lie
    beside the base's; recipe: the run's, where nothing was saved yet of what it says of them.
    change: gets the base's model and returns the whole one.
    """

    kind: str
    settings: Path
    base: str | None
    revision: str | None
    change: Callable[[Any], Any]
    recipe: TrainRecipe | None = None

    @property
    def template(self) -> str | None:
        """The file with a template in place of what lies beside the model."""
        return self.recipe.template if self.recipe else None


class Merged(NamedTuple):
    """The model that was written; `parameters`: how many numbers it has."""

    folder: Path
    kind: str
    base: str
    parameters: int
    dtype: str


def merge(source: Path, out: Path, *, base: str | None = None, dtype: str = "auto") -> Merged:
    """Write the whole model of `source` to the new folder `out`, which appears whole or not at all.

    source: a folder with a LoRA adapter, a run's folder or one of its checkpoints, or a checkpoint
    of DeepSpeed's. base: the folder or hub name that it belongs to, where the source does not say
    so. dtype auto: the base's. Everything is computed on the CPU. Raises SeqitError, and UsageError
    where the folders do not fit.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already; name a folder that is not")
    part = part_of(source)
    name = base or part.base
    if not name:
        raise UsageError(f"{source} does not say which model it belongs to; name it with --base")
    for module in ("torch", "transformers"):
        installed_version(module, "train")
    silence_training_libraries()
    found = _found(name, None if base else part.revision, source)
    model = _loaded(found.folder(), dtype)
    model = part.change(model)
    count = sum(parameter.numel() for parameter in model.parameters())
    kind = str(model.dtype).removeprefix("torch.")
    need = sum(parameter.nbytes for parameter in model.parameters())
    with new_folder(out, need) as folder:
        _save(model, folder)
        copy_settings([part.settings, Path(found.folder())], folder, part.template)
        if part.recipe:
            revision = None if base else part.revision
            recipe = dataclasses.replace(part.recipe, model=name, revision=revision)
            end_at(folder, encoder_of(recipe).ends)
        _add_card(part.settings, folder)
    return Merged(out, part.kind, name, count, kind)


def part_of(source: Path) -> WeightPart:
    """Return what lies in a folder; raises SeqitError where that is nothing to merge."""
    if not source.is_dir():
        raise SeqitError(f"{source} is no folder; name the one that training wrote")
    if (source / ADAPTER_FILE).is_file():
        return _adapter(source)
    if (source / checkpoints.COMPLETE).is_file():
        return _checkpoint(source)
    if is_sharded(source):
        return _shards(source)
    if has_weights(source):
        raise SeqitError(
            f"{source} holds a whole model already: there is nothing to merge; use it as it is, "
            f"with transformers:{source} or vllm:{source}"
        )
    if (source / checkpoints.FOLDER).is_dir():
        return _checkpoint(_newest(source))
    raise SeqitError(
        f"{source} holds nothing to merge: no adapter ({ADAPTER_FILE}), no checkpoint of seqit "
        f"train ({checkpoints.COMPLETE}) or DeepSpeed ({LATEST})"
    )


def _adapter(source: Path) -> WeightPart:
    try:
        config = dict(_json(source / ADAPTER_FILE))
    except (OSError, ValueError, TypeError) as error:
        raise SeqitError(f"{source / ADAPTER_FILE} cannot be read: {error}") from None
    if (kind := config.get("peft_type")) != "LORA":
        raise SeqitError(f"{source} holds an adapter of kind {kind}; only LoRA merges")

    def change(model: Any) -> Any:
        return _unloaded(load_adapter(model, source, trainable=False), source)

    base = config.get("base_model_name_or_path")
    return WeightPart("adapter", source, base, config.get("revision"), change)


def _checkpoint(source: Path) -> WeightPart:
    run = source.parent.parent
    try:
        recipe = TrainRecipe.from_dict(_json(run / RUN_FILE))
        if not recipe.model:
            raise ValueError("it names no model")
    except (OSError, ValueError, TypeError) as error:
        raise SeqitError(f"{run} is no run's folder: {RUN_FILE} cannot be read: {error}") from None

    def change(model: Any) -> Any:
        if recipe.lora:
            model = add_lora(model, recipe.lora, recipe.model)
        _fill(model, checkpoints.weights(source), source)
        return _unloaded(model, source) if recipe.lora else model

    return WeightPart("checkpoint", run, recipe.model, recipe.revision, change, recipe)


def _shards(source: Path) -> WeightPart:
    state = gather(source)
    if any("lora_" in name for name in state):
        raise SeqitError(
            f"the checkpoint in {source} holds adapters, and no {ADAPTER_FILE} says what of; "
            "merge the adapter that the training saved"
        )

    def change(model: Any) -> Any:
        _fill(model, state, source)
        return model

    # The trainer of transformers puts the model's settings beside its checkpoint.
    beside = str(source) if (source / "config.json").is_file() else None
    return WeightPart("shards", source, beside, None, change)


def _newest(run: Path) -> Path:
    told: list[str] = []
    newest = checkpoints.newest(run, told.append)
    if newest is None:
        why = f": {told[0]}" if told else ""
        raise SeqitError(f"{run} holds no whole checkpoint{why}")
    return newest.folder


def _add_card(settings: Path, out: Path) -> None:
    """Put what training said of itself beside the model, where it did, and the card of it."""
    if (record := read_record(settings)) is not None:
        shutil.copyfile(settings / PROVENANCE_FILE, out / PROVENANCE_FILE)
        write_card(out, record, About(vision_kind(str(out)), merged=True))


def _save(model: Any, folder: Path) -> None:
    from safetensors import SafetensorError

    try:
        model.save_pretrained(folder, max_shard_size=SHARD)
    except SafetensorError as error:  # how a full disk is told
        raise OSError(None, str(error)) from error


def _found(name: str, revision: str | None, source: Path) -> Any:
    try:
        return find_model(name, revision)
    except SeqitError as error:
        raise SeqitError(
            f"the base of {source} is not found: {error}; name where it lies with --base"
        ) from None


def _loaded(folder: str, dtype: str) -> Any:
    """Return the base on the CPU, or an empty model where the folder has settings alone."""
    import torch
    from transformers import AutoConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    kind = class_of(folder)
    try:
        if has_weights(Path(folder)):
            return kind.from_pretrained(folder, trust_remote_code=False, dtype=dtype).eval()
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        with torch.device("meta"):
            made = kind.from_config(config, dtype=config.dtype if dtype == "auto" else dtype)
        return made.eval()
    except Exception as error:
        raise SeqitError(f"transformers cannot load the base in {folder}: {error}") from error


def _fill(model: Any, state: dict[str, Any], source: Path) -> None:
    """Set the model's weights to those of `state`; raises SeqitError where one has no place."""
    typed = {name: tensor.to(model.dtype) for name, tensor in state.items()}
    try:
        result = model.load_state_dict(typed, strict=False, assign=True)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise SeqitError(f"{source} is of another model than the base: {said}") from None
    if result.unexpected_keys:
        raise SeqitError(
            f"{source} is of another model than the base: {len(result.unexpected_keys)} of its "
            f"weights have no place there, as {result.unexpected_keys[0]}"
        )
    model.tie_weights()
    empty = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if empty:
        raise SeqitError(
            f"{source} has no weights for {len(empty)} tensors, as {empty[0]}; name the model that "
            "was trained with --base"
        )


def _unloaded(model: Any, source: Path) -> Any:
    """Return the base with the adapters added to its weights."""
    try:
        return model.merge_and_unload(safe_merge=True)
    except ValueError as error:  # numbers that are none
        raise SeqitError(f"the adapter in {source} is broken: {error}") from None


def _json(path: Path) -> Any:
    import orjson

    return orjson.loads(path.read_bytes())
