"""seqit bench: public benchmarks by lm-evaluation-harness, as score rows."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seqit.commands.shell.command import Command, say
from seqit.commands.shell.job import MOST_WORKERS, Job
from seqit.commands.shell.options import output_options
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.evaluate.lm_eval.harness import BrokenBenchmark, Harness, Sample
    from seqit.evaluate.lm_eval.model import HarnessConfig
    from seqit.records.run_stats import Row, RunStats

SHOWN_WARNINGS = 5
PASS_AT = (1, 10)


@click.command("bench", cls=Command, short_help="Measure a model on public benchmarks.")
@click.option(
    "--model", "name", metavar="KIND:PATH", required=True,
    help="The model: vllm:PATH or transformers:PATH, a folder or a name on the hub.",
)  # fmt: skip
@click.option(
    "--tasks", metavar="NAME,…", required=True,
    help="gsm8k (8 examples, chain of thought), mgsm (8), mmlu (0 and 5), arc_challenge (25), "
    "xquad, commonsense_qa and humaneval (none), or any task of lm-eval, as it is there.",
)  # fmt: skip
@click.option("--label", metavar="TEXT", help="The model's name in tables; default KIND:PATH.")
@click.option(
    "--shots", type=click.IntRange(0, 100), metavar="N",
    help="Examples before each item, for all tasks; one that is 0-shot by its own settings stays.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(1), metavar="N", help="N items of each task.")
@click.option(
    "--batch-size", type=click.IntRange(1), metavar="N",
    help="Requests at a time; default: vLLM's own choice, 8 with transformers.",
)  # fmt: skip
@click.option(
    "--engine", multiple=True, metavar="NAME=VALUE",
    help="Such as tensor_parallel_size=4, max_model_len=4096 or lora=PATH; may be repeated.",
)  # fmt: skip
@click.option(
    "--include", metavar="DIR", type=click.Path(exists=True, file_okay=False),
    help="Look for task files (YAML) there, too; the Python that they name is run.",
)  # fmt: skip
@click.option(
    "--apply-chat-template/--no-chat-template", "chat", default=None,
    help="Lay prompts out as a chat, examples as earlier turns. Default: where the model has a "
    "chat template.",
)  # fmt: skip
@click.option(
    "--allow-code-execution", is_flag=True,
    help="Run the code of answers (humaneval), shut in seqit's sandbox. Other tasks whose code "
    "lm-eval would run without one are refused.",
)  # fmt: skip
@click.option(
    "--samples", type=click.IntRange(1, 1000), default=20, show_default=True, metavar="N",
    help="humaneval: programs for each item, at temperature 0.8 and top-p 0.95; 1 is greedy.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 256), metavar="N",
    help=f"humaneval: run N programs at a time. Default: one a CPU, at most {MOST_WORKERS}.",
)  # fmt: skip
@click.option("--seed", type=int, default=1234, show_default=True, help="Decides every draw.")
@output_options
def command(
    job: Job,
    *,
    name: str,
    tasks: str,
    label: str | None,
    allow_code_execution: bool,
    samples: int,
    workers: int | None,
    shots: int | None,
    **asked: Any,
) -> None:
    """Measure a model with lm-evaluation-harness: a score row for each item and metric.

    The name of a benchmark says how many examples were shown (mmlu-5-shot). A metric has the
    harness's name, with its filter: exact_match,strict-match. humaneval gives pass for each
    program, and pass@1 and pass@10. No code that comes with a model is trusted.

    \b
        seqit bench --model vllm:out/sit --tasks gsm8k,mmlu -o scores.jsonl
    """
    from seqit.engine.processes import usable_cpus
    from seqit.evaluate.items import training_of
    from seqit.evaluate.lm_eval.harness import HUMANEVAL, Harness
    from seqit.evaluate.lm_eval.rows import Labels, read, scores
    from seqit.evaluate.sandbox.sandbox import open_sandbox

    if (job.output or "").endswith(".parquet"):
        raise UsageError("bench writes JSONL; Parquet files hold records")
    job.has_sources = False
    job.check()
    names = list(dict.fromkeys(part.strip() for part in tasks.split(",") if part.strip()))
    if not names:
        raise UsageError("--tasks names no task")
    if HUMANEVAL in names and not allow_code_execution:
        raise UsageError(
            "humaneval runs programs that the model wrote, in a sandbox: --allow-code-execution"
        )
    job.options.pop("workers")  # no part of the manifest: the result is the same
    tell = partial(say, job.context) if not job.quiet else lambda message: None
    harness = Harness(_setting(name, asked), samples=samples, tell=tell)
    labels = Labels(
        label or name,
        harness.library,
        training_of([harness.setting.engine.get("lora", ""), harness.setting.model]),
    )
    transform = partial(
        scores,
        labels=labels,
        sandbox=open_sandbox() if HUMANEVAL in names else None,
        pass_at=[k for k in PASS_AT if k <= samples],
        workers=workers or min(usable_cpus(), MOST_WORKERS),
    )
    _show_bars(not job.quiet and sys.stderr.isatty())
    with _stdout_apart():
        harness.load_tasks(names)

    def rows(names: Sequence[str], stats: "RunStats", before_read: Any) -> Iterator["Row"]:
        return read(_found(harness, shots), stats)

    job.run(transform, rows, schema="score", remarks=lambda stats: _warnings(harness))


def _setting(name: str, asked: dict[str, Any]) -> "HarnessConfig":
    """Return how the harness is asked."""
    from seqit.evaluate.lm_eval.model import HarnessConfig

    kind, _, model = name.partition(":")
    pairs = [text.partition("=") for text in asked["engine"]]
    return HarnessConfig(
        kind,
        model,
        {key.strip(): value.strip() for key, _, value in pairs},
        **{key: asked[key] for key in ("batch_size", "chat", "limit", "seed")},
        include=asked["include"] or "",
    )


def _found(harness: "Harness", shots: int | None) -> Iterator["Sample | BrokenBenchmark"]:
    """Yield what the harness finds, which prints as it works: that is no row."""
    found = harness.run(shots)
    while True:
        with _stdout_apart():
            each = next(found, None)
        if each is None:
            return
        yield each


@contextlib.contextmanager
def _stdout_apart() -> Iterator[None]:
    """Send what libraries print to standard error; standard output is for rows."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _show_bars(shown: bool) -> None:
    """Before a library is imported: its progress bars are for a person who looks."""
    if not shown:
        for library in ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS"):
            os.environ.setdefault(library, "1")


def _warnings(harness: "Harness") -> list[str]:
    """Return what the harness warned of, the most frequent first."""
    most = harness.warned.most_common(SHOWN_WARNINGS)
    lines = [
        f"lm-eval warned: {message}" + (f" ({count:,} times)" if count > 1 else "")
        for message, count in most
    ]
    if (more := len(harness.warned) - len(most)) > 0:
        lines.append(f"… and of {more} further things")
    return lines
