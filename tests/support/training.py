"""Tiny training runs: prepared rows, and ranks that start fast.

Ranks are forked from a process that has already imported the libraries. The real launcher needs
ten seconds to start them; it is tested in tests/train/launch.
"""

import dataclasses
import json
import multiprocessing
import os
import random
import time
from pathlib import Path

from seqit.train.recipe import RUN_FILE, Checkpointing, Data, Memory, TrainRecipe, Tuning

HEAVY = ["torch", "deepspeed", "transformers.models.llama.modeling_llama", "peft"]
PRELOAD = [*HEAVY, "seqit.train.loop.trainer", "seqit.train.launch.worker"]
LENGTH = 96


def write_prepared(folder: Path, rows: list[list[int]], split: str = "train") -> Path:
    """Write prepared rows; the last two thirds of each are supervised."""
    from seqit.train.data.chat_encoder import Encoded
    from seqit.train.data.dataset import COUNTS_FILE, PreparedDatasetWriter

    folder.mkdir(parents=True, exist_ok=True)
    writer = PreparedDatasetWriter(folder / f"{split}.arrow")
    for number, ids in enumerate(rows):
        writer.write(
            f"row-{number}", Encoded(ids, [i >= len(ids) // 3 for i in range(len(ids))]), []
        )
    writer.close()
    (folder / COUNTS_FILE).write_text(json.dumps({"sources": {"rows.jsonl": "0" * 64}}))
    return folder


def random_rows(count: int, seed: int = 0) -> list[list[int]]:
    """Return rows of 4 to 40 tokens."""
    rng = random.Random(seed)
    return [[rng.randrange(5, 250) for _ in range(rng.randint(4, 40))] for _ in range(count)]


def make_recipe(model: Path, tokens: Path, out: Path, **changes: object) -> TrainRecipe:
    """Return the recipe of a run of a few steps; `changes` set fields of any section."""
    recipe = TrainRecipe(
        model=str(model),
        output=str(out),
        tokens=str(tokens),
        data=Data(length=LENGTH),
        tuning=Tuning(batch_size=12, learning_rate=3e-3, epochs=1, seed=7),
        memory=Memory(dtype="float32"),
        checkpoints=Checkpointing(every=1000),
    )
    for section in ("data", "tuning", "memory", "checkpoints", "launch", "logging"):
        part = getattr(recipe, section)
        names = [field.name for field in dataclasses.fields(part) if field.name in changes]
        values = {name: changes.pop(name) for name in names}
        recipe = dataclasses.replace(recipe, **{section: dataclasses.replace(part, **values)})
    return dataclasses.replace(recipe, **changes)


def write_run(recipe: TrainRecipe) -> Path:
    """Write OUT/run.json and return its path."""
    out = Path(recipe.output)
    out.mkdir(parents=True, exist_ok=True)
    (out / RUN_FILE).write_text(json.dumps(recipe.to_dict()))
    return out / RUN_FILE


def _rank(run: str, environment: dict[str, str], log: str, file_limit: int | None) -> None:
    os.environ |= environment
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    import torch

    torch.set_num_threads(1)
    if file_limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    from seqit.train.launch.worker import exit_process, main

    exit_process(main([run]))


def start_ranks(recipe: TrainRecipe, count: int, file_limit: int | None = None) -> list:
    """Start the ranks of a run; `file_limit`: maximum size of a file in bytes."""
    from seqit.train.loop.engine import free_port

    run, port = write_run(recipe), str(free_port())
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    ranks = []
    for rank in range(count):
        log = Path(recipe.output) / f"rank-{rank}.log"
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "SEQIT_RANK_ERROR": str(log.with_suffix(".error")),
        }
        log.with_suffix(".error").unlink(missing_ok=True)
        process = context.Process(target=_rank, args=(str(run), environment, str(log), file_limit))
        process.start()
        ranks.append(process)
    return ranks


def kill_ranks(ranks: list) -> None:
    """Kill the ranks that are still running."""
    for rank in ranks:
        rank.kill()
        rank.join()


def train(recipe: TrainRecipe, count: int, file_limit: int | None = None) -> list[int]:
    """Run the ranks and return their exit codes; if one fails, the others are killed."""
    ranks = start_ranks(recipe, count, file_limit)
    deadline = time.monotonic() + 120
    while any(rank.is_alive() for rank in ranks) and time.monotonic() < deadline:
        if any(rank.exitcode for rank in ranks):
            time.sleep(0.5)
            break
        time.sleep(0.02)
    kill_ranks(ranks)
    return [rank.exitcode for rank in ranks]


def logs(recipe: TrainRecipe) -> str:
    """Return the logs of the ranks, for the message of a failed assertion."""
    return "\n".join(path.read_text() for path in sorted(Path(recipe.output).glob("rank-*.log")))


def error_messages(recipe: TrainRecipe) -> str:
    """Return the error messages of the ranks."""
    return " ".join(path.read_text() for path in sorted(Path(recipe.output).glob("rank-*.error")))


def metrics(recipe: TrainRecipe) -> list[dict]:
    """Return the rows of metrics.jsonl."""
    with (Path(recipe.output) / "metrics.jsonl").open() as file:
        return [json.loads(line) for line in file]


def curve(recipe: TrainRecipe) -> list[tuple]:
    """Return the metrics that do not depend on time."""
    keys = ("step", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "targets")
    return [tuple(row.get(key) for key in keys) for row in metrics(recipe)]


def trained_weights(recipe: TrainRecipe) -> dict:
    """Return the weights of the trained model, or of its adapter."""
    from safetensors.torch import load_file

    names = ("model.safetensors", "adapter_model.safetensors")
    return load_file(next(path for n in names if (path := Path(recipe.output) / n).is_file()))
