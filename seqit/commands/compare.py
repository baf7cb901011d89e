"""seqit compare: models side by side, with differences and intervals."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seqit.commands.shell.command import Command, claim_stdout
from seqit.errors import RowError, SeqitError, UsageError

if TYPE_CHECKING:
    from seqit.scores.alpacaeval import LeaderboardEntry
    from seqit.scores.compare import CompareOptions, Comparison
    from seqit.scores.db.database import Database
    from seqit.scores.grouped_scores import ComparisonTask
    from seqit.scores.judge_agreement import JudgeAgreement
    from seqit.scores.stats.length_adjusted import LengthAdjustment

ENDINGS = {".md": "markdown", ".tex": "latex", ".jsonl": "jsonl"}
FIGURES = (".svg", ".png", ".pdf")
FILES = (".jsonl", ".json", ".gz", ".zst", ".parquet")


def _names(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",")) if text else ()


@click.command("compare", cls=Command, short_help="Compare models on the same items.")
@click.argument("names", nargs=-1, metavar="[MODEL]... SOURCE...")
@click.option(
    "--label",
    "models",
    multiple=True,
    metavar="MODEL",
    help="A model whose name in the scores is also the name of a file; repeatable.",
)
@click.option("--metrics", callback=_names, metavar="NAME,…", help="Only these metrics.")
@click.option(
    "--by",
    metavar="FIELD[,FIELD]",
    help="A row for each value of chain, position, iteration, operation, benchmark, teacher or "
    "judge, with the models side by side.",
)
@click.option(
    "--figure",
    metavar="FILE",
    help="Plot the means: x is the first field of --by, the second gives panels; .svg, .png or "
    ".pdf.",
)
@click.option("--power", is_flag=True, help="Add the smallest detectable differences.")
@click.option("--equal-length", is_flag=True, help="Add the scores adjusted to equal length.")
@click.option("--agreement", is_flag=True, help="Add the agreement of several judges.")
@click.option(
    "--interval",
    type=click.Choice(["analytic", "bootstrap"]),
    default="analytic",
    show_default=True,
    help="Intervals by formula or by resampling; both cluster by root, and by run if a model has "
    "several.",
)
@click.option(
    "--test",
    type=click.Choice(["auto", "mcnemar", "permutation", "t"]),
    default="auto",
    show_default=True,
    help="auto: McNemar's for scores of 0 and 1, otherwise a clustered t-test.",
)
@click.option(
    "--level", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True, metavar="P",
    help="Confidence level of the intervals.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, help="For bootstrap and permutation; default 0.")
@click.option(
    "--reference", metavar="FILE", help="AlpacaEval's df_gamed.csv, for length-controlled wins."
)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["markdown", "latex", "jsonl"]),
    help="The output format; default: by the ending of -o (.md, .tex, .jsonl), otherwise markdown.",
)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE, whole or not at all.")
def command(names: tuple[str, ...], models: tuple[str, ...], **asked: Any) -> None:
    """Compare MODELs, by default all, with the first one on the items that they share.

    SOURCEs contain scores, or AlpacaEval's annotations. A name of a file is a SOURCE. Scores of
    one model with several values of `training` are its training runs; intervals then cover runs
    as well as items.

    \b
        seqit compare it it-regenerated sit scores.jsonl -o table.tex
        seqit compare it sit scores.jsonl --metrics step --by position,chain --figure steps.svg
    """
    from seqit.stores.targets import atomic_file, check_target

    form = asked["form"] or _format_of(asked["output"])
    sources = [name for name in names if _is_source(name)]
    models = (*models, *(name for name in names if not _is_source(name)))
    if not sources and (sys.stdin.isatty() or any(name.endswith(FILES) for name in names)):
        raise UsageError(f"name a file of scores{_lost(names)}: seqit compare it sit scores.jsonl")
    if asked["output"] not in (None, "-"):
        check_target(asked["output"])
    asked["by"] = _fields(asked)
    pieces, figure = _pieces(models, sources or ["-"], form, asked)
    if asked["figure"]:
        with atomic_file(asked["figure"]) as file:
            file.write(figure)
    if asked["output"] in (None, "-"):
        with claim_stdout() as stdout:
            stdout.writelines(pieces)
        return
    with atomic_file(asked["output"]) as file:
        file.writelines(pieces)


def _pieces(
    models: Sequence[str], sources: Sequence[str], form: str, asked: dict[str, Any]
) -> tuple[list[bytes], bytes]:
    """Return the tables in pieces, and the figure, empty where none is asked for."""
    import orjson

    from seqit.scores.compare import CompareOptions, compare, power_analyses
    from seqit.scores.db.database import Database
    from seqit.scores.report import paper_tables, tables
    from seqit.scores.report.figure import draw_figure

    how = asked["level"], asked["interval"], asked["test"], asked["seed"]
    options = CompareOptions(*how, by=asked["by"], metrics=asked["metrics"])
    with (
        _scores_of(sources, models, asked["reference"]) as (files, leaderboard_entries),
        Database(files) as database,
    ):
        found = compare(database, models, options)
        able = list(power_analyses(found, level=options.level)) if asked["power"] else []
        adjusted = _adjusted(database, found, options) if asked["equal_length"] else []
        agreed = _agreements(database, found) if asked["agreement"] else []
    figure = (
        draw_figure(found, Path(asked["figure"]).suffix[1:], options) if asked["figure"] else b""
    )
    if form == "jsonl":
        rows = tables.comparison_rows(found, able, adjusted, agreed, leaderboard_entries)
        return [orjson.dumps(row) + b"\n" for row in rows], figure
    shown = [tables.comparison_table(found, options)]
    shown += [tables.power_table(able)] if asked["power"] else []
    shown += [tables.length_table(adjusted, options.level)] if adjusted else []
    shown += [tables.agreement_table(agreed)] if agreed else []
    shown += [tables.leaderboard_table(leaderboard_entries)] if leaderboard_entries else []
    write = paper_tables.latex if form == "latex" else paper_tables.markdown
    return [f"{line}\n".encode() for line in write(shown)], figure


def _fields(asked: dict[str, Any]) -> tuple[str, ...]:
    """Return the fields of --by. Raises UsageError for what does not go with them or --figure."""
    from seqit.scores.report.figure import check_figure
    from seqit.stores.targets import check_target

    given = (asked["by"] or "").split(",")
    fields = tuple(dict.fromkeys(name.strip() for name in given if name.strip()))
    for option in ("equal_length", "agreement"):
        if fields and asked[option]:
            name = option.replace("_", "-")
            raise UsageError(f"--{name} is of whole benchmarks: leave out --by, or --{name}")
    if name := asked["figure"]:
        if Path(name).suffix not in FIGURES:
            raise UsageError(f"{name}: end the figure's name in {', '.join(FIGURES)}")
        if name == asked["output"]:
            raise UsageError(f"{name}: the figure and the table need a file each")
        check_figure(fields)
        check_target(name)
    return fields


def _adjusted(
    database: "Database", found: "Comparison", options: "CompareOptions"
) -> list[tuple["ComparisonTask", "LengthAdjustment | str"]]:
    from seqit.scores.equal_length import adjust_task

    done: list[tuple[ComparisonTask, LengthAdjustment | str]] = []
    for task in found.tasks:
        where = task.benchmark, task.metric
        try:
            if adjustment := adjust_task(database, *where, found.models, options.level):
                done.append((task, adjustment))
        except SeqitError as error:
            done.append((task, str(error)))
    if not done:
        raise SeqitError("--equal-length: no score in the files given has the length of its answer")
    return done


def _agreements(
    database: "Database", found: "Comparison"
) -> list[tuple["ComparisonTask", "JudgeAgreement"]]:
    from seqit.scores.judge_agreement import judge_agreement

    pairs = ((task, judge_agreement(database, task.benchmark, task.metric)) for task in found.tasks)
    done = [(task, agreement) for task, agreement in pairs if agreement]
    if not done:
        raise SeqitError("--agreement: no answer in the files given has scores of two judges")
    return done


@contextlib.contextmanager
def _scores_of(
    sources: Sequence[str], models: Sequence[str], reference: str | None
) -> Iterator[tuple[list[str], list["LeaderboardEntry"]]]:
    """Give files of scores, written here for annotations, and the annotations' standings."""
    import orjson

    from seqit.scores.alpacaeval import annotation_scores, leaderboard_entries
    from seqit.scores.stats.length_controlled import read_reference

    known = read_reference(reference) if reference else None
    files: list[str] = []
    found: list[LeaderboardEntry] = []
    with tempfile.TemporaryDirectory(prefix="seqit-compare-") as folder:
        for number, name in enumerate(sources):
            rows = _annotations(name)
            if rows is None:
                files.append(name)
                continue
            files.append(str(Path(folder) / f"{number}.jsonl"))
            try:
                lines = [orjson.dumps(row) + b"\n" for row in annotation_scores(rows)]
                found += leaderboard_entries(rows, known)
            except RowError as error:
                where = f"{error.field}: " if error.field else ""
                raise SeqitError(f"{name}: {where}{error}") from None
            Path(files[-1]).write_bytes(b"".join(lines))
        if known and not found:
            raise UsageError("--reference is for AlpacaEval's annotations; no SOURCE holds any")
        yield files, [each for each in found if not models or each.model in models]


def _annotations(name: str) -> list[Any] | None:
    """Return the rows of a file of AlpacaEval's annotations; None for any other file."""
    from seqit.records.readers.rows import read_rows
    from seqit.records.run_stats import RunStats
    from seqit.scores.alpacaeval import is_annotation

    if name == "-" or not Path(name).is_file():
        return None  # what is a stream can be read only once
    faults: list[str] = []
    stats = RunStats("compare", lambda fault: faults.append(f"{fault['line']}: {fault['message']}"))
    rows: list[Any] = []
    for row in read_rows([name], stats):
        if not rows and not is_annotation(row.value):
            return None
        rows.append(row.value)
    if rows and faults:
        raise SeqitError(f"{name}:{faults[0]}")
    return rows or None


def _is_source(name: str) -> bool:
    return name == "-" or (Path(name).exists() and not Path(name).is_dir())


def _lost(names: Sequence[str]) -> str:
    lost = [name for name in names if name.endswith(FILES)]
    return f" ({lost[0]} is not there)" if lost else ""


def _format_of(output: str | None) -> str:
    """Return the format that a file's ending stands for; Markdown without one."""
    ending = Path(output).suffix if output else ""
    if output in (None, "-") or not ending:
        return "markdown"
    if ending not in ENDINGS:
        raise UsageError(
            f"{output}: say with --format what to write, or end it in .md, .tex, .jsonl"
        )
    return ENDINGS[ending]
