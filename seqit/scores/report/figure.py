"""A comparison by fields as a figure: a line for each model, a panel for each task."""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from seqit.errors import SeqitError, UsageError
from seqit.scores.compare import CompareOptions, Comparison
from seqit.scores.grouped_scores import ComparisonTask
from seqit.scores.report.formatting import count_range
from seqit.scores.report.output import escape_unprintable

FORMATS = ("svg", "png", "pdf")
DPI = 200
"""Of a PNG."""

# Okabe & Ito's colours for colour-blind readers, without the yellow, which white hides.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = "osD^vP*X<>"
_MAX_NAME = 48  # characters
_PANELS_PER_ROW = 4
_X_LABELS = {
    "chain": "tasks in the chain",
    "position": "place of the task in the chain",
    "iteration": "iteration of the item",
    "teacher": "who made the item",
}
_PANEL_TITLES = {
    "chain": lambda value: f"{value} task{'' if value == 1 else 's'} in the chain",
    "position": lambda value: f"task {value} of the chain",
    "iteration": lambda value: f"iteration {value}",
}
_METRIC_LABELS = {"following": "following rate", "step": "step accuracy", "win": "win rate"}


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: its row and column, lines of its title, label of y, and a task for each x."""

    position: tuple[int, int]
    title: tuple[str, ...]
    label: str
    tasks: dict[Any, ComparisonTask]

    @property
    def scale(self) -> float:
        """Factor from scores to units of y: shares are drawn in percent."""
        return 100.0 if next(iter(self.tasks.values())).is_share else 1.0


def check_figure(by: Sequence[str]) -> Any:
    """Return matplotlib.

    Raises UsageError if a figure cannot show these fields, SeqitError if matplotlib is missing.
    """
    if not by or len(by) > 2:
        raise UsageError(
            "--figure draws one or two fields: with --by chain, x is the chain; with "
            "--by position,chain there is a panel for each chain"
        )
    try:
        import matplotlib
    except ImportError:
        raise SeqitError("--figure needs matplotlib: pip install 'seqit[figure]'") from None
    return matplotlib


def draw_figure(comparison: Comparison, file_format: str, options: CompareOptions) -> bytes:
    """Return the figure of a comparison by one or two fields, in one of FORMATS.

    x is the first field; there is a panel for each value of the second field, benchmark and
    metric; bars are the intervals. The same comparison gives the same bytes. Names are shown as
    text: markup in them is not interpreted, and invisible characters are escaped. Raises as
    check_figure does, and SeqitError if no score has a mean.
    """
    matplotlib = check_figure(comparison.by)
    panels = build_panels(comparison)
    if not any(result.estimate.mean is not None for result in comparison.results.values()):
        raise SeqitError("--figure: no score has a number, so there is nothing to draw")
    settings = {
        "svg.hashsalt": "seqit",
        "svg.fonttype": "none",  # text stays text, which can be searched and read aloud
        "pdf.fonttype": 42,
        "font.size": 9.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
    }
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it logs about its caches
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in SVG the reader's font has it
        matplotlib.rcdefaults()  # ignore the user's settings
        matplotlib.rcParams.update(settings)
        figure = build_figure(comparison, panels, options, file_format)
        content = io.BytesIO()
        figure.savefig(content, format=file_format, dpi=DPI, metadata=_METADATA[file_format])
    return content.getvalue()


_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "seqit"},
    "png": {"Software": "seqit"},
    "pdf": {"CreationDate": None, "Creator": "seqit"},
}


def build_panels(comparison: Comparison) -> list[Panel]:
    """Return a panel for each metric, benchmark and value of the second field.

    Values of the second field, or else benchmarks, are columns; the rest is rows. If there is only
    one row or one column, panels fill rows of four.
    """
    x, *others = comparison.by
    by_position: dict[tuple[Any, Any], dict[Any, ComparisonTask]] = {}
    for task in comparison.tasks:
        fields = dict(task.by)
        benchmark = "" if "benchmark" in fields else task.benchmark
        row, column = (task.metric, benchmark), fields[others[0]] if others else ""
        if not others:
            row, column = (task.metric, ""), benchmark
        by_position.setdefault((row, column), {})[fields[x]] = task
    rows = {row: i for i, row in enumerate(sorted({row for row, _ in by_position}))}
    columns = {each: i for i, each in enumerate(sorted({each for _, each in by_position}))}
    is_grid = len(rows) > 1 and len(columns) > 1
    panels = []
    for number, (row, column) in enumerate(sorted(by_position)):
        tasks = by_position[row, column]
        position = (rows[row], columns[column]) if is_grid else divmod(number, _PANELS_PER_ROW)
        name = _PANEL_TITLES.get(others[0], str)(column) if others else column
        task = next(iter(tasks.values()))
        metric = _METRIC_LABELS.get(task.metric, task.metric)
        label = f"{metric}, %" if task.is_share else metric
        title = tuple(line for line in (row[1], name) if line)
        panels.append(Panel(position, title, label, tasks))
    return panels


def build_figure(
    comparison: Comparison, panels: Sequence[Panel], options: CompareOptions, file_format: str
) -> Any:
    """Return a matplotlib Figure that is independent of pyplot's state."""
    from matplotlib.figure import Figure

    rows, columns = (1 + max(panel.position[axis] for panel in panels) for axis in (0, 1))
    width = max(4.6, (2.7 if columns < 4 else 2.2) * columns + 0.6)
    figure = Figure(figsize=(width, 2.4 * rows + 1.1), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    by_position = {panel.position: (grid[panel.position], panel) for panel in panels}
    values = sorted({x for panel in panels for x in panel.tasks})
    for (row, column), (axes, panel) in by_position.items():
        _draw_panel(axes, comparison, panel, values, file_format)
        left = by_position.get((row, column - 1))
        if left and left[1].label == panel.label:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(_displayable(panel.label, file_format))
        if (row + 1, column) not in by_position:
            axes.set_xlabel(_X_LABELS.get(comparison.by[0], comparison.by[0]))
    for position in product(range(rows), range(columns)):
        grid[position].set_visible(position in by_position)
    _align_y_ranges(list(by_position.values()))
    _add_legend(figure, grid[panels[0].position], comparison, file_format)
    figure.supxlabel(_caption(comparison, options), fontsize=7, color="#444444")
    return figure


def _draw_panel(
    axes: Any, comparison: Comparison, panel: Panel, values: Sequence[Any], file_format: str
) -> None:
    """Draw the models' means with their intervals, each slightly to the right of the last one."""
    is_ordered = all(isinstance(value, int) for value in values)
    x_of = dict(zip(values, values if is_ordered else range(len(values)), strict=True))
    count = len(comparison.models)
    step = min(0.14, 0.6 / count)
    for number, model in enumerate(comparison.models):
        shift = (number - (count - 1) / 2) * step
        points = list(_points(comparison, panel, model, values))
        style = {"color": _COLOURS[number % len(_COLOURS)], "markersize": 5 - (count > 4)}
        # Only ordered values are joined by a line; a value without a mean interrupts it.
        axes.errorbar(
            [x_of[x] + shift for x, *_ in points],
            [mean for _, mean, _, _ in points],
            yerr=[[below for _, _, below, _ in points], [above for *_, above in points]],
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle="-" if is_ordered else "none",
            linewidth=1.2,
            elinewidth=1,
            capsize=2,
            **style,
        )
    axes.set_title("\n".join(_displayable(line, file_format) for line in panel.title), fontsize=9)
    labels = [_displayable(str(value) or "–", file_format) for value in values]
    tilt = {} if sum(map(len, labels)) <= 20 else {"rotation": 30, "ha": "right"}
    axes.set_xticks([x_of[x] for x in values], labels, **tilt)
    axes.set_xlim(x_of[values[0]] - 0.5, x_of[values[-1]] + 0.5)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _points(
    comparison: Comparison, panel: Panel, model: str, values: Sequence[Any]
) -> Iterator[tuple[Any, float, float, float]]:
    """Yield x, mean, and the distances from the mean to its bounds, in units of y."""
    nan = float("nan")
    for x in values:
        task = panel.tasks.get(x)
        result = comparison.results.get((model, task)) if task else None
        if result is None or (mean := result.estimate.mean) is None:
            yield x, nan, nan, nan
            continue
        estimate = result.estimate
        low = mean if estimate.low is None else estimate.low
        high = mean if estimate.high is None else estimate.high
        yield x, *(panel.scale * each for each in (mean, max(0, mean - low), max(0, high - mean)))


def _align_y_ranges(panels: Sequence[tuple[Any, Panel]]) -> None:
    """Set the same y range for panels with the same label; shares are between 0 and 100 %."""
    for label in dict.fromkeys(panel.label for _, panel in panels):
        same = [(axes, panel) for axes, panel in panels if panel.label == label]
        low = min(axes.get_ylim()[0] for axes, _ in same)
        high = max(axes.get_ylim()[1] for axes, _ in same)
        if same[0][1].scale == 100:
            low, high = max(low, -3), min(high, 103)
        for axes, _ in same:
            axes.set_ylim(low, high)


def _add_legend(figure: Any, axes: Any, comparison: Comparison, file_format: str) -> None:
    handles = axes.containers
    names = [_displayable(model, file_format) for model in comparison.models]
    fits = max(1, int(figure.get_figwidth() * 12 / (max(map(len, names)) + 8)))
    # Placeholders first, because matplotlib leaves out names that begin with an underscore.
    legend = figure.legend(
        handles, ["x" * len(name) for name in names], loc="outside upper center",
        ncols=min(fits, len(names)), frameon=False,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def _caption(comparison: Comparison, options: CompareOptions) -> str:
    results = comparison.results.values()
    estimates = [result.estimate for result in results if result.estimate.n]
    kind = "bootstrap " if options.interval == "bootstrap" else ""
    runs = {each.runs for each in estimates}
    over = f"{count_range(runs, 'run')} and " if max(runs) > 1 else ""
    return (
        f"Means with {100 * options.level:g} % {kind}intervals over {over}"
        f"{count_range({each.roots for each in estimates}, 'root')}; "
        f"a point is of {count_range({each.n for each in estimates}, 'score')}."
    )


def _displayable(text: str, file_format: str) -> str:
    """Return a name on one line, cut to _MAX_NAME, with characters the font lacks escaped."""
    from matplotlib import font_manager

    text = escape_unprintable(text)
    if len(text) > _MAX_NAME:
        text = text[: _MAX_NAME - 1] + "…"
    if file_format == "svg":
        return text
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    charmap = font.get_charmap()
    return "".join(c if ord(c) in charmap else c.encode("unicode_escape").decode() for c in text)
