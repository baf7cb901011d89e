"""Metrics, progress, and the error for a loss that is not finite."""

import io
import json
from importlib.util import find_spec
from math import cos, nan, pi

import pytest

if not all(map(find_spec, ("torch", "transformers", "deepspeed", "peft"))):
    pytest.skip("seqit[train] is not installed", allow_module_level=True)

from support.tiny_model import make_model
from support.training import (
    curve,
    error_messages,
    logs,
    make_recipe,
    metrics,
    random_rows,
    train,
    write_prepared,
)

from seqit.errors import SeqitError
from seqit.train.loop.learning_rate import learning_rate
from seqit.train.loop.metrics import (
    MetricsLogger,
    ModelFlops,
    StepWork,
    divergence_error,
    peak_flops,
)
from seqit.train.recipe import Logging, TrainRecipe, Tuning


class Terminal(io.StringIO):
    def isatty(self):
        return True


def row(step, loss=2.0):
    return {"step": step, "loss": loss, "tokens_per_second": 1234.5, "mfu": None}


def test_rows_of_repeated_steps_are_removed(tmp_path):
    recipe = TrainRecipe(output=str(tmp_path))
    logger = MetricsLogger(recipe, 9, io.StringIO())
    logger.open(0)
    for step in range(1, 6):
        logger.log(row(step, loss=nan if step == 5 else 2.0))
    logger.close()
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step":6,"lo')  # the process was killed here
    again = MetricsLogger(recipe, 9, io.StringIO())
    again.open(3)
    again.log(row(4))
    again.close()
    assert [each["step"] for each in metrics(recipe)] == [1, 2, 3, 4]


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere(tmp_path):
    for stream in (Terminal(), io.StringIO()):
        logger = MetricsLogger(TrainRecipe(output=str(tmp_path)), 8, stream)
        logger.open(4)
        logger.log({**row(5), "mfu": 0.512})
        logger.info("resumes")
        logger.close()
        shown = stream.getvalue()
        line = "train: step 5 of 8, loss 2.0000, 1,234 tokens/s, MFU 51.2%, 0 min left"
        assert (line in shown) == stream.isatty()
        assert "seqit train: resumes\n" in shown


def test_mfu_counts_weights_and_the_causal_half_of_attention():
    """Llama-3-8B at length 2048: 6 x 7.50e9 per token, and 6 x 32 x 4096 x 2048 for attention."""
    flops = ModelFlops(weights=7_504_924_672, layers=32, hidden_size=4096, peak=989e12)
    done = 6 * 7_504_924_672 * 2048 + 6 * 32 * 4096 * 2048**2
    assert flops.mfu(StepWork(2048, 2048**2, 0.2)) == done / 0.2 / 989e12
    assert 0.47 < flops.mfu(StepWork(2048, 2048**2, 0.2)) < 0.49
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("Somebody's GPU") is None


def test_schedules_are_those_of_transformers():
    import torch
    from torch.nn import Parameter
    from torch.optim import SGD
    from transformers import get_scheduler

    steps = 20
    for name in ("linear", "cosine", "constant"):
        kind = "constant_with_warmup" if name == "constant" else name
        optimizer = SGD([Parameter(torch.zeros(1))], lr=0.5)
        scheduler = get_scheduler(kind, optimizer, 3, steps)
        tuning = Tuning(learning_rate=0.5, schedule=name, warmup=0.15)
        for step in range(steps):
            assert learning_rate(step, steps, tuning) == pytest.approx(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
    assert (
        learning_rate(10, 20, Tuning(learning_rate=1, schedule="cosine", warmup=0))
        == (1 + cos(pi / 2)) / 2
    )
    assert learning_rate(0, 1, Tuning(warmup=0)) == Tuning().learning_rate


def test_the_rows_of_a_loss_that_is_not_finite_are_named(tmp_path):
    error = divergence_error(tmp_path, 7, "the loss is nan", (f"row-{n}" for n in range(12)))
    assert str(error).startswith("step 7: the loss is nan; rows: row-0, row-1, ")
    assert f"row-9 and 2 more ({tmp_path}/failure.json)" in str(error)
    assert json.loads((tmp_path / "failure.json").read_text())["rows"][-1] == "row-11"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_run_stops_before_a_loss_that_is_not_finite_changes_a_weight(tmp_path):
    """One row has the token 299, whose embedding is broken."""
    from safetensors.torch import load_file, save_file

    model = make_model(tmp_path / "model")
    state = load_file(model / "model.safetensors")
    state["model.embed_tokens.weight"][299] = nan
    save_file(state, model / "model.safetensors", {"format": "pt"})
    rows = random_rows(40)
    rows[17][2] = 299
    tokens = write_prepared(tmp_path / "tokens", rows)
    recipe = make_recipe(
        model, tokens, tmp_path / "out", batch_size=8, every=1, zero=2, packing=False
    )
    assert train(recipe, 2) != [0, 0]
    failure = json.loads((tmp_path / "out" / "failure.json").read_text())
    assert failure["rows"] == ["row-17"] and failure["reason"] == "the loss is nan"
    message = f"step {failure['step']}: the loss is nan; rows: row-17. Check these rows"
    assert message in error_messages(recipe)
    done = [each["step"] for each in metrics(recipe)]
    assert done == list(range(1, failure["step"])), logs(recipe)
    kept = list((tmp_path / "out" / "checkpoints").glob("step-*"))
    assert all("nan" not in str(load_file(next(c.glob("*.safetensors")))) for c in kept)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_metrics_are_rows_that_sql_reads(seqit, tmp_path):
    tokens = write_prepared(tmp_path / "tokens", random_rows(40))
    recipe = make_recipe(make_model(tmp_path / "model"), tokens, tmp_path / "out", max_steps=3)
    assert train(recipe, 1) == [0], logs(recipe)
    assert len(curve(recipe)) == 3
    query = "SELECT max(step) AS steps, min(loss) AS least FROM metrics"
    ran = seqit("sql", query, tmp_path / "out" / "metrics.jsonl", "--format", "jsonl")
    assert ran.rows == [{"steps": 3, "least": min(row["loss"] for row in metrics(recipe))}], ran.err


def test_missing_packages_are_named(tmp_path):
    for name in ("tensorboard", "wandb"):
        if find_spec(name):
            continue
        recipe = TrainRecipe(output=str(tmp_path), logging=Logging(**{name: "x"}))
        with pytest.raises(SeqitError, match=f"pip install {name}"):
            MetricsLogger(recipe, 1, io.StringIO())
