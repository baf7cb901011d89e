"""seqit bench: run public benchmarks with lm-evaluation-harness, and write score rows."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from seqit.commands.shell.command import Command, say
from seqit.commands.shell.job import MAX_WORKERS, Job
from seqit.commands.shell.options import list_option, output_options
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.evaluate.lm_eval.harness import BrokenBenchmark, Harness, Sample
    from seqit.evaluate.lm_eval.model import HarnessConfig
    from seqit.records.run_stats import Row, RunStats

MAX_WARNINGS = 5
PASS_AT = (1, 10)


def _list_benchmarks() -> str:
    from seqit.evaluate.lm_eval.harness import PRESETS

    lines = []
    for name, preset in PRESETS.items():
        shots = " and ".join(f"{count}-shot" for count in preset.shots)
        first, *others = preset.tasks
        more = f" and {len(others)} others" if others else ""
        lines.append(f"{name:14}  {shots}; lm-eval's {first}{more}")
    return "\n".join(lines)


@click.command("bench", cls=Command, short_help="Measure a model on public benchmarks.")
@click.option(
    "--model", "name", metavar="KIND:PATH", required=True,
    help="The model: vllm:PATH or transformers:PATH, a folder or a name on the hub.",
)  # fmt: skip
@click.option(
    "--tasks", metavar="NAME,…", required=True,
    help="Benchmarks with the paper's numbers of examples (see --list), or any task of lm-eval.",
)  # fmt: skip
@list_option(_list_benchmarks, "Show the benchmarks with their numbers of examples.")
@click.option("--label", metavar="NAME", help="The model's name in tables; default KIND:PATH.")
@click.option(
    "--num-fewshot", type=click.IntRange(0, 100), metavar="N",
    help="Examples before each item, for all tasks except those that lm-eval defines as 0-shot.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Evaluate the first N items of each task."
)
@click.option(
    "--batch-size", type=click.IntRange(1), metavar="N",
    help="Requests at a time; default: vLLM's own choice, 8 with transformers.",
)  # fmt: skip
@click.option(
    "--engine-arg", multiple=True, metavar="NAME=VALUE",
    help="Such as tensor_parallel_size=4, max_model_len=4096 or lora=PATH; repeatable.",
)  # fmt: skip
@click.option(
    "--include", metavar="DIR", type=click.Path(exists=True, file_okay=False),
    help="Another folder of task files (YAML); the Python code that they name is run.",
)  # fmt: skip
@click.option(
    "--apply-chat-template/--no-chat-template", "chat", default=None,
    help="Format prompts as a chat, examples as earlier turns. Default: if the model has a chat "
    "template.",
)  # fmt: skip
@click.option(
    "--allow-code-execution", is_flag=True,
    help="Run the code of answers (humaneval) in seqit's sandbox. Other tasks whose code lm-eval "
    "would run without a sandbox are refused.",
)  # fmt: skip
@click.option(
    "--samples", type=click.IntRange(1, 1000), default=20, show_default=True, metavar="N",
    help="humaneval: programs for each item, at temperature 0.8 and top-p 0.95; 1 is greedy.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 256), metavar="N",
    help=f"humaneval: run N programs at a time. Default: one per CPU, at most {MAX_WORKERS}.",
)  # fmt: skip
@click.option(
    "--seed", type=int, default=1234, show_default=True, help="Decides all random choices."
)
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
    num_fewshot: int | None,
    **settings: Any,
) -> None:
    """Measure a model with lm-evaluation-harness: a score row for each item and metric.

    The name of a benchmark includes the number of examples (mmlu-5-shot). A metric has the
    harness's name, with its filter: exact_match,strict-match. humaneval gives pass for each
    program, and pass@1 and pass@10. No code that comes with a model is trusted.

    \b
        seqit bench --model vllm:out/sit --tasks gsm8k,mmlu -o scores.jsonl
    """
    from seqit.engine.processes import usable_cpus
    from seqit.evaluate.items import training_hash
    from seqit.evaluate.lm_eval.harness import HUMANEVAL, Harness
    from seqit.evaluate.lm_eval.rows import RunLabels, read_samples, score_samples
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
    job.options.pop("workers")  # not in the manifest: it does not change the result
    notify = partial(say, job.context) if not job.quiet else lambda message: None
    harness = Harness(_config(name, settings), samples=samples, report=notify)
    labels = RunLabels(
        label or name,
        harness.library,
        training_hash([harness.config.engine.get("lora", ""), harness.config.model]),
    )
    transform = partial(
        score_samples,
        labels=labels,
        sandbox=open_sandbox() if HUMANEVAL in names else None,
        pass_at=[k for k in PASS_AT if k <= samples],
        workers=workers or min(usable_cpus(), MAX_WORKERS),
    )
    _set_progress_bars(not job.quiet and sys.stderr.isatty())
    with _stdout_to_stderr():
        harness.load_tasks(names)

    def read(names: Sequence[str], stats: "RunStats", before_read: Any) -> Iterator["Row"]:
        return read_samples(_results(harness, num_fewshot), stats)

    job.run(transform, read, schema="score", summary_lines=lambda stats: _warnings(harness))


def _config(name: str, settings: dict[str, Any]) -> "HarnessConfig":
    from seqit.evaluate.lm_eval.model import HarnessConfig

    kind, _, model = name.partition(":")
    pairs = [text.partition("=") for text in settings["engine_arg"]]
    return HarnessConfig(
        kind,
        model,
        {key.strip(): value.strip() for key, _, value in pairs},
        **{key: settings[key] for key in ("batch_size", "chat", "limit", "seed")},
        include=settings["include"] or "",
    )


def _results(harness: "Harness", num_fewshot: int | None) -> Iterator["Sample | BrokenBenchmark"]:
    """Yield the harness's results; its prints go to standard error."""
    results = harness.run(num_fewshot)
    while True:
        with _stdout_to_stderr():
            result = next(results, None)
        if result is None:
            return
        yield result


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Redirect prints of libraries to standard error; standard output is for rows."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)


def _set_progress_bars(enabled: bool) -> None:
    """Disable the progress bars of libraries unless `enabled`; call before they are imported."""
    if not enabled:
        for library in ("TQDM_DISABLE", "HF_HUB_DISABLE_PROGRESS_BARS"):
            os.environ.setdefault(library, "1")


def _warnings(harness: "Harness") -> list[str]:
    """Return the harness's warnings, the most frequent first."""
    shown = harness.warnings.most_common(MAX_WARNINGS)
    lines = [
        f"lm-eval warned: {message}" + (f" ({count:,} times)" if count > 1 else "")
        for message, count in shown
    ]
    if (more := len(harness.warnings) - len(shown)) > 0:
        lines.append(f"… and {more} other warnings")
    return lines
