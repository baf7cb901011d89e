"""Merge adapters into their base model, or the shards of a checkpoint, into one model folder."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local.libraries import installed_version
from seqit.llm.providers.local.model_files import find_model
from seqit.llm.providers.local.vision import model_kind
from seqit.train.data.encoder import encoder_for
from seqit.train.data.vision import auto_class_for
from seqit.train.libraries import silence_training_libraries
from seqit.train.loop import checkpoints
from seqit.train.model.card import CardInfo, load_provenance, write_card
from seqit.train.model.folder import (
    MAX_SHARD_SIZE,
    add_eos_tokens,
    copy_settings,
    has_weights,
    new_folder,
)
from seqit.train.model.lora import ADAPTER_FILE, add_lora, load_adapter
from seqit.train.model.sharded import LATEST_FILE, gather_weights, is_deepspeed_checkpoint
from seqit.train.recipe import PROVENANCE_FILE, RUN_FILE, TrainRecipe


class MergeSource(NamedTuple):
    """What a training run has left, the base model it belongs to, and how to apply it.

    kind: "adapter", "checkpoint" or "shards". settings: a folder that may contain the tokenizer
    and template, which take precedence over the base's. apply: takes the base model and returns
    the merged one. recipe: of the run, if it has not saved tokenizer and template yet.
    """

    kind: str
    settings: Path
    base: str | None
    revision: str | None
    apply: Callable[[Any], Any]
    recipe: TrainRecipe | None = None

    @property
    def template(self) -> str | None:
        """The file with the chat template that replaces the model's own, if any."""
        return self.recipe.template if self.recipe else None


class MergeResult(NamedTuple):
    """The written model; `parameters`: their number; `dtype`: of the weights."""

    folder: Path
    kind: str
    base: str
    parameters: int
    dtype: str


def merge(source: Path, out: Path, *, base: str | None = None, dtype: str = "auto") -> MergeResult:
    """Write the merged model of `source` to the new folder `out`, completely or not at all.

    source: a folder with a LoRA adapter, a run's folder or one of its checkpoints, or a DeepSpeed
    checkpoint. base: folder or hub name of the base model, if the source does not name it. dtype
    auto: the base's. Everything is computed on the CPU. Raises SeqitError, and UsageError for an
    existing `out` or a missing `base`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} already exists; name a new folder")
    merge_source = find_merge_source(source)
    name = base or merge_source.base
    if not name:
        raise UsageError(f"{source} does not name its base model; name it with --base")
    for module in ("torch", "transformers"):
        installed_version(module, "train")
    silence_training_libraries()
    revision = None if base else merge_source.revision
    located = _find_base(name, revision, source)
    model = _load_base(located.folder(), dtype)
    model = merge_source.apply(model)
    count = sum(parameter.numel() for parameter in model.parameters())
    model_dtype = str(model.dtype).removeprefix("torch.")
    size = sum(parameter.nbytes for parameter in model.parameters())
    with new_folder(out, size) as folder:
        _save(model, folder)
        settings = [merge_source.settings, Path(located.folder())]
        copy_settings(settings, folder, merge_source.template)
        if merge_source.recipe:
            recipe = dataclasses.replace(merge_source.recipe, model=name, revision=revision)
            add_eos_tokens(folder, encoder_for(recipe).end_token_ids)
        _add_card(merge_source.settings, folder)
    return MergeResult(out, merge_source.kind, name, count, model_dtype)


def find_merge_source(source: Path) -> MergeSource:
    """Return what a folder contains to merge; raises SeqitError if there is nothing."""
    if not source.is_dir():
        raise SeqitError(f"{source} is not a folder; name the one that training wrote")
    if (source / ADAPTER_FILE).is_file():
        return _adapter_source(source)
    if (source / checkpoints.COMPLETE_FILE).is_file():
        return _checkpoint_source(source)
    if is_deepspeed_checkpoint(source):
        return _shards_source(source)
    if has_weights(source):
        raise SeqitError(
            f"{source} already contains a complete model, so there is nothing to merge; use it "
            f"with transformers:{source} or vllm:{source}"
        )
    if (source / checkpoints.CHECKPOINTS_FOLDER).is_dir():
        return _checkpoint_source(_newest_checkpoint(source))
    raise SeqitError(
        f"{source} contains nothing to merge: no adapter ({ADAPTER_FILE}), no checkpoint of seqit "
        f"train ({checkpoints.COMPLETE_FILE}) or DeepSpeed ({LATEST_FILE})"
    )


def _adapter_source(source: Path) -> MergeSource:
    try:
        config = dict(_read_json(source / ADAPTER_FILE))
    except (OSError, ValueError, TypeError) as error:
        raise SeqitError(f"{source / ADAPTER_FILE} cannot be read: {error}") from None
    if (kind := config.get("peft_type")) != "LORA":
        raise SeqitError(f"{source} contains an adapter of type {kind}; only LoRA can be merged")

    def apply(model: Any) -> Any:
        return _merge_adapter(load_adapter(model, source, trainable=False), source)

    base = config.get("base_model_name_or_path")
    return MergeSource("adapter", source, base, config.get("revision"), apply)


def _checkpoint_source(source: Path) -> MergeSource:
    run = source.parent.parent
    try:
        recipe = TrainRecipe.from_dict(_read_json(run / RUN_FILE))
        if not recipe.model:
            raise ValueError("it names no model")
    except (OSError, ValueError, TypeError) as error:
        raise SeqitError(
            f"{run} is not the folder of a run: {RUN_FILE} cannot be read: {error}"
        ) from None

    def apply(model: Any) -> Any:
        if recipe.lora:
            model = add_lora(model, recipe.lora, recipe.model)
        _load_state(model, checkpoints.load_weights(source), source)
        return _merge_adapter(model, source) if recipe.lora else model

    return MergeSource("checkpoint", run, recipe.model, recipe.revision, apply, recipe)


def _shards_source(source: Path) -> MergeSource:
    state = gather_weights(source)
    if any("lora_" in name for name in state):
        raise SeqitError(
            f"the checkpoint in {source} contains adapters, but no {ADAPTER_FILE} describes them; "
            "merge the adapter that the training saved"
        )

    def apply(model: Any) -> Any:
        _load_state(model, state, source)
        return model

    # transformers' Trainer saves the model's config in the checkpoint.
    base = str(source) if (source / "config.json").is_file() else None
    return MergeSource("shards", source, base, None, apply)


def _newest_checkpoint(run: Path) -> Path:
    messages: list[str] = []
    newest = checkpoints.newest(run, messages.append)
    if newest is None:
        reason = f": {messages[0]}" if messages else ""
        raise SeqitError(f"{run} contains no complete checkpoint{reason}")
    return newest.folder


def _add_card(settings: Path, out: Path) -> None:
    """Copy training.json, if there is one, and write the model card."""
    if (provenance := load_provenance(settings)) is not None:
        shutil.copyfile(settings / PROVENANCE_FILE, out / PROVENANCE_FILE)
        write_card(out, provenance, CardInfo(model_kind(str(out)), merged=True))


def _save(model: Any, folder: Path) -> None:
    from safetensors import SafetensorError

    try:
        model.save_pretrained(folder, max_shard_size=MAX_SHARD_SIZE)
    except SafetensorError as error:  # raised, among others, for a full disk
        raise OSError(None, str(error)) from error


def _find_base(name: str, revision: str | None, source: Path) -> Any:
    try:
        return find_model(name, revision)
    except SeqitError as error:
        raise SeqitError(
            f"the base of {source} is not found: {error}; name its location with --base"
        ) from None


def _load_base(folder: str, dtype: str) -> Any:
    """Return the base on the CPU, or a model without weights if the folder has only a config."""
    import torch
    from transformers import AutoConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    auto_class = auto_class_for(folder)
    try:
        if has_weights(Path(folder)):
            return auto_class.from_pretrained(folder, trust_remote_code=False, dtype=dtype).eval()
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model_dtype = config.dtype if dtype == "auto" else dtype
        with torch.device("meta"):
            model = auto_class.from_config(config, dtype=model_dtype)
        return model.eval()
    except Exception as error:
        raise SeqitError(f"transformers cannot load the base in {folder}: {error}") from error


def _load_state(model: Any, state: dict[str, Any], source: Path) -> None:
    """Load `state` into the model; raises SeqitError for unexpected or missing weights."""
    converted = {name: tensor.to(model.dtype) for name, tensor in state.items()}
    try:
        result = model.load_state_dict(converted, strict=False, assign=True)
    except RuntimeError as error:
        message = " ".join(str(error).split())
        raise SeqitError(f"{source} belongs to another model than the base: {message}") from None
    if result.unexpected_keys:
        raise SeqitError(
            f"{source} belongs to another model than the base: {len(result.unexpected_keys)} of "
            f"its weights are unexpected, for example {result.unexpected_keys[0]}"
        )
    model.tie_weights()
    missing = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if missing:
        raise SeqitError(
            f"{source} has no weights for {len(missing)} tensors, for example {missing[0]}; name "
            "the model that was trained with --base"
        )


def _merge_adapter(model: Any, source: Path) -> Any:
    """Return the base with the adapters merged into its weights."""
    try:
        return model.merge_and_unload(safe_merge=True)
    except ValueError as error:  # NaN or infinite weights
        raise SeqitError(f"the adapter in {source} is broken: {error}") from None


def _read_json(path: Path) -> Any:
    import orjson

    return orjson.loads(path.read_bytes())
