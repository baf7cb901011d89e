"""seqit cache: inspect or clear the cache of completions."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from seqit.commands.shell.command import Command
from seqit.errors import UsageError

OPTIONS = {"show": (), "why": ("record_id",), "clear": ("model", "older_than", "yes")}
"""The options of each action, besides --cache and --json."""

MAX_WIDTH = 60  # characters of a value that is shown


@click.command("cache", cls=Command, short_help="Inspect or clear the cache of completions.")
@click.argument("action", type=click.Choice(["show", "why", "clear"]), default="show")
@click.argument("record_id", required=False, metavar="[ID]")
@click.option(
    "--cache",
    "file",
    metavar="FILE",
    help="The cache; default: seqit/completions.sqlite in $XDG_CACHE_HOME or ~/.cache.",
)
@click.option(
    "--model", metavar="NAME", help="clear: only completions of this model, KIND:MODEL or MODEL."
)
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    metavar="DAYS",
    help="clear: only completions older than this.",
)
@click.option("-y", "--yes", is_flag=True, help="clear: do not ask for confirmation on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def command(action: str, file: str | None, as_json: bool, **options: Any) -> None:
    """Show the cache of completions, or why a request was sent again.

    \b
    show    size, completions and tokens by model and stage, hit rate (default)
    why ID  the requests for a record, and the parts of the key that differ
            from the earlier request; a prefix of the id is enough
    clear   remove completions, and free the space

    \b
        seqit cache why 3f09
        seqit cache clear --older-than 90
    """
    from seqit.llm.cache.cache import default_cache_path

    given = {name: value for name, value in options.items() if value not in (None, False)}
    for name in given:
        if name not in OPTIONS[action]:
            owner = next(each for each, names in OPTIONS.items() if name in names)
            option = "an ID" if name == "record_id" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is for seqit cache {owner}, not for {action}")
    path = Path(file) if file else default_cache_path()
    if action == "show":
        _show(path, as_json)
    elif action == "clear":
        _clear(path, as_json, **given)
    elif "record_id" in given:
        _why(path, as_json, given["record_id"])
    else:
        raise UsageError("name the record: seqit cache why ID; a prefix of its id is enough")


def _show(path: Path, as_json: bool) -> None:
    from seqit.llm.cache.report import overview

    report = overview(path)
    if as_json:
        _print_json(report or {"path": str(path), "completions": 0})
        return
    if report is None:
        click.echo(f"There is no cache yet: {path} is created with the first completion.")
        return
    size = _format_bytes(report["bytes"])
    click.echo(f"{path}: {size}, {_format_count(report['completions'])}")
    if report["groups"]:
        click.echo(f"from {_format_time(report['first'])} to {_format_time(report['last'])}\n")
        names = ("completions", "prompt_tokens", "completion_tokens")
        rows = [[g["name"], g["stage"], *(f"{g[n]:,}" for n in names)] for g in report["groups"]]
        total = ["all", "", *(f"{report[name]:,}" for name in names)]
        header = ["model", "stage", "completions", "prompt tokens", "completion tokens"]
        _print_table([header, *rows, total])
    if report["runs"]:
        click.echo("")
        header = ["last runs", "model", "asked", "in the cache", "hit rate"]
        _print_table([header, *map(_run_cells, report["runs"])])


def _run_cells(run: dict[str, Any]) -> list[str]:
    requests = run["hits"] + run["misses"]
    rate = f"{run['hits'] / requests:.1%}" if requests else ""
    time = _format_time(run["started"])
    return [time, run["name"], f"{requests:,}", f"{run['hits']:,}", rate]


def _why(path: Path, as_json: bool, prefix: str) -> None:
    from seqit.llm.cache.report import history

    report = history(path, prefix)
    if as_json:
        _print_json(report or {"record_id": prefix, "stages": []})
        return
    if report is None:
        click.echo(f"The cache {path} is empty: no request was sent.")
        return
    click.echo(f"record {report['record_id']}")
    for stage in report["stages"]:
        click.echo(f"\niteration {stage['iteration']}, {stage['stage']}")
        for number, request in enumerate(stage["requests"], start=1):
            tokens = f"{request['prompt_tokens']:,} + {request['completion_tokens']:,} tokens"
            model = request["model"] or request["name"]
            time, finish = _format_time(request["asked"]), request["finish_reason"]
            click.echo(f"{number:>3}  {time}  {model}  {tokens}  {finish}")
            if "like" in request:
                click.echo(f"     differs from number {request['like']} in")
                for part, (old, new) in request["differs"].items():
                    click.echo(f"       {_format_difference(part, old, new)}")


def _format_difference(part: str, old: Any, new: Any) -> str:
    if part == "messages":
        return "messages: the text differs"
    if part == "attempt":
        return f"attempt: {old + 1} → {new + 1}"
    return f"{part}: {_format_value(old)} → {_format_value(new)}"


def _format_value(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_WIDTH else f"{text[:MAX_WIDTH]}…"


def _clear(
    path: Path,
    as_json: bool,
    model: str | None = None,
    older_than: float | None = None,
    yes: bool = False,
) -> None:
    from seqit.llm.cache.report import clear, count, size

    matching = count(path, model, older_than)
    if matching and not yes and sys.stdin.isatty():
        click.confirm(f"Remove {_format_count(matching)} from {path}?", abort=True, err=True)
    before = size(path)
    removed = clear(path, model, older_than) if matching else 0
    after = size(path)
    if as_json:
        _print_json({"path": str(path), "removed": removed, "bytes_before": before, "bytes": after})
    elif not removed:
        click.echo(f"There is nothing to remove in {path}.")
    else:
        sizes = f"{_format_bytes(before)} → {_format_bytes(after)}"
        click.echo(f"Removed {_format_count(removed)} from {path}: {sizes}.")


def _print_json(report: dict[str, Any]) -> None:
    click.echo(json.dumps(report, ensure_ascii=False))


def _print_table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns: the first two left-aligned, numbers right-aligned."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def _format_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _format_count(number: int) -> str:
    return f"{number:,} completion{'' if number == 1 else 's'}"


def _format_bytes(number: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}" if unit != "bytes" else f"{number:.0f} bytes"
        number /= 1000
    return f"{number:,.2f} GB"
