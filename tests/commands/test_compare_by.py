"""seqit compare over several runs and by fields: the table, its notes, the figure."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.dom import minidom

import orjson
import pytest
from click.testing import CliRunner
from support.markdown import cells_of
from support.score_rows import score

from seqit.commands.compare import command
from seqit.scores.compare import CompareOptions, Comparison, compare
from seqit.scores.db.database import Database
from seqit.scores.stats.interval import mean_interval

HOSTILE = "_$x^2$ <b>&\u202e模"
MODELS = ("IT", "SIT")


def rows(models: tuple[str, ...] = MODELS, runs: int = 3, seed: int = 1) -> list[dict[str, Any]]:
    """Return scores of chains of 1 to 3 steps: two chains per root, two metrics and benchmarks."""
    rng = random.Random(seed)
    scores = []
    for number, model in enumerate(models):
        for run in range(runs):
            lead = number + rng.gauss(0, 0.3)
            for item in range(72):
                chain = 1 + item % 3
                fields = {
                    "id": f"i{item}", "root": f"r{item // 2}", "model": model, "chain": chain,
                    "benchmark": ("seen", "unseen")[item // 2 % 2], "judge": "builtin",
                    "operation": ("prefix", "suffix")[item % 2], "training": f"{model} {run}",
                }  # fmt: skip
                steps = [float(rng.gauss(lead - k / 2, 1) > 0) for k in range(chain)]
                scores.append(score(**fields, metric="following", value=min(steps)))
                scores += [
                    score(**fields, metric="step", value=value, position=k + 1)
                    for k, value in enumerate(steps)
                ]
    scores.append(score(model=models[0], metric="quality", value=5, judge="a", control="good"))
    return scores


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write_rows(content: Any, name: str = "scores.jsonl") -> str:
        path = tmp_path / name
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in content))
        return str(path)

    return write_rows


def compare_file(name: str, **options: Any) -> Comparison:
    with Database([name]) as database:
        return compare(database, options=CompareOptions(**options))


def test_intervals_by_fields_are_those_of_each_group(
    write: Callable[..., str],
) -> None:
    content = rows()
    comparison = compare_file(write(content), by=("position", "chain"), metrics=("step",))
    keys = [(task.benchmark, *(value for _, value in task.by)) for task in comparison.tasks]
    assert keys == [
        (benchmark, position, chain)
        for benchmark in ("seen", "unseen")
        for position in (1, 2, 3)
        for chain in range(position, 4)
    ]
    for (model, task), result in comparison.results.items():
        fields = {"model": model, "metric": "step", "benchmark": task.benchmark, **dict(task.by)}
        group = [row for row in content if fields.items() <= row.items()]
        columns = ([row[name] for row in group] for name in ("value", "root", "training"))
        expected, mean = mean_interval(*columns), result.estimate
        assert (mean.n, mean.runs, mean.roots) == (36, 3, expected.roots)
        for name in ("mean", "error", "low", "high", "degrees"):
            assert getattr(mean, name) == pytest.approx(getattr(expected, name)), name


def test_differences_are_computed_from_items_averaged_over_runs(write: Callable[..., str]) -> None:
    content = rows()
    for row in content[:3]:  # i0 and i1 have fewer runs than the others
        row |= {"value": None, "status": "failed"}
    content = [row for row in content if row["metric"] != "step"]
    content = [row for row in content if row["id"] != "i0" or row["model"] != "SIT"]
    comparison = compare_file(write(content))
    for result in comparison.results.values():
        if not result.paired:
            continue
        means = {}
        for model in MODELS:
            for row in content:
                if (row["model"], row["benchmark"]) == (model, result.task.benchmark):
                    means.setdefault(row["id"], {}).setdefault(model, []).append(row["value"])
        differences = []
        for by_model in means.values():
            numbers = [[v for v in by_model.get(model, ()) if v is not None] for model in MODELS]
            if all(numbers):
                one, two = (sum(values) / len(values) for values in numbers)
                differences.append(two - one)
        paired = result.paired
        assert paired.difference.mean == pytest.approx(sum(differences) / len(differences))
        assert (paired.difference.n, paired.difference.runs) == (len(differences), 6)
        assert (paired.test, paired.alone) == ("t", int(result.task.benchmark == "seen"))
        assert 0 < paired.p < 1


def test_differences_between_runs_widen_the_interval(
    write: Callable[..., str],
) -> None:
    content = []
    for model, shares in (("IT", (0.3, 0.5, 0.7)), ("SIT", (0.5, 0.5, 0.5))):
        for run, share in enumerate(shares):
            for item in range(200):
                value = float(item % 10 < 10 * share)
                content.append(score(model=model, id=f"i{item}", root=f"i{item}", value=value,
                                     training=f"{model} {run}"))  # fmt: skip
    (task,) = compare_file(write(content)).tasks
    results = compare_file(write(content)).results
    different, same = (results[model, task].estimate for model in MODELS)
    assert different.mean == same.mean == 0.5
    assert different.error == pytest.approx(0.2 / 3**0.5, rel=0.05)
    assert different.high - different.low > 0.6
    assert same.high - same.low == pytest.approx(0.138, abs=0.005)
    paired = results["SIT", task].paired
    assert (paired.difference.mean, paired.p) == (pytest.approx(0), pytest.approx(1))
    assert paired.difference.high > 0.4
    bootstrap = compare_file(write(content), interval="bootstrap").results["IT", task].estimate
    assert bootstrap.high - bootstrap.low > 0.3


def test_the_table_has_a_row_for_each_value(seqit: Any, write: Callable[..., str]) -> None:
    name = write([*rows((*MODELS, HOSTILE)), score(model="IT", metric="step", id="x")])
    ran = seqit(
        "compare", "SIT", HOSTILE, "IT", name, "--metrics", "step", "--by", "chain,position"
    )
    assert ran.code == 0, ran.err
    lines = ran.out.decode().splitlines()
    table = [cells_of(line) for line in lines if line.startswith("|")]
    assert table[0][:4] == ["scores", "chain", "position", "SIT"]
    assert table[0][5] == "IT"
    assert table[1] == ["---"] * 3 + ["--:"] * 3
    assert [row[:3] for row in table[2:5]] == [
        ["seen step, %", "1", "1"], ["seen step, %", "2", "1"], ["seen step, %", "2", "2"],
    ]  # fmt: skip
    assert all("; " not in row[3] and "; " in row[5] for row in table[2:])
    notes = [line for line in lines if line.startswith("- ")]
    assert "interval, clustered by root and run)" in notes[0]
    assert "- Intervals are over 3 runs and 12 roots." in notes
    assert "- b step: in no row: 1 score without chain" in notes
    results = seqit("compare", name, "--by", "chain", "-f", "jsonl").rows
    assert [row["chain"] for row in results if row["model"] == "IT"] == [1, 2, 3] * 4
    assert {row["runs"] for row in results} == {3}
    text = seqit("compare", name, "--by", "benchmark", "--metrics", "following", "-f", "latex")
    assert r"\begin{tabular}{llrrr}" in text.out.decode()


def test_a_model_with_one_run_is_named(seqit: Any, write: Callable[..., str]) -> None:
    content = [*rows(("IT",), runs=1), *rows(("SIT",), runs=3)]
    text = seqit("compare", write(content), "--metrics", "following").out.decode()
    assert "- SIT: intervals are over 3 runs and 18 roots" in text
    assert "- IT: intervals are over 1 run and 18 roots, and say nothing about" in text
    for test in ("mcnemar", "permutation"):
        ran = seqit("compare", write(content), "--test", test)
        assert (ran.code, f"{test} assumes one run per model" in ran.err) == (1, True)
    power = seqit("compare", write(content), "--power").out.decode()
    assert "depends on runs" in power


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--by", "chian"], 2, "did you mean 'chain'?"),
        (["--by", "teacher"], 1, "no score of these models has teacher"),
        (
            ["--metrics", "followng"],
            2,
            "there is no score with the metric 'followng' (did you mean",
        ),
        (["--by", "chain", "--agreement"], 2, "leave out --by, or --agreement"),
        (["--figure", "a.svg"], 2, "--figure draws one or two fields: with --by chain"),
        (["--figure", "a.svg", "--by", "chain,position,operation"], 2, "--figure draws one or two"),
        (["--figure", "a.gif", "--by", "chain"], 2, "end the figure's name in .svg, .png, .pdf"),
        (["--figure", "no/a.svg", "--by", "chain"], 1, "the directory no does not exist"),
    ],
)
def test_errors_of_by_and_figure_have_a_message(
    args: list[str], code: int, message: str, write: Callable[..., str]
) -> None:
    pytest.importorskip("matplotlib")
    ran = CliRunner().invoke(command, [write(rows()), *args])
    assert (ran.exit_code, ran.stdout) == (code, "")
    assert message in " ".join(ran.stderr.split())


def svg_texts(svg: Path) -> list[str]:
    return [each.firstChild.data for each in minidom.parse(str(svg)).getElementsByTagName("text")]


def test_a_figure_shows_all_names_as_text(write: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    name = write(rows((*MODELS, HOSTILE)))
    line = [name, "--metrics", "step", "--by", "position,chain", "--figure"]
    for number in (1, 2):
        ran = CliRunner().invoke(command, [*line, str(tmp_path / f"{number}.svg")])
        assert ran.exit_code == 0, ran.stderr
    svg = tmp_path / "1.svg"
    assert svg.read_bytes() == (tmp_path / "2.svg").read_bytes()
    texts = svg_texts(svg)
    assert {*MODELS, HOSTILE.replace("\u202e", "\\u202e"), "seen", "unseen"} < set(texts)
    assert texts.count("3 tasks in the chain") == 2
    assert texts.count("step accuracy, %") == 2
    assert texts.count("place of the task in the chain") == 3
    (caption,) = (text for text in texts if text.startswith("Means"))
    assert caption == (
        "Means with 95 % intervals over 3 runs and 12 roots; a point is of 36 scores."
    )


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_figure_has_no_date_and_no_missing_glyph(
    ending: str, magic: bytes, write: Callable[..., str], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    name = write(rows((*MODELS, HOSTILE, "x" * 500, *"abc"), runs=1))
    for number in (1, 2):
        target = tmp_path / f"{number}.{ending}"
        ran = CliRunner().invoke(command, [name, "--by", "operation", "--figure", str(target)])
        assert ran.exit_code == 0, ran.stderr
    content = target.read_bytes()
    assert content.startswith(magic)
    assert content == (tmp_path / f"1.{ending}").read_bytes()
    assert b"Date" not in content


def test_a_figure_shows_the_means_and_intervals(write: Callable[..., str]) -> None:
    pytest.importorskip("matplotlib")
    from seqit.scores.report.figure import build_figure, build_panels

    comparison = compare_file(write(rows()), by=("chain",), metrics=("following",))
    panels = build_panels(comparison)
    assert [panel.title for panel in panels] == [("seen",), ("unseen",)]
    figure = build_figure(comparison, panels, CompareOptions(), "svg")
    for axes, panel in zip(figure.axes, panels, strict=True):
        for model, container in zip(MODELS, axes.containers, strict=True):
            points, _, (bars,) = container
            means = [comparison.results[model, panel.tasks[n]].estimate for n in (1, 2, 3)]
            assert list(points.get_ydata()) == pytest.approx([100 * each.mean for each in means])
            assert [round(x) for x in points.get_xdata()] == [1, 2, 3]
            intervals = [(low[1], high[1]) for low, high in bars.get_segments()]
            assert intervals == [
                pytest.approx((100 * each.low, 100 * each.high), abs=1e-9) for each in means
            ]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_a_figure_without_matplotlib_is_an_error_with_the_install_command(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    target = tmp_path / "a.svg"
    line = [write(rows()), "--by", "chain", "--figure", str(target)]
    ran = CliRunner().invoke(command, line)
    assert (ran.exit_code, target.exists()) == (1, False)
    assert "pip install 'seqit[figure]'" in ran.stderr
    assert CliRunner().invoke(command, line[:3]).exit_code == 0
