"""seqit score: score answers against references, without a model."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from seqit.commands.shell.command import Command
from seqit.commands.shell.job import MAX_WORKERS, Job
from seqit.commands.shell.options import data_options, list_option
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.evaluate.sandbox.sandbox import Sandbox
    from seqit.records.run_stats import Row, RunStats


def _list_benchmarks() -> str:
    from seqit.evaluate.metrics import ALIASES, CODE, SCORERS, humaneval, load_scorer

    lines = []
    for name in SCORERS:
        text = humaneval.DESCRIPTION if name == CODE else load_scorer(name).description
        lines.append(f"{name:9}  {text}")
        if aliases := [alias for alias, scorer in ALIASES.items() if scorer == name]:
            lines.append(f"{'':9}  also for {', '.join(aliases)}")
    return "\n".join(lines)


@click.command("score", cls=Command, short_help="Score responses against references.")
@click.option(
    "--benchmark",
    metavar="NAME",
    help="Score every row as this benchmark (see --list). Default: the row's benchmark, or the "
    "format of its item.",
)
@list_option(_list_benchmarks, "Show the benchmarks and their metrics.")
@click.option(
    "--allow-code-execution",
    is_flag=True,
    help="Run the code of answers (HumanEval) in a sandbox; without it they are rejected.",
)
@click.option(
    "--pass-at",
    metavar="K,…",
    help="Add pass@k for each item with code, estimated from all its samples: 1,10.",
)
@click.option(
    "--cpu-timeout",
    type=click.FloatRange(0.1, 3600),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="CPU time of a program; the wall-clock limit is three times this.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help=f"Run N programs at a time. Default: one per CPU, at most {MAX_WORKERS}.",
)
@data_options
def command(
    job: Job,
    *,
    benchmark: str | None,
    allow_code_execution: bool,
    pass_at: str | None,
    cpu_timeout: float,
    workers: int | None,
) -> None:
    """Turn responses (seqit respond) into scores: one row per metric.

    An empty answer is wrong. A response that cannot be scored, such as one to an item without a
    reference answer, is rejected with the reason. docs/scoring.md has the rules of each benchmark.
    """
    from seqit.engine.processes import usable_cpus
    from seqit.evaluate.metrics import resolve_scorer
    from seqit.evaluate.scoring import score_responses
    from seqit.records.readers.rows import filter_valid

    if (job.output or "").endswith(".parquet"):
        raise UsageError("score writes JSONL; Parquet files hold records")
    scorer = resolve_scorer(benchmark) if benchmark else None
    ks = _parse_pass_at(pass_at) if pass_at else ()
    job.options.pop("workers")  # not in the manifest: it does not change the result
    count = workers or min(usable_cpus(), MAX_WORKERS)
    sandbox = _sandbox(cpu_timeout) if allow_code_execution else None

    def transform(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
        responses = filter_valid(rows, stats, "response")
        return score_responses(
            responses,
            stats,
            benchmark=scorer,
            sandbox=sandbox,
            pass_at=ks,
            workers=count,
        )

    job.run(transform, job.read_rows, schema="score")


def _sandbox(cpu_timeout: float) -> "Sandbox":
    from seqit.evaluate.sandbox.launchers import Limits
    from seqit.evaluate.sandbox.sandbox import open_sandbox

    return open_sandbox(Limits(seconds=cpu_timeout))


def _parse_pass_at(text: str) -> Sequence[int]:
    """Return the values of k for pass@k, sorted; raises UsageError for other text."""
    parts: list[Any] = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--pass-at takes whole numbers from 1, such as 1,10, not {text!r}")
    return sorted({int(part) for part in parts})
