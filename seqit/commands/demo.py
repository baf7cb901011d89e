"""seqit demo: run the whole data pipeline on the examples, with the commands a user would type."""

import shlex
import subprocess
import sys
from pathlib import Path

import click

from seqit.commands.shell.command import Command
from seqit.errors import SeqitError

SUMMARY = (
    "SELECT lineage.method AS method, lineage.operation AS operation, count(*) AS chains, "
    "round(avg(len(steps)), 2) AS steps FROM records GROUP BY ALL ORDER BY ALL"
)
SAMPLE = (
    "SELECT instruction, output FROM records WHERE lineage.operation IN ('prefix', 'decompose') "
    "AND length(output) < 200 ORDER BY lineage.operation DESC, id LIMIT 2"
)
STEPS = (
    "import --format alpaca EXAMPLES/seeds.jsonl -o seeds.jsonl",
    "augment --iterations 2 --seed 7 seeds.jsonl -o chains.jsonl",
    "import --format alpaca EXAMPLES/parallel.jsonl -o parallel.jsonl",
    "augment --method translate --languages-per-row all --seed 7 parallel.jsonl "
    "-o translated.jsonl",
    "import --format vqa EXAMPLES/vqa.jsonl -o vqa.jsonl",
    "augment --method caption --seed 7 vqa.jsonl -o captioned.jsonl",
    "augment --method repeat --seed 7 seeds.jsonl -o repeated.jsonl",
    "augment --method separate chains.jsonl -o separated.jsonl",
    "filter --rule keep chains.jsonl translated.jsonl captioned.jsonl repeated.jsonl -o sit.jsonl "
    "--rejects rejects.jsonl --manifest manifest.json",
    "mix sit.jsonl=0.4 seeds.jsonl=0.6 --rows 100 --seed 7 -o mixture.parquet",
    "export --format messages mixture.parquet -o messages.jsonl",
)


@click.command("demo", cls=Command, short_help="Run everything on the examples.")
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    default="demo-out",
    show_default=True,
    help="The folder for the results; created if it does not exist.",
)
def command(folder: str) -> None:
    """Run the whole data pipeline on the examples, and show the results.

    Every command is printed as you would type it inside the output folder.
    """
    out = Path(folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SeqitError(f"{folder}: {error.strerror}") from None
    examples = Path(__file__).parents[1] / "examples"
    steps = [step.replace("EXAMPLES", shlex.quote(str(examples.resolve()))) for step in STEPS]
    for done, step in enumerate(steps):
        _run(step, out, f"demo [{'#' * 3 * done:-<{3 * len(steps)}}] {done} of {len(steps)}")
    click.echo(f"\nThe results are in {out}/ (sit.jsonl, mixture.parquet, messages.jsonl, …).\n")
    click.echo("Two of the chains:\n")
    _run(f'sql "{SAMPLE}" sit.jsonl -f jsonl', out)
    click.echo("\nThe chains by method and operation:\n")
    _run(f'sql "{SUMMARY}" sit.jsonl', out)


def _run(step: str, folder: Path, progress: str = "") -> None:
    """Run one command in a subprocess; raises SeqitError if it fails.

    On a terminal, `progress` is shown below the command until the command prints something.
    """
    click.echo(f"$ seqit {step}", err=True)
    if sys.stderr.isatty():
        click.echo(progress, err=True, nl=False)
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "seqit", *shlex.split(step)], cwd=folder)  # noqa: PLW1510
    if done.returncode:
        raise SeqitError(f"the command above ended with exit code {done.returncode}")
