"""seqit compare: tables of several models' scores, with differences and intervals."""

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
    from seqit.scores.compare import Comparison
    from seqit.scores.db.database import Database
    from seqit.scores.grouped_scores import ComparisonTask
    from seqit.scores.judge_agreement import JudgeAgreement
    from seqit.scores.stats.length_adjusted import LengthAdjustment

SUFFIX_FORMATS = {".md": "markdown", ".tex": "latex", ".jsonl": "jsonl"}
FIGURE_SUFFIXES = (".svg", ".png", ".pdf")
SOURCE_SUFFIXES = (".jsonl", ".json", ".gz", ".zst", ".parquet")


def _parse_names(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",")) if text else ()


@click.command("compare", cls=Command, short_help="Compare models on the same items.")
@click.argument("names", nargs=-1, metavar="[MODEL]... SOURCE...")
@click.option(
    "--label",
    "models",
    multiple=True,
    metavar="NAME",
    help="A model whose name in the scores is also the name of a file; repeatable.",
)
@click.option("--metrics", callback=_parse_names, metavar="NAME,…", help="Only these metrics.")
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
def command(names: tuple[str, ...], models: tuple[str, ...], **options: Any) -> None:
    """Compare MODELs, by default all, with the first one on the items that they share.

    SOURCEs contain scores, or AlpacaEval's annotations. The name of an existing file is a SOURCE.
    If a model's scores have several values of `training`, these are training runs, and intervals
    cover runs as well as items.

    \b
        seqit compare it it-regenerated sit scores.jsonl -o table.tex
        seqit compare it sit scores.jsonl --metrics step --by position,chain --figure steps.svg
    """
    from seqit.stores.targets import atomic_file, check_target

    output, figure_file = options["output"], options["figure"]
    form = options["form"] or _format_for(output)
    sources = [name for name in names if _is_source(name)]
    models = (*models, *(name for name in names if not _is_source(name)))
    missing = [name for name in names if name.endswith(SOURCE_SUFFIXES)]
    if not sources and (sys.stdin.isatty() or missing):
        hint = f" ({missing[0]} does not exist)" if missing else ""
        raise UsageError(f"name a file of scores{hint}: seqit compare it sit scores.jsonl")
    if output not in (None, "-"):
        check_target(output)
    options["by"] = _parse_by(options)
    lines, figure = _render(models, sources or ["-"], form, options)
    if figure_file:
        with atomic_file(figure_file) as file:
            file.write(figure)
    if output in (None, "-"):
        with claim_stdout() as stdout:
            stdout.writelines(lines)
        return
    with atomic_file(output) as file:
        file.writelines(lines)


def _render(
    models: Sequence[str], sources: Sequence[str], form: str, options: dict[str, Any]
) -> tuple[list[bytes], bytes]:
    """Return the lines of the tables, and the figure; it is empty without --figure."""
    import orjson

    from seqit.scores.compare import CompareOptions, compare, power_analyses
    from seqit.scores.db.database import Database
    from seqit.scores.report import paper_tables, tables
    from seqit.scores.report.figure import draw_figure

    statistics = options["level"], options["interval"], options["test"], options["seed"]
    compare_options = CompareOptions(*statistics, by=options["by"], metrics=options["metrics"])
    level = compare_options.level
    with (
        _score_files(sources, models, options["reference"]) as (files, leaderboard_entries),
        Database(files) as database,
    ):
        comparison = compare(database, models, compare_options)
        power = list(power_analyses(comparison, level=level)) if options["power"] else []
        adjusted = _adjust_lengths(database, comparison, level) if options["equal_length"] else []
        agreements = _agreements(database, comparison) if options["agreement"] else []
    figure = b""
    if options["figure"]:
        figure = draw_figure(comparison, Path(options["figure"]).suffix[1:], compare_options)
    if form == "jsonl":
        rows = tables.comparison_rows(comparison, power, adjusted, agreements, leaderboard_entries)
        return [orjson.dumps(row) + b"\n" for row in rows], figure
    parts = [tables.comparison_table(comparison, compare_options)]
    parts += [tables.power_table(power)] if options["power"] else []
    parts += [tables.length_table(adjusted, level)] if adjusted else []
    parts += [tables.agreement_table(agreements)] if agreements else []
    parts += [tables.leaderboard_table(leaderboard_entries)] if leaderboard_entries else []
    write = paper_tables.latex if form == "latex" else paper_tables.markdown
    return [f"{line}\n".encode() for line in write(parts)], figure


def _parse_by(options: dict[str, Any]) -> tuple[str, ...]:
    """Return the fields of --by; raises UsageError for options that exclude them, or --figure."""
    from seqit.scores.report.figure import check_figure
    from seqit.stores.targets import check_target

    names = (options["by"] or "").split(",")
    fields = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    for option in ("equal_length", "agreement"):
        if fields and options[option]:
            name = option.replace("_", "-")
            raise UsageError(f"--{name} is for whole benchmarks: leave out --by, or --{name}")
    if file := options["figure"]:
        if Path(file).suffix not in FIGURE_SUFFIXES:
            raise UsageError(f"{file}: end the figure's name in {', '.join(FIGURE_SUFFIXES)}")
        if file == options["output"]:
            raise UsageError(f"{file}: the figure and the table need different files")
        check_figure(fields)
        check_target(file)
    return fields


def _adjust_lengths(
    database: "Database", comparison: "Comparison", level: float
) -> list[tuple["ComparisonTask", "LengthAdjustment | str"]]:
    """Return the tasks with lengths, each with its adjustment or the message why there is none."""
    from seqit.scores.equal_length import adjust_task

    found: list[tuple[ComparisonTask, LengthAdjustment | str]] = []
    for task in comparison.tasks:
        names = task.benchmark, task.metric
        try:
            if adjustment := adjust_task(database, *names, comparison.models, level):
                found.append((task, adjustment))
        except SeqitError as error:
            found.append((task, str(error)))
    if not found:
        raise SeqitError("--equal-length: no score in the files given has the length of its answer")
    return found


def _agreements(
    database: "Database", comparison: "Comparison"
) -> list[tuple["ComparisonTask", "JudgeAgreement"]]:
    from seqit.scores.judge_agreement import judge_agreement

    pairs = (
        (task, judge_agreement(database, task.benchmark, task.metric)) for task in comparison.tasks
    )
    found = [(task, agreement) for task, agreement in pairs if agreement]
    if not found:
        raise SeqitError("--agreement: no answer in the files given has scores of two judges")
    return found


@contextlib.contextmanager
def _score_files(
    sources: Sequence[str], models: Sequence[str], reference_file: str | None
) -> Iterator[tuple[list[str], list["LeaderboardEntry"]]]:
    """Yield files of scores, and leaderboard entries; annotations are converted to scores."""
    import orjson

    from seqit.scores.alpacaeval import annotation_scores, leaderboard_entries
    from seqit.scores.stats.length_controlled import read_reference

    reference = read_reference(reference_file) if reference_file else None
    files: list[str] = []
    entries: list[LeaderboardEntry] = []
    with tempfile.TemporaryDirectory(prefix="seqit-compare-") as folder:
        for number, name in enumerate(sources):
            rows = _read_annotations(name)
            if rows is None:
                files.append(name)
                continue
            files.append(str(Path(folder) / f"{number}.jsonl"))
            try:
                lines = [orjson.dumps(row) + b"\n" for row in annotation_scores(rows)]
                entries += leaderboard_entries(rows, reference)
            except RowError as error:
                field = f"{error.field}: " if error.field else ""
                raise SeqitError(f"{name}: {field}{error}") from None
            Path(files[-1]).write_bytes(b"".join(lines))
        if reference and not entries:
            raise UsageError("--reference is for AlpacaEval's annotations; no SOURCE contains any")
        yield files, [each for each in entries if not models or each.model in models]


def _read_annotations(name: str) -> list[Any] | None:
    """Return the rows of a file of AlpacaEval's annotations; None for any other file."""
    from seqit.records.readers.rows import read_rows
    from seqit.records.run_stats import RunStats
    from seqit.scores.alpacaeval import is_annotation

    if name == "-" or not Path(name).is_file():
        return None  # a stream can be read only once
    errors: list[str] = []
    stats = RunStats("compare", lambda row: errors.append(f"{row['line']}: {row['message']}"))
    rows: list[Any] = []
    for row in read_rows([name], stats):
        if not rows and not is_annotation(row.value):
            return None
        rows.append(row.value)
    if rows and errors:
        raise SeqitError(f"{name}:{errors[0]}")
    return rows or None


def _is_source(name: str) -> bool:
    return name == "-" or (Path(name).exists() and not Path(name).is_dir())


def _format_for(output: str | None) -> str:
    """Return the format for a file name's suffix; "markdown" without one."""
    suffix = Path(output).suffix if output else ""
    if output in (None, "-") or not suffix:
        return "markdown"
    if suffix not in SUFFIX_FORMATS:
        raise UsageError(f"{output}: give --format, or a name that ends in .md, .tex or .jsonl")
    return SUFFIX_FORMATS[suffix]
