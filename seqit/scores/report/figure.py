"""A broken-down comparison as a figure: a line for each model, a panel for each task."""

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
from seqit.scores.report.formatting import counted
from seqit.scores.report.output import visible

FORMATS = ("svg", "png", "pdf")
DOTS = 200
"""Pixels an inch of a PNG."""

# Okabe & Ito's colours, which colour-blind readers tell apart, without the yellow that white hides.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = "osD^vP*X<>"
_LONGEST = 48  # characters of a name
_ACROSS = 4  # panels beside each other
_AXES = {
    "chain": "tasks in the chain",
    "position": "place of the task in the chain",
    "iteration": "iteration of the item",
    "teacher": "who made the item",
}
_PANELS = {
    "chain": lambda value: f"{value} task{'' if value == 1 else 's'} in the chain",
    "position": lambda value: f"task {value} of the chain",
    "iteration": lambda value: f"iteration {value}",
}
_METRICS = {"following": "following rate", "step": "step accuracy", "win": "win rate"}


@dataclass(frozen=True, slots=True)
class Panel:
    """What a panel shows: row and column, lines of its title, label of y, a task for each x."""

    place: tuple[int, int]
    title: tuple[str, ...]
    label: str
    tasks: dict[Any, ComparisonTask]

    @property
    def scale(self) -> float:
        """How many units of y are 1 of the scores: shares are drawn in percent."""
        return 100.0 if next(iter(self.tasks.values())).is_share else 1.0


def check_figure(by: Sequence[str]) -> Any:
    """Return matplotlib. Raises UsageError for what no figure shows, SeqitError without it."""
    if not by or len(by) > 2:
        raise UsageError(
            "--figure draws one or two fields: --by chain is its x, --by position,chain has a "
            "panel for each chain"
        )
    try:
        import matplotlib
    except ImportError:
        raise SeqitError("--figure draws with matplotlib: pip install 'seqit[figure]'") from None
    return matplotlib


def draw(comparison: Comparison, form: str, options: CompareOptions) -> bytes:
    """Return the figure of a comparison by one or two fields, in one of FORMATS.

    x is the first field, panels are the second one's values, and benchmark and metric; bars are
    the intervals. The same comparison gives the same bytes. Names are text: no markup of theirs is
    obeyed, and what could not be seen is written out. Raises as check_figure does, and SeqitError
    where no score has a mean.
    """
    matplotlib = check_figure(comparison.by)
    panels = panels_of(comparison)
    if not any(cell.estimate.mean is not None for cell in comparison.cells.values()):
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
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its own caches
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in SVG the reader's font has it
        matplotlib.rcdefaults()  # whatever the user's own settings are
        matplotlib.rcParams.update(settings)
        figure = figure_of(comparison, panels, options, form)
        content = io.BytesIO()
        figure.savefig(content, format=form, dpi=DOTS, metadata=_METADATA[form])
    return content.getvalue()


_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "seqit"},
    "png": {"Software": "seqit"},
    "pdf": {"CreationDate": None, "Creator": "seqit"},
}


def panels_of(comparison: Comparison) -> list[Panel]:
    """Return a panel for each metric, benchmark and value of the second field.

    The last of these that there is makes columns, the others rows; where there is but one row or
    one column, panels fill rows of four.
    """
    x, *others = comparison.by
    found: dict[tuple[Any, Any], dict[Any, ComparisonTask]] = {}
    for task in comparison.tasks:
        of = dict(task.by)
        benchmark = "" if "benchmark" in of else task.benchmark
        row, column = (task.metric, benchmark), of[others[0]] if others else ""
        if not others:
            row, column = (task.metric, ""), benchmark
        found.setdefault((row, column), {})[of[x]] = task
    rows = {row: place for place, row in enumerate(sorted({row for row, _ in found}))}
    columns = {each: place for place, each in enumerate(sorted({each for _, each in found}))}
    is_grid = len(rows) > 1 and len(columns) > 1
    panels = []
    for number, (row, column) in enumerate(sorted(found)):
        place = (rows[row], columns[column]) if is_grid else divmod(number, _ACROSS)
        name = _PANELS.get(others[0], str)(column) if others else column
        task = next(iter(found[row, column].values()))
        word = _METRICS.get(task.metric, task.metric)
        label = f"{word}, %" if task.is_share else word
        lines = tuple(line for line in (row[1], name) if line)
        panels.append(Panel(place, lines, label, found[row, column]))
    return panels


def figure_of(
    comparison: Comparison, panels: Sequence[Panel], options: CompareOptions, form: str
) -> Any:
    """Return matplotlib's Figure, which knows nothing of pyplot's state."""
    from matplotlib.figure import Figure

    down, across = (1 + max(panel.place[way] for panel in panels) for way in (0, 1))
    width = max(4.6, (2.7 if across < 4 else 2.2) * across + 0.6)
    figure = Figure(figsize=(width, 2.4 * down + 1.1), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False)
    shown = {panel.place: (grid[panel.place], panel) for panel in panels}
    values = sorted({x for panel in panels for x in panel.tasks})
    for (row, column), (axes, panel) in shown.items():
        _draw_panel(axes, comparison, panel, values, form)
        left = shown.get((row, column - 1))
        if left and left[1].label == panel.label:
            axes.tick_params(labelleft=False)
        else:
            axes.set_ylabel(_shown(panel.label, form))
        if (row + 1, column) not in shown:
            axes.set_xlabel(_AXES.get(comparison.by[0], comparison.by[0]))
    for place in product(range(down), range(across)):
        grid[place].set_visible(place in shown)
    _share_y(list(shown.values()))
    _add_legend(figure, grid[panels[0].place], comparison, form)
    figure.supxlabel(_caption(comparison, options), fontsize=7, color="#444444")
    return figure


def _draw_panel(
    axes: Any, comparison: Comparison, panel: Panel, values: Sequence[Any], form: str
) -> None:
    """Draw the models' means with their intervals, each a little beside the one before."""
    is_ordered = all(isinstance(value, int) for value in values)
    places = dict(zip(values, values if is_ordered else range(len(values)), strict=True))
    count = len(comparison.models)
    step = min(0.14, 0.6 / count)
    for number, model in enumerate(comparison.models):
        shift = (number - (count - 1) / 2) * step
        points = list(_points(comparison, panel, model, values))
        style = {"color": _COLOURS[number % len(_COLOURS)], "markersize": 5 - (count > 4)}
        # Only values that have an order are joined; a value without a mean breaks the line.
        axes.errorbar(
            [places[x] + shift for x, *_ in points],
            [mean for _, mean, _, _ in points],
            yerr=[[below for _, _, below, _ in points], [above for *_, above in points]],
            marker=_MARKERS[number % len(_MARKERS)],
            linestyle="-" if is_ordered else "none",
            linewidth=1.2,
            elinewidth=1,
            capsize=2,
            **style,
        )
    axes.set_title("\n".join(_shown(line, form) for line in panel.title), fontsize=9)
    labels = [_shown(str(value) or "–", form) for value in values]
    tilt = {} if sum(map(len, labels)) <= 20 else {"rotation": 30, "ha": "right"}
    axes.set_xticks([places[x] for x in values], labels, **tilt)
    ends = places[values[0]] - 0.5, places[values[-1]] + 0.5
    axes.set_xlim(*ends)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _points(
    comparison: Comparison, panel: Panel, model: str, values: Sequence[Any]
) -> Iterator[tuple[Any, float, float, float]]:
    """Yield x, mean, and how far the interval reaches below and above, in units of y."""
    nothing = float("nan")
    for x in values:
        task = panel.tasks.get(x)
        cell = comparison.cells.get((model, task)) if task else None
        if cell is None or (mean := cell.estimate.mean) is None:
            yield x, nothing, nothing, nothing
            continue
        found = cell.estimate
        low = mean if found.low is None else found.low
        high = mean if found.high is None else found.high
        yield x, *(panel.scale * each for each in (mean, max(0, mean - low), max(0, high - mean)))


def _share_y(shown: Sequence[tuple[Any, Panel]]) -> None:
    """Give panels of one label one range of y; no share is below 0 or above 100 %."""
    for label in dict.fromkeys(panel.label for _, panel in shown):
        own = [(axes, panel) for axes, panel in shown if panel.label == label]
        low = min(axes.get_ylim()[0] for axes, _ in own)
        high = max(axes.get_ylim()[1] for axes, _ in own)
        if own[0][1].scale == 100:
            low, high = max(low, -3), min(high, 103)
        for axes, _ in own:
            axes.set_ylim(low, high)


def _add_legend(figure: Any, axes: Any, comparison: Comparison, form: str) -> None:
    handles = axes.containers
    names = [_shown(model, form) for model in comparison.models]
    fits = max(1, int(figure.get_figwidth() * 12 / (max(map(len, names)) + 8)))
    # Under placeholders: matplotlib leaves out names that begin with an underscore.
    legend = figure.legend(
        handles, ["x" * len(name) for name in names], loc="outside upper center",
        ncols=min(fits, len(names)), frameon=False,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def _caption(comparison: Comparison, options: CompareOptions) -> str:
    found = [cell.estimate for cell in comparison.cells.values() if cell.estimate.n]
    kind = "bootstrap " if options.interval == "bootstrap" else ""
    runs = {each.runs for each in found}
    over = f"{counted(runs, 'run')} and " if max(runs) > 1 else ""
    return (
        f"Means with {100 * options.level:g} % {kind}intervals over {over}"
        f"{counted({each.roots for each in found}, 'root')}; "
        f"a point is of {counted({each.n for each in found}, 'score')}."
    )


def _shown(text: str, form: str) -> str:
    """Return a name as the figure can show it, on one line."""
    from matplotlib import font_manager

    text = visible(text)
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    if form == "svg":
        return text
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    there = font.get_charmap()
    return "".join(c if ord(c) in there else c.encode("unicode_escape").decode() for c in text)
