"""The recipe of a training run: read from YAML, overridden by the command line.

The defaults are the paper's (arXiv 2403.07794): batch 128, learning rate 2e-5 with linear decay,
warm-up 0.03, no weight decay, 3 epochs, length 2048, loss on the assistant's tokens; LoRA r 64,
alpha 16 on all projections.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from seqit.errors import UsageError
from seqit.records.yaml_document import read_yaml

Loss = Literal["assistant", "last"]
Schedule = Literal["linear", "cosine", "constant"]
Dtype = Literal["bfloat16", "float32"]

RUN_FILE = "run.json"
"""The resolved recipe, in the run's folder; `--recipe` accepts it."""

PROVENANCE_FILE = "training.json"
"""The provenance of a model, in its folder (schemas/training.schema.json)."""


@dataclass(frozen=True, slots=True)
class Data:
    """Which rows are trained on, and how they become examples.

    eval: files of rows for the evaluation loss; held_out: the share of the roots held out for it.
    length: maximum tokens of an example, and of a packed sequence. truncate: cut longer rows; if
    False they are rejected. loss: on every turn of the assistant, or on the last one only.
    """

    sources: tuple[str, ...] = ()
    eval: tuple[str, ...] = ()
    held_out: float = 0.0
    length: int = 2048
    truncate: bool = False
    packing: bool = True
    loss: Loss = "assistant"


@dataclass(frozen=True, slots=True)
class Tuning:
    """The hyperparameters of the optimization.

    batch_size: rows of one optimizer step over all ranks; with packing, the number of sequences
    that contain this many rows on average. batch_tokens: tokens of one step instead. micro_batch:
    rows, or packed sequences, of one forward pass of a rank; None: 1. warmup: share of the steps
    with a rising learning rate; a value of 1 or more is a number of steps. max_steps: number of
    steps, instead of epochs.
    """

    epochs: float = 3
    max_steps: int | None = None
    batch_size: int = 128
    batch_tokens: int | None = None
    micro_batch: int | None = None
    learning_rate: float = 2e-5
    schedule: Schedule = "linear"
    warmup: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What makes the run fit into memory.

    zero: the ZeRO stage; None: chosen from the number of ranks. offload: "cpu" or "nvme:PATH",
    where the optimizer state (and with stage 3 the parameters) are stored. dtype None: bfloat16 on
    a GPU, otherwise float32. checkpointing: gradient checkpointing. deepspeed: a DeepSpeed JSON
    file of the user.
    """

    zero: int | None = None
    offload: str | None = None
    dtype: Dtype | None = None
    checkpointing: bool = True
    attention: str | None = None
    deepspeed: str | None = None


@dataclass(frozen=True, slots=True)
class Lora:
    """LoRA instead of full fine-tuning; bits: 4 or 8 quantize the base (QLoRA).

    targets: "all-linear" (every projection except the head), or module names with commas.
    """

    rank: int = 64
    alpha: float = 16
    dropout: float = 0.0
    targets: str = "all-linear"
    bits: int | None = None


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """When checkpoints are saved, and how many are kept.

    every: steps between them, None: once per epoch. save_total_limit: the newest ones are kept.
    """

    every: int | None = None
    save_total_limit: int = 2


@dataclass(frozen=True, slots=True)
class Logging:
    """What is logged, and where. eval_every: steps between evaluations, None: once per epoch.

    tensorboard: a folder; wandb: a project.
    """

    log_every: int = 1
    eval_every: int | None = None
    tensorboard: str | None = None
    wandb: str | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """Where the ranks run.

    ranks: per node; None: one per GPU, or one on the CPU. rendezvous: HOST:PORT of the first node.
    restarts: how often the ranks are restarted from the newest checkpoint after one has died.
    """

    ranks: int | None = None
    nodes: int = 1
    hostfile: str | None = None
    rendezvous: str | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class TrainRecipe:
    """A complete training run.

    model: a folder or a hub name, with its revision; template: a file with a chat template that
    replaces the model's own; output: the folder of the run and of the trained model. tokens: the
    folder of the prepared rows (data/dataset.py), None until they are prepared. resume: continue
    from the newest complete checkpoint.
    """

    model: str = ""
    output: str = ""
    revision: str | None = None
    template: str | None = None
    data: Data = field(default_factory=Data)
    tuning: Tuning = field(default_factory=Tuning)
    memory: Memory = field(default_factory=Memory)
    lora: Lora | None = None
    checkpoints: Checkpointing = field(default_factory=Checkpointing)
    logging: Logging = field(default_factory=Logging)
    launch: Launch = field(default_factory=Launch)
    tokens: str | None = None
    resume: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as JSON values that match schemas/train.schema.json."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "TrainRecipe":
        """Return the recipe of a document that matches schemas/train.schema.json."""
        values = dict(document)
        for name, section in SECTIONS.items():
            if isinstance(part := values.get(name), dict):
                values[name] = _build_section(section, part)
            elif name in values and name != "lora":
                del values[name]
        return cls(**values)

    def check(self, needs_output: bool = True) -> None:
        """Raise UsageError if a required field is missing or two fields contradict each other."""
        for name, value in (("--model", self.model), ("--output", self.output or not needs_output)):
            if not value:
                raise UsageError(f"{name} is missing; give the option or set it in the recipe")
        data, memory = self.data, self.memory
        if data.eval and data.held_out:
            raise UsageError("--eval and --held-out both name the evaluation rows; give only one")
        offload = memory.offload
        if offload not in (None, "cpu") and not str(offload).removeprefix("nvme:"):
            raise UsageError("--offload nvme:PATH needs the path of a folder on an NVMe disk")
        if offload and memory.zero == 0:
            raise UsageError("--offload needs ZeRO stage 1, 2 or 3, not --zero 0")
        if offload and offload != "cpu" and memory.zero not in (None, 3):
            raise UsageError("--offload nvme:PATH needs --zero 3")


SECTIONS: dict[str, type] = {
    "data": Data,
    "tuning": Tuning,
    "memory": Memory,
    "lora": Lora,
    "checkpoints": Checkpointing,
    "logging": Logging,
    "launch": Launch,
}
"""The sections of a recipe by their YAML names."""


def _build_section(section: type, values: dict[str, Any]) -> Any:
    keys = {"sources", "eval"} & values.keys()
    files = {k: (v,) if isinstance(v := values[k], str) else tuple(v) for k in keys}
    return section(**values | files)


def read_recipe(text: bytes, name: str) -> TrainRecipe:
    """Return the recipe of a YAML document; `name` stands for it in errors.

    Raises SeqitError, with the field, if it does not match schemas/train.schema.json.
    """
    document = read_yaml(text, name, "train")
    return TrainRecipe.from_dict(document)
