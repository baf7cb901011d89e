"""The local model that lm-evaluation-harness loads, and its configuration."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.evaluate.lm_eval.log import count_warnings, summarize_error
from seqit.llm.providers.local.libraries import installed_version
from seqit.llm.providers.local.model_files import find_model
from seqit.llm.registry import parse_engine_args

_MODELS = {"vllm": "vllm", "transformers": "hf"}
"""KIND → the harness's name for it."""
_ARGUMENTS = {
    "vllm": {
        **{name: name for name in ("tensor_parallel_size", "pipeline_parallel_size", "dtype")},
        **{name: name for name in ("quantization", "max_model_len", "max_num_seqs")},
        **{name: name for name in ("gpu_memory_utilization", "enforce_eager")},
        "lora": "lora_local_path",
    },
    "transformers": {
        **{name: name for name in ("dtype", "attn_implementation")},
        "max_model_len": "max_length",
        "lora": "peft",
    },
}
"""KIND → seqit's engine option → the harness's argument, for those that the harness has."""


@dataclass(frozen=True)
class HarnessConfig:
    """The model to evaluate, and the settings that apply to all tasks.

    engine: engine options by name. batch_size: None leaves it to vLLM, and is 8 for transformers.
    chat: whether the chat template is applied; None: if the model has one. limit: items of each
    task, from the first; None: all. include: a folder with further task files.
    """

    kind: str
    model: str
    engine: Mapping[str, str] = field(default_factory=dict)
    batch_size: int | None = None
    chat: bool | None = None
    limit: int | None = None
    seed: int = 1234
    include: str = ""


@dataclass
class HarnessModel:
    """A model that is loaded on first use; raises UsageError if its configuration is invalid."""

    config: HarnessConfig
    warnings: Counter[str]

    def __post_init__(self) -> None:
        config = self.config
        if config.kind not in _MODELS:
            raise UsageError(
                f"bench loads a model itself: vllm:PATH or transformers:PATH, not {config.kind}; "
                "a model at a server is measured with seqit respond and seqit score"
            )
        if not config.model:
            raise UsageError(f"{config.kind} needs a model: write {config.kind}:PATH")
        self._arguments = self._harness_arguments()

    def check_library(self) -> None:
        """Raise SeqitError if the library that runs the model is not installed."""
        if self.config.kind == "vllm":
            installed_version("vllm", "vllm")

    @cached_property
    def applies_template(self) -> bool:
        """Whether the model's chat template is applied to prompts; raises UsageError."""
        if self.config.chat is False:
            return False
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self._folder, trust_remote_code=False)
        except Exception as error:
            raise SeqitError(
                f"{self.config.model}: no tokenizer: {summarize_error(error)}"
            ) from error
        if self.config.chat and not tokenizer.chat_template:
            raise UsageError(f"{self.config.model} has no chat template to apply")
        return bool(tokenizer.chat_template)

    @cached_property
    def loaded(self) -> Any:
        """The harness's model; raises SeqitError."""
        from lm_eval.api.registry import get_model

        kind = self.config.kind
        arguments = {"pretrained": self._folder, "trust_remote_code": False, **self._arguments}
        size: int | str = self.config.batch_size or ("auto" if kind == "vllm" else 8)
        loading: dict[str, Any] = {"batch_size": size}
        if kind == "vllm":
            arguments["seed"] = self.config.seed
        else:
            import torch

            loading["device"] = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            with count_warnings(self.warnings):
                model = get_model(_MODELS[kind]).create_from_arg_obj(arguments, loading)
            if kind == "transformers":
                _reset_generation_config(model.model)
            return model
        except Exception as error:
            message = f"lm-eval cannot load {self.config.model}: {summarize_error(error)}"
            raise SeqitError(message) from error

    @cached_property
    def _folder(self) -> str:
        options = parse_engine_args(self.config.kind, self.config.engine)
        return find_model(self.config.model, options.get("revision")).folder()

    def _harness_arguments(self) -> dict[str, Any]:
        kind = self.config.kind
        names = _ARGUMENTS[kind]
        options = parse_engine_args(kind, self.config.engine)
        options.pop("revision", None)
        if unknown := [name for name in options if name not in names]:
            raise UsageError(
                f"bench does not support --engine-arg {unknown[0]}=…; for {kind} it supports "
                f"revision, {', '.join(sorted(names))}"
            )
        return {names[name]: value for name, value in options.items()}


def _reset_generation_config(model: Any) -> None:
    """Reset the model's generation_config, so that only the task decides the sampling.

    transformers would add the model's top_k or repetition_penalty, and the results would differ
    from vLLM's. The special tokens stay.
    """
    from transformers import GenerationConfig

    old = model.generation_config
    tokens = {name: getattr(old, name) for name in ("eos_token_id", "bos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**tokens)
