"""seqit score: answers against references, by program."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from seqit.commands.shell.command import Command
from seqit.commands.shell.job import MOST_WORKERS, Job
from seqit.commands.shell.options import data_options
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.evaluate.sandbox.sandbox import Sandbox
    from seqit.records.run_stats import Row, RunStats


@click.command("score", cls=Command, short_help="Score responses against references.")
@click.option(
    "--benchmark",
    metavar="NAME",
    help="Score every row as this benchmark: gsm8k, mgsm, humaneval, xquad, choices (mmlu, arc, "
    "commonsense_qa), vqa, gqa or checks. Default: what the row says, or its item's format.",
)
@click.option(
    "--allow-code-execution",
    is_flag=True,
    help="Run the code of answers (HumanEval), shut in a sandbox; without it they are rejected.",
)
@click.option(
    "--pass-at",
    metavar="K,…",
    help="Add pass@k for each item with code, estimated from all its samples: 1,10.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="CPU time of a program; three times of it by the clock.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    metavar="N",
    help=f"Run N programs at a time. Default: one a CPU, at most {MOST_WORKERS}.",
)
@data_options
def command(
    job: Job,
    *,
    benchmark: str | None,
    allow_code_execution: bool,
    pass_at: str | None,
    timeout: float,
    workers: int | None,
) -> None:
    """Turn responses (seqit respond) into scores: one row a measure.

    An empty answer is wrong. What cannot be scored, as an item without its right answer, is
    rejected with the reason. docs/scoring.md has the rules of each benchmark.
    """
    from seqit.engine.processes import usable_cpus
    from seqit.evaluate.metrics import named
    from seqit.evaluate.scoring import score
    from seqit.records.readers.rows import keep_valid

    if (job.output or "").endswith(".parquet"):
        raise UsageError("score writes JSONL; Parquet files hold records")
    scorer = named(benchmark) if benchmark else None
    ks = _numbers(pass_at) if pass_at else ()
    job.options.pop("workers")  # no part of the manifest: the result is the same
    count = workers or min(usable_cpus(), MOST_WORKERS)
    sandbox = _sandbox(timeout) if allow_code_execution else None

    def transform(rows: Iterator["Row"], stats: "RunStats") -> Iterator["Row"]:
        responses = keep_valid(rows, stats, "response")
        return score(
            responses,
            stats,
            benchmark=scorer,
            sandbox=sandbox,
            pass_at=ks,
            workers=count,
        )

    job.run(transform, job.read_rows, schema="score")


def _sandbox(timeout: float) -> "Sandbox":
    from seqit.evaluate.sandbox.launchers import Limits
    from seqit.evaluate.sandbox.sandbox import open_sandbox

    return open_sandbox(Limits(seconds=timeout))


def _numbers(text: str) -> Sequence[int]:
    """Return the k of pass@k, in order; raises UsageError."""
    found: list[Any] = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in found):
        raise UsageError(f"--pass-at takes whole numbers from 1, as in 1,10, and not {text!r}")
    return sorted({int(part) for part in found})
