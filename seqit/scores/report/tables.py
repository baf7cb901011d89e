"""A comparison as tables for people, and as rows for programs."""

from collections.abc import Iterator, Sequence
from math import log
from typing import Any

from seqit.scores.alpacaeval import BENCHMARK, LeaderboardEntry
from seqit.scores.compare import CompareOptions, Comparison, PowerAnalysis
from seqit.scores.grouped_scores import ComparisonTask
from seqit.scores.judge_agreement import JudgeAgreement
from seqit.scores.report.formatting import (
    cell_text,
    count_range,
    format_difference,
    format_mean,
    format_ratio,
    has_runs,
    heading,
    result_notes,
    run_notes,
)
from seqit.scores.report.paper_tables import Table
from seqit.scores.stats.length_adjusted import LengthAdjustment

TaskAdjustments = Sequence[tuple[ComparisonTask, LengthAdjustment | str]]
"""Tasks with their length adjustment, or with a message that says why there is none."""

_TESTS = {
    "mcnemar": "McNemar's exact test where scores are 0 or 1 and each root has one item",
    "permutation": "permutation test by root",
    "t": "t-test clustered by root",
}


def comparison_table(comparison: Comparison, options: CompareOptions) -> Table:
    """Return models by tasks: mean (interval), then the difference from the first model.

    A comparison by fields has a row for each value of the fields and a column for each model.
    """
    if comparison.by:
        table = _breakdown_table(comparison)
    else:
        results, tasks = comparison.results, comparison.tasks
        rows = [
            [model, *(cell_text(results.get((model, task))) for task in tasks)]
            for model in comparison.models
        ]
        table = Table(["model", *map(heading, comparison.tasks)], rows)
    table.notes += [_method_note(comparison, options), *run_notes(comparison)]
    table.notes += [
        f"{task.name}: in no row: {count_range([count], 'score')} without {field}"
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
    table.notes += [note for result in comparison.results.values() for note in result_notes(result)]
    return table


def _breakdown_table(comparison: Comparison) -> Table:
    has_benchmark = "benchmark" in comparison.by
    header = ["scores", *comparison.by, *comparison.models]
    table = Table(header, [], text_columns=1 + len(comparison.by))
    for task in comparison.tasks:
        scores = task.metric if has_benchmark else task.scores
        values = [str(value) or "–" for _, value in task.by]
        cells = [cell_text(comparison.results.get((model, task))) for model in comparison.models]
        table.rows.append([f"{scores}, %" if task.is_share else scores, *values, *cells])
    return table


def _method_note(comparison: Comparison, options: CompareOptions) -> str:
    """Return the note that explains the numbers of a cell."""
    units = "root and run" if has_runs(comparison) else "root"
    kind = f"clustered by {units}"
    if options.interval == "bootstrap":
        kind = "bootstrap over roots" + (" and runs" if has_runs(comparison) else "")
    note = f"Mean ({100 * options.level:g} % interval, {kind})."
    pairs = [result.paired for result in comparison.results.values() if result.paired]
    if pairs:
        tests = "; ".join(_TESTS[name] for name in sorted({pair.test for pair in pairs}))
        tests = tests.replace("t-test clustered by root", f"t-test clustered by {units}")
        note += (
            f" After the semicolon: difference from {comparison.models[0]} on the items that both "
            f"have a score on, its interval, and p ({tests}; not corrected for several tests)."
        )
    return note


def power_table(analyses: Sequence[PowerAnalysis]) -> Table:
    """Return the table of what each comparison can show with its items."""
    rows = []
    for analysis in analyses:
        result, paired = analysis.result, analysis.result.paired
        assert paired is not None
        rows.append(
            [
                result.model,
                heading(result.task),
                f"{paired.difference.n:,}",
                format_mean(analysis.smallest_difference, result.task),
                format_difference(paired.difference.mean, result.task),
                _pairs_needed(analysis),
            ]
        )
    power = f"{100 * analyses[0].power:g} %" if analyses else ""
    return Table(
        ["model", "scores", "pairs", f"shown with {power} power", "seen", "pairs it needs"], rows
    )


def _pairs_needed(analysis: PowerAnalysis) -> str:
    if analysis.pairs_needed is not None:
        return f"{analysis.pairs_needed:,}"
    paired = analysis.result.paired
    return "depends on runs" if paired and paired.difference.mean else "none shows 0"


def length_table(adjustments: TaskAdjustments, level: float) -> Table:
    """Return means next to the means that models would have with answers of equal length."""
    table = Table(["model", "scores", "n", "mean", "at equal length"], [])
    for task, adjustment in adjustments:
        if isinstance(adjustment, str):
            table.notes.append(f"{task.name}: {adjustment}")
            continue
        for model, means in adjustment.models.items():
            bounds = f"({format_mean(means.low, task)}–{format_mean(means.high, task)})"
            adjusted = f"{format_mean(means.adjusted, task)} {bounds}"
            mean = format_mean(means.mean, task)
            table.rows.append([model, heading(task), f"{means.n:,}", mean, adjusted])
        slope = format_difference(adjustment.slope * log(2), task)
        error = format_mean(adjustment.slope_error * log(2), task)
        table.notes.append(f"{task.name}: answers twice as long score {slope} (± {error})")
    table.notes.append(
        f"Least squares on log words with one slope for all models ({100 * level:g} % interval, "
        "clustered by root; ± is a standard error)."
    )
    return table


def agreement_table(agreements: Sequence[tuple[ComparisonTask, JudgeAgreement]]) -> Table:
    """Return the table of the agreement of each task's judges."""
    table = Table(["scores", "answers", "Krippendorff's alpha (ordinal)"], [])
    for task, agreement in agreements:
        table.rows.append([task.name, f"{agreement.answers:,}", format_ratio(agreement.alpha)])
        for (one, two), kappa in agreement.kappas.items():
            text = f"{task.name}: Cohen's kappa of {one} and {two}: {format_ratio(kappa)}"
            table.notes.append(f"{text} (weights: squared distance of ranks)")
    return table


def leaderboard_table(entries: Sequence[LeaderboardEntry]) -> Table:
    """Return AlpacaEval's columns; shows length-controlled rates only if fitted as published."""
    table = Table(
        ["model", "against", "win rate", "standard error", "length-controlled", "n", "characters"],
        [],
    )
    for entry in entries:
        rate, controlled = entry.rate, entry.controlled
        complete = controlled if controlled and controlled.complete else None
        values = [rate.win_rate, rate.standard_error, complete.win_rate if complete else None]
        numbers = ["–" if value is None else f"{value:.2f}" for value in values]
        length = "–" if entry.length is None else f"{int(entry.length):,}"
        table.rows.append([entry.model, entry.baseline, *numbers, f"{rate.n_total:,}", length])
        if rate.missing:
            table.notes.append(f"{entry.model}: {rate.missing} annotations without a preference")
        if controlled and not controlled.complete:
            table.notes.append(
                f"{entry.model}: {controlled.win_rate:.2f} % at equal lengths by these annotations "
                "alone, which is not the leaderboard's number: that needs AlpacaEval's "
                "df_gamed.csv (--reference)"
            )
    return table


def comparison_rows(
    comparison: Comparison,
    analyses: Sequence[PowerAnalysis] = (),
    adjustments: TaskAdjustments = (),
    agreements: Sequence[tuple[ComparisonTask, JudgeAgreement]] = (),
    entries: Sequence[LeaderboardEntry] = (),
) -> Iterator[dict[str, Any]]:
    """Yield a row with unrounded numbers for each model and task, then agreements and entries."""
    by_result = {(each.result.model, each.result.task): each for each in analyses}
    by_task = dict(adjustments)
    for (model, task), result in comparison.results.items():
        mean = result.estimate
        row: dict[str, Any] = {"model": model, "benchmark": task.benchmark or None}
        row |= {"metric": task.metric}
        row |= {field: value for field, value in task.by if field != "benchmark"}
        row |= {"judges": list(task.judges), "n": mean.n, "missing": mean.missing}
        row |= {"statuses": result.statuses, "roots": mean.roots, "runs": mean.runs}
        row |= {"mean": mean.mean, "error": mean.error, "low": mean.low, "high": mean.high}
        if paired := result.paired:
            difference = paired.difference
            row |= {"against": comparison.models[0]}
            row |= {"pairs": difference.n, "unpaired": difference.missing, "alone": paired.alone}
            row |= {"difference": difference.mean, "difference_error": difference.error}
            row |= {"difference_low": difference.low, "difference_high": difference.high}
            row |= {"p": paired.p, "test": paired.test}
        if analysis := by_result.get((model, task)):
            row |= {"smallest_difference": analysis.smallest_difference}
            row |= {"pairs_needed": analysis.pairs_needed}
        adjustment = by_task.get(task)
        if isinstance(adjustment, LengthAdjustment) and model in adjustment.models:
            means = adjustment.models[model]
            row |= {"adjusted": means.adjusted, "adjusted_low": means.low}
            row |= {"adjusted_high": means.high, "log_length_slope": adjustment.slope}
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
    for entry in entries:
        if controlled := entry.controlled:
            error = controlled.standard_error
            yield {
                "model": entry.model,
                "benchmark": BENCHMARK,
                "metric": "length_controlled_win",
                "n": entry.rate.n_total,
                "missing": entry.rate.missing,
                "mean": controlled.win_rate / 100,
                "error": None if error is None else error / 100,
                "against": entry.baseline,
                "complete": controlled.complete,
            }
