"""seqit compare: models with their differences, in Markdown, LaTeX and JSON Lines."""

import random
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from support.annotations import annotation, short_model, write_reference
from support.markdown import cells_of
from support.score_rows import HOSTILE, score

from seqit.commands.compare import command
from seqit.scores.compare import CompareOptions, compare, power_analyses
from seqit.scores.db.database import Database
from seqit.scores.report.paper_tables import Table, escape_latex, latex, markdown
from seqit.scores.stats.interval import mean_interval, sums_by_root
from seqit.scores.stats.paired import PairedComparison, PairedDifferences, paired_difference

ITEMS = 80


def rows(seed: int = 1) -> list[dict[str, Any]]:
    """Return accuracy (1 item per root) and quality (2 per root) of two models, some missing."""
    rng = random.Random(seed)
    scores = []
    for model, skill in (("it", 0.5), (HOSTILE, 0.7)):
        for item in range(ITEMS):
            if item == 3 and model == "it":
                continue  # this model has no answer to the item
            is_missing = item in ((5, 6) if model == "it" else (6, 7, 8))
            fields = {"model": model, "id": f"i{item}", "root": f"i{item}", "benchmark": "gsm8k"}
            value = None if is_missing else float(rng.random() < skill)
            status = "refused" if is_missing else "scored"
            scores.append(score(**fields, value=value, status=status))
            fields |= {"benchmark": "seqeval", "root": f"i{item // 2}", "metric": "quality"}
            length = rng.randint(20, 60) * (1 + (model != "it"))
            value = max(1, min(5, length // 20 + rng.randint(-1, 1)))
            scores.append(score(**fields, value=value, judge="a", length=length))
    scores.append(score(model="control", control="good", metric="quality", value=5, judge="a"))
    return scores


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write_rows(content: Any, name: str = "scores.jsonl") -> str:
        path = tmp_path / name
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in content))
        return str(path)

    return write_rows


def by_item(content: list[dict[str, Any]], model: str, metric: str) -> dict[Any, Any]:
    return {
        row["id"]: row["value"]
        for row in content
        if (row["model"], row["metric"]) == (model, metric) and "control" not in row
    }


def compare_by_item(
    first: dict[Any, Any], other: dict[Any, Any], roots: dict[Any, Any] | None
) -> PairedComparison:
    """Return the comparison of other - first, with the items paired in Python instead of SQL."""
    common = [item for item in first if item in other]
    pairs = [(first[item], other[item]) for item in common]
    differences = [None if one is None or two is None else two - one for one, two in pairs]
    return paired_difference(
        PairedDifferences(
            sums_by_root(differences, [roots[item] if roots else item for item in common]),
            len(first) + len(other) - 2 * len(common),
            differences.count(1),
            differences.count(-1),
            all(value in (0, 1, None) for pair in pairs for value in pair),
        )
    )


@pytest.mark.parametrize("interval", ["analytic", "bootstrap"])
def test_a_comparison_equals_one_computed_in_python(
    interval: str, write: Callable[..., str]
) -> None:
    content = rows()
    with Database([write(content)]) as database:
        comparison = compare(database, options=CompareOptions(interval=interval, seed=3))
    assert comparison.models == ["it", HOSTILE]  # in order of appearance
    assert [(task.name, task.is_share) for task in comparison.tasks] == [
        ("gsm8k accuracy", True), ("seqeval quality", False),
    ]  # fmt: skip
    pair_roots = {f"i{k}": f"i{k // 2}" for k in range(ITEMS)}
    for task, roots in zip(comparison.tasks, (None, pair_roots), strict=True):
        first = by_item(content, "it", task.metric)
        other = by_item(content, HOSTILE, task.metric)
        result = comparison.results[HOSTILE, task]
        mean = mean_interval(list(other.values()), [roots[k] if roots else k for k in other])
        expected = compare_by_item(first, other, roots)
        assert comparison.results["it", task].paired is None
        paired = result.paired
        assert paired is not None
        assert (paired.alone, paired.test) == (expected.alone, expected.test)
        assert paired.p == pytest.approx(expected.p)
        for one, two in ((result.estimate, mean), (paired.difference, expected.difference)):
            assert (one.n, one.missing, one.roots) == (two.n, two.missing, two.roots)
            assert (one.mean, one.error) == (pytest.approx(two.mean), pytest.approx(two.error))
            if interval == "analytic":
                assert (one.low, one.high) == (pytest.approx(two.low), pytest.approx(two.high))
            else:
                assert one.low == pytest.approx(two.low, abs=two.error)
                assert one.low != pytest.approx(two.low)
    accuracy = comparison.results[HOSTILE, comparison.tasks[0]]
    assert (accuracy.paired.test, accuracy.paired.alone) == ("mcnemar", 1)
    assert (accuracy.paired.difference.n, accuracy.paired.difference.missing) == (75, 4)
    assert accuracy.statuses == {"refused": 3}


def test_samples_and_votes_of_an_item_are_averaged(write: Callable[..., str]) -> None:
    content = [
        score(model=model, id=f"i{k}", root=f"i{k}", sample=sample, value=float(value))
        for model, values in (("a", (1, 0, 0, 0)), ("b", (1, 1, 1, 0)))
        for k in range(6)
        for sample, value in enumerate(values)
    ]
    content += [
        score(model=model, id=f"i{k}", root=f"i{k}", metric="step", position=p, value=float(v))
        for model, v in (("a", 0), ("b", 1))
        for k in range(6)
        for p in (1, 2)
    ]
    with Database([write(content)]) as database:
        comparison = compare(database)
    accuracy, step = (comparison.results["b", task].paired for task in comparison.tasks)
    assert (accuracy.difference.n, accuracy.difference.mean, accuracy.test) == (6, 0.5, "t")
    assert (step.difference.n, step.difference.roots, step.difference.mean) == (12, 6, 1)


def test_power_analysis_of_the_given_items(write: Callable[..., str]) -> None:
    with Database([write(rows())]) as database:
        comparison = compare(database)
    for analysis in power_analyses(comparison):
        difference, smallest = analysis.result.paired.difference, analysis.smallest_difference
        assert smallest == pytest.approx(2.8016 * difference.error, rel=1e-3)
        pairs = difference.n * (smallest / difference.mean) ** 2
        assert analysis.pairs_needed == pytest.approx(pairs, abs=1)


def test_markdown_has_a_row_per_model(seqit: Any, write: Callable[..., str]) -> None:
    ran = seqit("compare", "it", HOSTILE, write(rows()))
    assert ran.code == 0, ran.err
    lines = ran.out.decode().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert [len(cells_of(line)) for line in table] == [3, 3, 3, 3]
    assert cells_of(table[0]) == ["model", "gsm8k accuracy, %", "seqeval quality"]
    expected = HOSTILE.replace("\n", "<br>")
    assert cells_of(table[3])[0].replace("\\", "") == expected.replace("\\", "")
    assert re.fullmatch(
        r"[\d.]+ \([\d.]+–[\d.]+\); [+−][\d.]+ \([+−][\d.]+ to [+−][\d.]+\), p [<=] 0\.\d{3}",
        cells_of(table[3])[1],
    )
    notes = [line for line in lines if line.startswith("- ")]
    assert "- it, gsm8k accuracy: 2 of 79 scores are missing (2 refused)" in notes
    assert any(
        "compared on 75 items, not on 4 without a score of both models and 1 that only one" in line
        for line in notes
    )


def test_a_negative_bound_has_a_minus_sign_and_no_dash(
    seqit: Any, write: Callable[..., str]
) -> None:
    wins = [
        score(model="sit", id=f"i{n}", root=f"i{n}", metric="win", value=value)
        for n, value in enumerate((0.0, 0.5, 0.0, 0.0))
    ]
    ran = seqit("compare", write(wins))
    assert ran.code == 0, ran.err
    assert "12.5 (−27.3 to 52.3)" in ran.out.decode()


def test_models_are_compared_with_the_first_one_named(
    seqit: Any, write: Callable[..., str]
) -> None:
    name = write(rows())
    it_first = seqit("compare", "it", HOSTILE, name, "-f", "jsonl").rows
    it_second = seqit("compare", HOSTILE, "it", name, "-f", "jsonl").rows
    assert [row["model"] for row in it_second] == [HOSTILE, "it"] * 2
    one = next(r for r in it_first if r["model"] == HOSTILE and r["metric"] == "accuracy")
    two = next(r for r in it_second if r["model"] == "it" and r["metric"] == "accuracy")
    assert (two["against"], two["difference"]) == (HOSTILE, pytest.approx(-one["difference"]))
    assert two["p"] == one["p"]
    assert set(one) > {"n", "missing", "statuses", "low", "high", "pairs", "unpaired", "alone"}


def test_latex_compiles_with_escaped_names(
    seqit: Any, write: Callable[..., str], tmp_path: Path
) -> None:
    target = tmp_path / "table.tex"
    ran = seqit("compare", write(rows()), "--power", "-o", target)
    assert ran.code == 0, ran.err
    text = target.read_text()
    unescaped = re.sub(r"\\text[a-z]+\{\}|\\[{}$&#_%]", "", text)
    lines = unescaped.splitlines()
    body = [line for line in lines if not line.startswith(("\\begin", "\\end", "\\hl"))]
    assert all(line.count("&") in (0, 2, 5) for line in body)
    assert "DROP VIEW" in text
    assert not any(char in "".join(body).replace("$-$", "") for char in "#_%~^$")
    if shutil.which("pdflatex"):
        document = f"\\documentclass{{article}}\\begin{{document}}{text}\\end{{document}}"
        (tmp_path / "page.tex").write_text(document)
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
            cwd=tmp_path, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a & b \\ {x} $y$ #1_%", r"a \& b \textbackslash{} \{x\} \$y\$ \#1\_\%"),
        ("~^<>|\"`", r"\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}\textbar{}"
                     r"{\char34}{\char96}"),
        ("line\nbreak\x1b[31m", r"line\textbackslash{}nbreak\textbackslash{}x1b[31m"),
        ("−3", "$-$3"),
        ("Größe 模型", "Größe 模型"),
    ],
)  # fmt: skip
def test_latex_shows_a_name_literally(text: str, expected: str) -> None:
    assert escape_latex(text) == expected


def test_names_do_not_break_a_table() -> None:
    table = Table(["model", "x | y"], [["a\n| b |\n\n# c", "1"]], ["[note](javascript:x)\n- y"])
    lines = list(markdown([table]))
    assert len(lines) == 5
    assert [len(cells_of(line)) for line in lines[:3]] == [2, 2, 2]
    assert lines[4] == r"- \[note\](javascript:x)<br>- y"
    assert len([line for line in latex([table]) if line.endswith(r"\\")]) == 2
    table.rows.append(["[2pt]", "1"])
    assert r"{}[2pt] & 1 \\" in latex([table])


def test_agreement_compares_judges(seqit: Any, write: Callable[..., str]) -> None:
    rng = random.Random(2)
    content = []
    for k in range(60):
        value = rng.randint(1, 5)
        for judge, noise in (("a", 0), ("b", rng.choice((-1, 0, 0, 1)))):
            judged = min(5, max(1, value + noise))
            content.append(
                score(id=f"i{k}", root=f"i{k}", metric="quality", judge=judge, value=judged)
            )
    name = write(content)
    agreement = seqit("compare", "--agreement", name, "-f", "jsonl").rows[-1]
    assert (agreement["answers"], agreement["kappas"][0]["judges"]) == (60, ["a", "b"])
    assert 0.8 < agreement["alpha"] < 1
    text = seqit("compare", "--agreement", name).out.decode()
    assert "b quality: scores of several judges are averaged: a, b" in text
    assert f"Cohen's kappa of a and b: {agreement['kappas'][0]['kappa']:.3f}" in text
    single = seqit("compare", "--agreement", write(content[::2]))
    assert single.code == 1
    assert "no answer in the files given has scores of two" in single.err


def test_equal_length_adds_adjusted_scores(seqit: Any, write: Callable[..., str]) -> None:
    name = write(rows())
    results = seqit("compare", "--equal-length", name, "-f", "jsonl").rows
    quality = {row["model"]: row for row in results if row["metric"] == "quality"}
    raw = quality[HOSTILE]["mean"] - quality["it"]["mean"]
    adjusted = quality[HOSTILE]["adjusted"] - quality["it"]["adjusted"]
    assert raw > 1
    assert abs(adjusted) < 0.6
    assert "adjusted" not in next(row for row in results if row["metric"] == "accuracy")
    text = seqit("compare", "--equal-length", name).out.decode()
    assert "seqeval quality: answers twice as long score +" in text


def test_annotations_give_scores_and_leaderboard_entries(
    seqit: Any, write: Callable[..., str], tmp_path: Path
) -> None:
    judged, reference, truth = short_model(60)
    content = [
        annotation(n, row.preference, output_1="x" * row.baseline_length,
                   output_2="y" * row.model_length)
        for n, row in enumerate(judged)
    ]  # fmt: skip
    content[7]["preference"] = None
    path = tmp_path / "annotations.json"
    path.write_bytes(orjson.dumps(content))
    ran = seqit("compare", path, "-f", "jsonl")
    win, controlled = ran.rows
    assert (win["benchmark"], win["metric"], win["n"], win["missing"]) == (
        "alpaca_eval",
        "win",
        59,
        1,
    )
    assert win["statuses"] == {"unparseable": 1}
    assert (controlled["metric"], controlled["complete"]) == ("length_controlled_win", False)
    assert "df\\_gamed.csv (--reference)" in seqit("compare", path).out.decode()
    csv = write_reference(tmp_path / "df_gamed.csv", reference)
    _, controlled = seqit("compare", path, "--reference", csv, "-f", "jsonl").rows
    assert controlled["complete"]
    assert 100 * controlled["mean"] == pytest.approx(truth, abs=1)
    del content[9]["generator_1"]
    path.write_bytes(orjson.dumps(content))
    ran = seqit("compare", path)
    assert ran.code == 1
    assert "annotations.json: generator_1: expected text, found null" in ran.err


def test_standard_input_is_a_source(seqit: Any) -> None:
    content = b"".join(orjson.dumps(row) + b"\n" for row in rows())
    named = seqit("compare", "it", "-f", "jsonl", "-", stdin=content)
    assert named.code == 0, named.err
    assert seqit("compare", "it", "-f", "jsonl", stdin=content).out == named.out
    assert [row["model"] for row in named.rows] == ["it", "it"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["itt", "{scores}"], 2, "there is no score of a model 'itt' (did you mean 'it'?)"),
        (["it", "missing.jsonl"], 2, "missing.jsonl does not exist"),
        (["{other}"], 1, "there are no scores in the files given"),
        (["{scores}", "--reference", "{other}"], 1, "the column index is missing"),
        (["{scores}", "-o", "table.docx"], 2, "give --format, or a name that ends in .md"),
        (["{scores}", "--test", "mcnemar"], 1, "McNemar's test needs scores of 0 or 1"),
    ],
)
def test_errors_of_a_comparison_have_a_message(
    args: list[str], code: int, message: str, write: Callable[..., str]
) -> None:
    names = {"scores": write(rows()), "other": write([{"x": 1}], "other.jsonl")}
    ran = CliRunner().invoke(command, [arg.format(**names) for arg in args])
    assert (ran.exit_code, ran.stdout) == (code, "")
    assert message in " ".join(ran.stderr.split())


def test_the_same_input_gives_the_same_bytes(seqit: Any, write: Callable[..., str]) -> None:
    name = write(rows())
    line = ["compare", name, "--interval", "bootstrap", "--test", "permutation", "-f", "jsonl"]
    first = seqit(*line)
    assert first.rows[-1]["test"] == "permutation"
    assert seqit(*line).out == first.out
