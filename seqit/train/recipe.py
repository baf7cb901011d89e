"""What a training run is, as a whole: a YAML recipe, which the command line overrides.

The defaults are the paper's (arXiv 2403.07794): batch 128, learning rate 2e-5 falling linearly,
warm-up 0.03, no weight decay, 3 epochs, length 2048, loss on the assistant's tokens; LoRA r 64,
alpha 16 on all projections.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from seqit.errors import UsageError
from seqit.records.yaml_document import read_document

Loss = Literal["assistant", "last"]
Schedule = Literal["linear", "cosine", "constant"]
Dtype = Literal["bfloat16", "float32"]

RUN_FILE = "run.json"
"""The resolved recipe, in the folder of the run; it can be given as a recipe again."""

PROVENANCE_FILE = "training.json"
"""What made a model, beside it (schemas/training.schema.json)."""


@dataclass(frozen=True, slots=True)
class Data:
    """Which rows, and how they become examples.

    eval: files of rows for the evaluation loss; hold_out: the share of the roots kept for it.
    length: tokens of an example, or of a packed sequence. truncate: cut longer rows, else they are
    rejected. loss: on every turn of the assistant, or the last alone.
    """

    sources: tuple[str, ...] = ()
    eval: tuple[str, ...] = ()
    hold_out: float = 0.0
    length: int = 2048
    truncate: bool = False
    packing: bool = True
    loss: Loss = "assistant"


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the weights are moved.

    batch: rows of one optimizer step over all ranks; packed, as many sequences as hold so many
    rows on average. batch_tokens: its tokens, in place of its rows. micro_batch: rows, or packed
    sequences, that a rank computes at once; None: 1. warmup: the share of the steps in which the
    rate rises, or from 1 on their number. max_steps: in place of what the epochs come to.
    """

    epochs: float = 3
    max_steps: int | None = None
    batch: int = 128
    batch_tokens: int | None = None
    micro_batch: int | None = None
    lr: float = 2e-5
    schedule: Schedule = "linear"
    warmup: float = 0.03
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What makes it fit.

    zero: the stage of ZeRO, None: chosen by the ranks. offload: "cpu" or "nvme:PATH", where the
    optimizer (and with stage 3 the parameters) go. dtype None: bfloat16 on a GPU, else float32.
    deepspeed: a DeepSpeed JSON of the user's own.
    """

    zero: int | None = None
    offload: str | None = None
    dtype: Dtype | None = None
    checkpointing: bool = True
    attention: str | None = None
    deepspeed: str | None = None


@dataclass(frozen=True, slots=True)
class Lora:
    """Adapters in place of full fine-tuning; bits: 4 or 8 quantise the base (QLoRA).

    targets: "all-linear" (every projection but the head), or the modules' names with commas.
    """

    rank: int = 64
    alpha: float = 16
    dropout: float = 0.0
    targets: str = "all-linear"
    bits: int | None = None


@dataclass(frozen=True, slots=True)
class Keeping:
    """Checkpoints: every so many steps, None: once an epoch; the newest `keep` of them stay."""

    every: int | None = None
    keep: int = 2


@dataclass(frozen=True, slots=True)
class Watching:
    """What is logged where; eval_every: steps between evaluations, None: once an epoch.

    tensorboard: a folder; wandb: a project.
    """

    log_every: int = 1
    eval_every: int | None = None
    tensorboard: str | None = None
    wandb: str | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """Where the ranks run; ranks None: one for each GPU of a node, or one on the CPU.

    ranks: of one node. rendezvous: HOST:PORT of the first node. restarts: how often the ranks are
    started again, from the newest checkpoint, when one of them dies.
    """

    ranks: int | None = None
    nodes: int = 1
    hostfile: str | None = None
    rendezvous: str | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class TrainRecipe:
    """A whole run.

    model: a folder or a hub name, and its revision there; template: a file with a chat template in
    place of the model's own; out: the folder of the run, which becomes the model's. tokens: the
    folder of the prepared rows (data/dataset.py), known once they are prepared. resume: go on
    from the newest whole checkpoint.
    """

    model: str = ""
    out: str = ""
    revision: str | None = None
    template: str | None = None
    data: Data = field(default_factory=Data)
    tuning: Tuning = field(default_factory=Tuning)
    memory: Memory = field(default_factory=Memory)
    lora: Lora | None = None
    keeping: Keeping = field(default_factory=Keeping)
    watching: Watching = field(default_factory=Watching)
    launch: Launch = field(default_factory=Launch)
    tokens: str | None = None
    resume: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values, as schemas/train.schema.json has them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> "TrainRecipe":
        """Return the recipe of a document that matches schemas/train.schema.json."""
        values = dict(document)
        for name, section in SECTIONS.items():
            if isinstance(part := values.get(name), dict):
                values[name] = _section(section, part)
            elif name in values and name != "lora":
                del values[name]
        return cls(**values)

    def check(self, needs_out: bool = True) -> None:
        """Raise UsageError where something is missing, or two things exclude each other."""
        for name, value in (("--model", self.model), ("--out", self.out or not needs_out)):
            if not value:
                raise UsageError(f"{name} is missing; give it, or name it in the recipe")
        data, memory = self.data, self.memory
        if data.eval and data.hold_out:
            raise UsageError("--eval and --hold-out both give the rows of the evaluation; take one")
        offload = memory.offload
        if offload not in (None, "cpu") and not str(offload).removeprefix("nvme:"):
            raise UsageError("--offload nvme:PATH needs the path of a folder on the NVMe disk")
        if offload and memory.zero == 0:
            raise UsageError("--offload needs ZeRO of stage 1, 2 or 3, not --zero 0")
        if offload and offload != "cpu" and memory.zero not in (None, 3):
            raise UsageError("--offload nvme:PATH needs --zero 3")


SECTIONS: dict[str, type] = {
    "data": Data,
    "tuning": Tuning,
    "memory": Memory,
    "lora": Lora,
    "keeping": Keeping,
    "watching": Watching,
    "launch": Launch,
}
"""The parts of a recipe by their names in YAML."""


def _section(section: type, values: dict[str, Any]) -> Any:
    files = {"sources", "eval"} & values.keys()
    lists = {k: (v,) if isinstance(v := values[k], str) else tuple(v) for k in files}
    return section(**values | lists)


def read_recipe(text: bytes, name: str) -> TrainRecipe:
    """Return the recipe of a YAML document; `name` stands for it in errors.

    Raises SeqitError, with the field, where it does not match schemas/train.schema.json.
    """
    document = read_document(text, name, "train")
    return TrainRecipe.from_dict(document)
