"""A comparison as tables for people, and as rows for programs."""

from collections.abc import Iterator, Sequence
from math import log
from typing import Any

from seqit.scores.agreement import Agreement
from seqit.scores.alpacaeval import BENCHMARK, Standing
from seqit.scores.compare import Cell, Comparison, Options, Power, Task
from seqit.scores.length_adjusted import Adjustment
from seqit.scores.paper import Table

Adjusted = Sequence[tuple[Task, Adjustment | str]]
"""Tasks with their adjustment, or the sentence that says why there is none."""

_TESTS = {
    "mcnemar": "McNemar's exact test where scores are 0 or 1 and each root has one item",
    "permutation": "permutation test by root",
    "t": "t-test clustered by root",
}


def comparison_table(comparison: Comparison, options: Options) -> Table:
    """Return models by tasks: mean [interval], then the difference from the first model."""
    tasks = comparison.tasks
    rows = [
        [model, *(_cell_text(comparison.cells.get((model, task))) for task in tasks)]
        for model in comparison.models
    ]
    table = Table(["model", *map(_heading, tasks)], rows)
    pairs = [cell.paired for cell in comparison.cells.values() if cell.paired]
    level = f"{100 * options.level:g} %"
    kind = "bootstrap over roots" if options.interval == "bootstrap" else "clustered by root"
    table.notes.append(f"Mean ({level} interval, {kind}).")
    if pairs:
        tests = "; ".join(_TESTS[name] for name in sorted({pair.test for pair in pairs}))
        table.notes[0] += (
            f" After the semicolon: difference from {comparison.models[0]} on the items that both "
            f"have a score on, its interval, and p ({tests}; not corrected for several tests)."
        )
    for task in tasks:
        if len(task.judges) > 1:
            table.notes.append(
                f"{task.name}: scores of several judges are averaged: {', '.join(task.judges)}"
            )
    table.notes += [note for cell in comparison.cells.values() for note in _cell_notes(cell)]
    return table


def power_table(powers: Sequence[Power]) -> Table:
    """Return what each comparison can show with its items."""
    rows = []
    for each in powers:
        cell, paired = each.cell, each.cell.paired
        assert paired is not None
        rows.append(
            [
                cell.model,
                _heading(cell.task),
                f"{paired.difference.n:,}",
                _number(each.smallest, cell.task),
                _signed(paired.difference.mean, cell.task),
                "none shows 0" if each.needed is None else f"{each.needed:,}",
            ]
        )
    power = f"{100 * powers[0].power:g} %" if powers else ""
    return Table(
        ["model", "scores", "pairs", f"shown with {power} power", "seen", "pairs it needs"], rows
    )


def length_table(adjustments: Adjusted, level: float) -> Table:
    """Return means beside what they would be if all answers were equally long."""
    table = Table(["model", "scores", "n", "mean", "at equal length"], [])
    for task, found in adjustments:
        if isinstance(found, str):
            table.notes.append(f"{task.name}: {found}")
            continue
        for model, each in found.models.items():
            bounds = f"({_number(each.low, task)}–{_number(each.high, task)})"
            adjusted = f"{_number(each.adjusted, task)} {bounds}"
            mean = _number(each.mean, task)
            table.rows.append([model, _heading(task), f"{each.n:,}", mean, adjusted])
        slope = _signed(found.slope * log(2), task)
        error = _number(found.slope_error * log(2), task)
        table.notes.append(f"{task.name}: answers twice as long score {slope} (± {error})")
    table.notes.append(
        f"Least squares on log words with one slope for all models ({100 * level:g} % interval, "
        "clustered by root; ± is a standard error)."
    )
    return table


def agreement_table(agreements: Sequence[tuple[Task, Agreement]]) -> Table:
    """Return how far each task's judges agree."""
    table = Table(["scores", "answers", "Krippendorff's alpha (ordinal)"], [])
    for task, found in agreements:
        table.rows.append([task.name, f"{found.answers:,}", _ratio(found.alpha)])
        for (one, two), kappa in found.kappas.items():
            text = f"{task.name}: Cohen's kappa of {one} and {two}: {_ratio(kappa)}"
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
    agreements: Sequence[tuple[Task, Agreement]] = (),
    standings: Sequence[Standing] = (),
) -> Iterator[dict[str, Any]]:
    """Yield a row for each model and task, numbers as they are; then agreements and standings."""
    by_cell = {(each.cell.model, each.cell.task): each for each in powers}
    by_task = dict(adjustments)
    for (model, task), cell in comparison.cells.items():
        found = cell.estimate
        row: dict[str, Any] = {"model": model, "benchmark": task.benchmark or None}
        row |= {"metric": task.metric, "judges": list(task.judges), "n": found.n}
        row |= {"missing": found.missing, "statuses": cell.statuses, "roots": found.roots}
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


def _cell_text(cell: Cell | None) -> str:
    if cell is None or cell.estimate.mean is None:
        return "–"
    found, task = cell.estimate, cell.task
    text = _number(found.mean, task)
    if found.low is not None:
        text += f" ({_number(found.low, task)}–{_number(found.high, task)})"
    paired = cell.paired
    if paired is None or paired.difference.mean is None:
        return text
    gap = paired.difference
    text += f"; {_signed(gap.mean, task)}"
    if gap.low is not None:
        text += f" ({_signed(gap.low, task)} to {_signed(gap.high, task)})"
    if paired.p is not None:
        text += ", p < 0.001" if paired.p < 0.001 else f", p = {paired.p:.3f}"
    return text


def _cell_notes(cell: Cell) -> Iterator[str]:
    found, where = cell.estimate, f"{cell.model}, {cell.task.name}"
    if found.missing:
        kinds = ", ".join(f"{count:,} {name}" for name, count in cell.statuses.items())
        total = found.n + found.missing
        yield f"{where}: {found.missing:,} of {total:,} scores are missing ({kinds})"
    if found.n and found.roots < 2:
        yield f"{where}: all scores are of one root, which gives no interval"
    paired = cell.paired
    gone = []
    if paired and paired.difference.missing:
        gone.append(f"{paired.difference.missing:,} without a score of both models")
    if paired and paired.alone:
        gone.append(f"{paired.alone:,} that only one of them was asked")
    if paired and gone:
        yield f"{where}: compared on {paired.difference.n:,} items, not on {' and '.join(gone)}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def _heading(task: Task) -> str:
    return f"{task.name}, %" if task.is_share else task.name


def _number(value: float | None, task: Task) -> str:
    assert value is not None
    return f"{100 * value:.1f}" if task.is_share else f"{value:.2f}"


def _signed(value: float | None, task: Task) -> str:
    assert value is not None
    # + 0.0: what rounds to nothing has no sign.
    text = (
        f"{round(100 * value, 1) + 0.0:+.1f}" if task.is_share else f"{round(value, 2) + 0.0:+.2f}"
    )
    return text.replace("-", "−")
