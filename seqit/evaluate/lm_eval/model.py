"""The model as lm-evaluation-harness loads it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.evaluate.lm_eval.log import counted, first_line
from seqit.llm.providers.local.model_files import find_model, installed_version
from seqit.llm.registry import engine_options

_MODELS = {"vllm": "vllm", "transformers": "hf"}
"""KIND → the harness's name of it."""
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
"""KIND → the engine options that the harness has, under its own names."""


@dataclass(frozen=True)
class HarnessConfig:
    """How the harness is asked: the model, and what holds for all tasks.

    batch_size: None leaves it to vLLM, and is 8 for transformers. chat: None applies the model's
    chat template where it has one. limit: items of each task, from the first.
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
    """A model by a setting, loaded when it is needed; raises UsageError for what cannot be."""

    setting: HarnessConfig
    warned: Counter[str]

    def __post_init__(self) -> None:
        setting = self.setting
        if setting.kind not in _MODELS:
            raise UsageError(
                f"bench loads a model itself: vllm:PATH or transformers:PATH, not {setting.kind}; "
                "a model at a server is measured with seqit respond and seqit score"
            )
        if not setting.model:
            raise UsageError(f"{setting.kind} needs a model: write {setting.kind}:PATH")
        self._arguments = self._engine()

    def check_library(self) -> None:
        """Raise SeqitError where the library that runs the model is not installed."""
        if self.setting.kind == "vllm":
            installed_version("vllm", "vllm")

    @cached_property
    def applies_template(self) -> bool:
        """Whether prompts are laid out by the model's chat template; raises UsageError."""
        if self.setting.chat is False:
            return False
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(self._folder, trust_remote_code=False)
        except Exception as error:
            raise SeqitError(f"{self.setting.model}: no tokenizer: {first_line(error)}") from error
        if self.setting.chat and not tokenizer.chat_template:
            raise UsageError(f"{self.setting.model} has no chat template to apply")
        return bool(tokenizer.chat_template)

    @cached_property
    def loaded(self) -> Any:
        """The harness's model; raises SeqitError."""
        from lm_eval.api.registry import get_model

        kind = self.setting.kind
        arguments = {"pretrained": self._folder, "trust_remote_code": False, **self._arguments}
        size: int | str = self.setting.batch_size or ("auto" if kind == "vllm" else 8)
        loading: dict[str, Any] = {"batch_size": size}
        if kind == "vllm":
            arguments["seed"] = self.setting.seed
        else:
            import torch

            loading["device"] = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            with counted(self.warned):
                model = get_model(_MODELS[kind]).create_from_arg_obj(arguments, loading)
            if kind == "transformers":
                _put_settings_aside(model.model)
            return model
        except Exception as error:
            message = f"lm-eval cannot load {self.setting.model}: {first_line(error)}"
            raise SeqitError(message) from error

    @cached_property
    def _folder(self) -> str:
        options = engine_options(self.setting.kind, self.setting.engine)
        return find_model(self.setting.model, options.get("revision")).folder()

    def _engine(self) -> dict[str, Any]:
        kind = self.setting.kind
        names = _ARGUMENTS[kind]
        options = engine_options(kind, self.setting.engine)
        options.pop("revision", None)
        if others := [name for name in options if name not in names]:
            raise UsageError(
                f"bench takes no --engine {others[0]}=…; of {kind} it takes revision, "
                f"{', '.join(sorted(names))}"
            )
        return {names[name]: value for name, value in options.items()}


def _put_settings_aside(model: Any) -> None:
    """Let the task alone decide how an answer is drawn, and not the model's generation_config.

    With its top_k or repetition_penalty, as transformers adds them, the figures would be others
    than vLLM's. What ends a turn stays.
    """
    from transformers import GenerationConfig

    old = model.generation_config
    ends = {name: getattr(old, name) for name in ("eos_token_id", "bos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**ends)
