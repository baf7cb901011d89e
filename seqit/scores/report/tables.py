"""A comparison as tables for people, and as rows for programs."""

from collections.abc import Iterator, Sequence
from math import log
from typing import Any

from seqit.scores.alpacaeval import BENCHMARK, Standing
from seqit.scores.compare import CompareOptions, Comparison, Power
from seqit.scores.grouped_scores import ComparisonTask
from seqit.scores.judge_agreement import Agreement
from seqit.scores.report.formatting import (
    cell_notes,
    cell_text,
    counted,
    has_runs,
    heading,
    number,
    ratio,
    run_notes,
    signed,
)
from seqit.scores.report.paper_tables import Table
from seqit.scores.stats.length_adjusted import Adjustment

Adjusted = Sequence[tuple[ComparisonTask, Adjustment | str]]
"""Tasks with their adjustment, or the sentence that says why there is none."""

_TESTS = {
    "mcnemar": "McNemar's exact test where scores are 0 or 1 and each root has one item",
    "permutation": "permutation test by root",
    "t": "t-test clustered by root",
}


def comparison_table(comparison: Comparison, options: CompareOptions) -> Table:
    """Return models by tasks: mean (interval), then the difference from the first model.

    What is broken down has a row for each value, and the models side by side.
    """
    if comparison.by:
        table = _broken_down(comparison)
    else:
        rows = [
            [model, *(cell_text(comparison.cells.get((model, task))) for task in comparison.tasks)]
            for model in comparison.models
        ]
        table = Table(["model", *map(heading, comparison.tasks)], rows)
    table.notes += [_method(comparison, options), *run_notes(comparison)]
    table.notes += [
        f"{task.name}: in no row: {counted([count], 'score')} without {field}"
        for task, field, count in comparison.left_out
    ]
    judges: dict[str, set[str]] = {}
    for task in comparison.tasks:
        if len(task.judges) > 1:
            judges.setdefault(task.scores, set()).update(task.judges)
    table.notes += [
        f"{scores}: scores of several judges are averaged: {', '.join(sorted(names))}"
        for scores, names in judges.items()
    ]
    table.notes += [note for cell in comparison.cells.values() for note in cell_notes(cell)]
    return table


def _broken_down(comparison: Comparison) -> Table:
    has_benchmark = "benchmark" in comparison.by
    head = ["scores", *comparison.by, *comparison.models]
    table = Table(head, [], texts=1 + len(comparison.by))
    for task in comparison.tasks:
        scores = task.metric if has_benchmark else task.scores
        values = [str(value) or "–" for _, value in task.by]
        cells = [cell_text(comparison.cells.get((model, task))) for model in comparison.models]
        table.rows.append([f"{scores}, %" if task.is_share else scores, *values, *cells])
    return table


def _method(comparison: Comparison, options: CompareOptions) -> str:
    """Return the sentence that says what the numbers of a cell are."""
    units = "root and run" if has_runs(comparison) else "root"
    kind = f"clustered by {units}"
    if options.interval == "bootstrap":
        kind = "bootstrap over roots" + (" and runs" if has_runs(comparison) else "")
    note = f"Mean ({100 * options.level:g} % interval, {kind})."
    pairs = [cell.paired for cell in comparison.cells.values() if cell.paired]
    if pairs:
        tests = "; ".join(_TESTS[name] for name in sorted({pair.test for pair in pairs}))
        tests = tests.replace("t-test clustered by root", f"t-test clustered by {units}")
        note += (
            f" After the semicolon: difference from {comparison.models[0]} on the items that both "
            f"have a score on, its interval, and p ({tests}; not corrected for several tests)."
        )
    return note


def power_table(powers: Sequence[Power]) -> Table:
    """Return what each comparison can show with its items."""
    rows = []
    for each in powers:
        cell, paired = each.cell, each.cell.paired
        assert paired is not None
        rows.append(
            [
                cell.model,
                heading(cell.task),
                f"{paired.difference.n:,}",
                number(each.smallest, cell.task),
                signed(paired.difference.mean, cell.task),
                _needed(each),
            ]
        )
    power = f"{100 * powers[0].power:g} %" if powers else ""
    return Table(
        ["model", "scores", "pairs", f"shown with {power} power", "seen", "pairs it needs"], rows
    )


def _needed(power: Power) -> str:
    if power.needed is not None:
        return f"{power.needed:,}"
    paired = power.cell.paired
    return "depends on runs" if paired and paired.difference.mean else "none shows 0"


def length_table(adjustments: Adjusted, level: float) -> Table:
    """Return means beside what they would be if all answers were equally long."""
    table = Table(["model", "scores", "n", "mean", "at equal length"], [])
    for task, found in adjustments:
        if isinstance(found, str):
            table.notes.append(f"{task.name}: {found}")
            continue
        for model, each in found.models.items():
            bounds = f"({number(each.low, task)}–{number(each.high, task)})"
            adjusted = f"{number(each.adjusted, task)} {bounds}"
            mean = number(each.mean, task)
            table.rows.append([model, heading(task), f"{each.n:,}", mean, adjusted])
        slope = signed(found.slope * log(2), task)
        error = number(found.slope_error * log(2), task)
        table.notes.append(f"{task.name}: answers twice as long score {slope} (± {error})")
    table.notes.append(
        f"Least squares on log words with one slope for all models ({100 * level:g} % interval, "
        "clustered by root; ± is a standard error)."
    )
    return table


def agreement_table(agreements: Sequence[tuple[ComparisonTask, Agreement]]) -> Table:
    """Return how far each task's judges agree."""
    table = Table(["scores", "answers", "Krippendorff's alpha (ordinal)"], [])
    for task, found in agreements:
        table.rows.append([task.name, f"{found.answers:,}", ratio(found.alpha)])
        for (one, two), kappa in found.kappas.items():
            text = f"{task.name}: Cohen's kappa of {one} and {two}: {ratio(kappa)}"
            table.notes.append(f"{text} (weights: squared distance of ranks)")
    return table


def standings_table(standings: Sequence[Standing]) -> Table:
    """Return AlpacaEval's columns; a rate that is not the published one is not among them."""
    table = Table(
        ["model", "against", "win rate", "standard error", "length-controlled", "n", "characters"],
        [],
    )
    for each in standings:
        rate, controlled = each.rate, each.controlled
        complete = controlled if controlled and controlled.complete else None
        cells = [rate.win_rate, rate.standard_error, complete.win_rate if complete else None]
        numbers = ["–" if cell is None else f"{cell:.2f}" for cell in cells]
        length = "–" if each.length is None else f"{int(each.length):,}"
        table.rows.append([each.model, each.baseline, *numbers, f"{rate.n_total:,}", length])
        if rate.missing:
            table.notes.append(f"{each.model}: {rate.missing} annotations without a preference")
        if controlled and not controlled.complete:
            table.notes.append(
                f"{each.model}: {controlled.win_rate:.2f} % at equal lengths by these annotations "
                "alone, which is not the leaderboard's number: that needs AlpacaEval's "
                "df_gamed.csv (--reference)"
            )
    return table


def comparison_rows(
    comparison: Comparison,
    powers: Sequence[Power] = (),
    adjustments: Adjusted = (),
    agreements: Sequence[tuple[ComparisonTask, Agreement]] = (),
    standings: Sequence[Standing] = (),
) -> Iterator[dict[str, Any]]:
    """Yield a row for each model and task, numbers as they are; then agreements and standings."""
    by_cell = {(each.cell.model, each.cell.task): each for each in powers}
    by_task = dict(adjustments)
    for (model, task), cell in comparison.cells.items():
        found = cell.estimate
        row: dict[str, Any] = {"model": model, "benchmark": task.benchmark or None}
        row |= {"metric": task.metric}
        row |= {field: value for field, value in task.by if field != "benchmark"}
        row |= {"judges": list(task.judges), "n": found.n, "missing": found.missing}
        row |= {"statuses": cell.statuses, "roots": found.roots, "runs": found.runs}
        row |= {"mean": found.mean, "error": found.error, "low": found.low, "high": found.high}
        if paired := cell.paired:
            gap = paired.difference
            row |= {"against": comparison.models[0], "pairs": gap.n, "unpaired": gap.missing}
            row |= {"alone": paired.alone, "difference": gap.mean, "difference_error": gap.error}
            row |= {"difference_low": gap.low, "difference_high": gap.high}
            row |= {"p": paired.p, "test": paired.test}
        if power := by_cell.get((model, task)):
            row |= {"smallest_difference": power.smallest, "pairs_needed": power.needed}
        adjustment = by_task.get(task)
        if isinstance(adjustment, Adjustment) and model in adjustment.models:
            each = adjustment.models[model]
            row |= {"adjusted": each.adjusted, "adjusted_low": each.low}
            row |= {"adjusted_high": each.high, "log_length_slope": adjustment.slope}
        yield row
    for task, agreement in agreements:
        kappas = [{"judges": pair, "kappa": kappa} for pair, kappa in agreement.kappas.items()]
        yield {
            "benchmark": task.benchmark or None,
            "metric": task.metric,
            "judges": list(task.judges),
            "answers": agreement.answers,
            "alpha": agreement.alpha,
            "kappas": kappas,
        }
    for standing in standings:
        if controlled := standing.controlled:
            error = controlled.standard_error
            yield {
                "model": standing.model,
                "benchmark": BENCHMARK,
                "metric": "length_controlled_win",
                "n": standing.rate.n_total,
                "missing": standing.rate.missing,
                "mean": controlled.win_rate / 100,
                "error": None if error is None else error / 100,
                "against": standing.baseline,
                "complete": controlled.complete,
            }
