"""The words and numbers of a comparison's cells."""

from collections.abc import Collection, Iterator

from seqit.scores.compare import Comparison, ModelResult
from seqit.scores.grouped_scores import ComparisonTask


def cell_text(cell: ModelResult | None) -> str:
    """Return mean (interval), and the difference from the first model with its interval and p."""
    if cell is None or cell.estimate.mean is None:
        return "–"
    found, task = cell.estimate, cell.task
    text = number(found.mean, task)
    if found.low is not None:
        between = " to " if found.low < 0 else "–"  # a dash is no good beside a minus
        text += f" ({number(found.low, task)}{between}{number(found.high, task)})"
    paired = cell.paired
    if paired is None or paired.difference.mean is None:
        return text
    gap = paired.difference
    text += f"; {signed(gap.mean, task)}"
    if gap.low is not None:
        text += f" ({signed(gap.low, task)} to {signed(gap.high, task)})"
    if paired.p is not None:
        text += ", p < 0.001" if paired.p < 0.001 else f", p = {paired.p:.3f}"
    return text


def cell_notes(cell: ModelResult) -> Iterator[str]:
    """Yield what entered neither the mean nor the difference, and why."""
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


def has_runs(comparison: Comparison) -> bool:
    """Return whether some model's scores are of several runs."""
    return any(cell.estimate.runs > 1 for cell in comparison.cells.values())


def run_notes(comparison: Comparison) -> list[str]:
    """Return over how many runs and roots the intervals are; nothing where no model has several."""
    if not has_runs(comparison):
        return []
    notes = {}
    for model in comparison.models:
        cells = (cell for (name, _), cell in comparison.cells.items() if name == model)
        own = [cell.estimate for cell in cells if cell.estimate.n]
        runs, roots = {each.runs for each in own}, {each.roots for each in own}
        notes[model] = f"over {counted(runs, 'run')} and {counted(roots, 'root')}"
        if max(runs, default=0) == 1:
            notes[model] += ", and say nothing about other runs"
    first, *others = notes.values()
    if all(note == first for note in others):
        return [f"Intervals are {first}."]
    return [f"{model}: intervals are {note}" for model, note in notes.items()]


def counted(numbers: Collection[int], what: str) -> str:
    """Return how many there are of something, from the fewest to the most: 1 run, 150–200 roots."""
    low, high = min(numbers, default=0), max(numbers, default=0)
    text = f"{low:,}" if low == high else f"{low:,}–{high:,}"
    return f"{text} {what}" if high == 1 else f"{text} {what}s"


def ratio(value: float | None) -> str:
    """Return a number without a unit."""
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def heading(task: ComparisonTask) -> str:
    """Return the task's name, and whether its numbers are in percent."""
    return f"{task.name}, %" if task.is_share else task.name


def number(value: float | None, task: ComparisonTask) -> str:
    """Return a mean in the task's unit."""
    assert value is not None
    text = f"{100 * value:.1f}" if task.is_share else f"{value:.2f}"
    return text.replace("-", "−")


def signed(value: float | None, task: ComparisonTask) -> str:
    """Return a difference in the task's unit, with its sign."""
    assert value is not None
    # + 0.0: what rounds to nothing has no sign.
    text = (
        f"{round(100 * value, 1) + 0.0:+.1f}" if task.is_share else f"{round(value, 2) + 0.0:+.2f}"
    )
    return text.replace("-", "−")
