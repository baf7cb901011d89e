"""Formatting of a comparison's results: table cells, headings, notes and numbers."""

from collections.abc import Collection, Iterator

from seqit.scores.compare import Comparison, ModelResult
from seqit.scores.grouped_scores import ComparisonTask


def cell_text(result: ModelResult | None) -> str:
    """Return mean (interval), and the difference from the first model with its interval and p."""
    if result is None or result.estimate.mean is None:
        return "–"
    mean, task = result.estimate, result.task
    text = format_mean(mean.mean, task)
    if mean.low is not None:
        between = " to " if mean.low < 0 else "–"  # a dash next to a minus sign is hard to read
        text += f" ({format_mean(mean.low, task)}{between}{format_mean(mean.high, task)})"
    paired = result.paired
    if paired is None or paired.difference.mean is None:
        return text
    difference = paired.difference
    text += f"; {format_difference(difference.mean, task)}"
    if difference.low is not None:
        low, high = difference.low, difference.high
        text += f" ({format_difference(low, task)} to {format_difference(high, task)})"
    if paired.p is not None:
        text += ", p < 0.001" if paired.p < 0.001 else f", p = {paired.p:.3f}"
    return text


def result_notes(result: ModelResult) -> Iterator[str]:
    """Yield notes on what is left out of the mean and of the difference, and why."""
    mean, where = result.estimate, f"{result.model}, {result.task.name}"
    if mean.missing:
        statuses = ", ".join(f"{count:,} {name}" for name, count in result.statuses.items())
        total = mean.n + mean.missing
        yield f"{where}: {mean.missing:,} of {total:,} scores are missing ({statuses})"
    if mean.n and mean.roots < 2:
        yield f"{where}: all scores are of one root, which gives no interval"
    paired = result.paired
    excluded = []
    if paired and paired.difference.missing:
        excluded.append(f"{paired.difference.missing:,} without a score of both models")
    if paired and paired.alone:
        excluded.append(f"{paired.alone:,} that only one of them was asked")
    if paired and excluded:
        count = f"{paired.difference.n:,}"
        yield f"{where}: compared on {count} items, not on {' and '.join(excluded)}"


def has_runs(comparison: Comparison) -> bool:
    """Return whether some model's scores are of several runs."""
    return any(result.estimate.runs > 1 for result in comparison.results.values())


def run_notes(comparison: Comparison) -> list[str]:
    """Return notes on the number of runs and roots of the intervals; none without several runs."""
    if not has_runs(comparison):
        return []
    notes = {}
    for model in comparison.models:
        results = (result for (name, _), result in comparison.results.items() if name == model)
        estimates = [result.estimate for result in results if result.estimate.n]
        runs, roots = {each.runs for each in estimates}, {each.roots for each in estimates}
        notes[model] = f"over {count_range(runs, 'run')} and {count_range(roots, 'root')}"
        if max(runs, default=0) == 1:
            notes[model] += ", and say nothing about other runs"
    first, *others = notes.values()
    if all(note == first for note in others):
        return [f"Intervals are {first}."]
    return [f"{model}: intervals are {note}" for model, note in notes.items()]


def count_range(counts: Collection[int], what: str) -> str:
    """Return the range of the counts with its noun: 1 run, 150–200 roots."""
    low, high = min(counts, default=0), max(counts, default=0)
    text = f"{low:,}" if low == high else f"{low:,}–{high:,}"
    return f"{text} {what}" if high == 1 else f"{text} {what}s"


def format_ratio(value: float | None) -> str:
    """Return a number without a unit."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def heading(task: ComparisonTask) -> str:
    """Return the task's name, with a percent sign if its numbers are in percent."""
    return f"{task.name}, %" if task.is_share else task.name


def format_mean(value: float | None, task: ComparisonTask) -> str:
    """Return a mean in the task's unit."""
    assert value is not None
    text = f"{100 * value:.1f}" if task.is_share else f"{value:.2f}"
    return text.replace("-", "−")


def format_difference(value: float | None, task: ComparisonTask) -> str:
    """Return a difference in the task's unit, with its sign."""
    assert value is not None
    # + 0.0: what is rounded to zero has no minus sign.
    text = (
        f"{round(100 * value, 1) + 0.0:+.1f}" if task.is_share else f"{round(value, 2) + 0.0:+.2f}"
    )
    return text.replace("-", "−")
