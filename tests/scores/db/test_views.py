"""The derived views over scores: the same numbers as stats.interval, for every view."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.score_rows import HOSTILE, score

from seqit.errors import SeqitError
from seqit.records.validation import schema
from seqit.scores.compare import compare
from seqit.scores.db.database import Database
from seqit.scores.db.views import DERIVED_VIEWS
from seqit.scores.report.output import render
from seqit.scores.stats.interval import Estimate, mean_interval


def many(seed: int = 1) -> list[dict[str, Any]]:
    """Return scores of two models, some of them missing, several per root."""
    rng = random.Random(seed)
    rows = []
    for model in ("it", HOSTILE):
        for item in range(150):
            known = {
                "id": f"i{item}", "root": f"r{item // 3}", "model": model, "benchmark": "seqeval",
                "iteration": 1 + item % 4, "operation": ("prefix", "suffix")[item % 2],
            }  # fmt: skip
            for metric, value in (
                ("following", float(rng.random() < 0.7)), ("quality", rng.randint(1, 5)),
            ):  # fmt: skip
                reason = rng.choice(["refused", "unparseable", "failed"])
                is_missing = rng.random() < 0.1
                rows.append(score(
                    **known, metric=metric, judge="openai:judge",
                    value=None if is_missing else value, status=reason if is_missing else "scored",
                ))  # fmt: skip
            rows += [
                score(
                    **known, metric="step", judge="openai:judge", position=position, chain=2,
                    value=float(rng.random() < 0.9 / position),
                )
                for position in (1, 2)
            ]  # fmt: skip
    rows.append(score(metric="reward", value=-0.5, benchmark="alone"))
    rows.append(score(metric="quality", benchmark="lost", value=None, status="failed"))
    del rows[-1]["benchmark"]
    return rows


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def give(rows: Any, name: str = "scores.jsonl") -> str:
        path = tmp_path / name
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        return str(path)

    return give


def fetch(query: str, *names: str) -> list[dict[str, Any]]:
    with Database(names) as database:
        return [json.loads(line) for line in render(database.query(query), "jsonl")]


def expected(rows: list[dict[str, Any]], *by: str) -> dict[tuple[Any, ...], Estimate]:
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row.get(name) for name in by)].append(row)
    return {
        key: mean_interval([row["value"] for row in own], [row["root"] for row in own])
        for key, own in groups.items()
    }


@pytest.mark.parametrize(
    ("view", "more"),
    [
        ("summary", ()), ("by_iteration", ("iteration",)), ("by_operation", ("operation",)),
        ("by_position", ("chain", "position")), ("by_chain", ("chain",)),
    ],
)  # fmt: skip
def test_a_view_has_the_intervals_of_the_formulas(
    view: str, more: tuple[str, ...], write: Callable[..., str]
) -> None:
    rows = many()
    by = ("model", "benchmark", "metric", *more)
    wanted = expected([row for row in rows if not more or more[-1] in row], *by)
    found = fetch(f"FROM {view}", write(rows))
    assert {tuple(row[name] for name in by) for row in found} == set(wanted)
    for row in found:
        known = wanted[tuple(row[name] for name in by)]
        assert (row["n"], row["missing"], row["roots"]) == (known.n, known.missing, known.roots)
        for name in ("mean", "error", "low", "high"):
            value = getattr(known, name)
            assert row[name] == (
                None if value is None else pytest.approx(value, rel=1e-7, abs=1e-9)
            )


def test_runs_are_counted(write: Callable[..., str]) -> None:
    name = write([
        score(training="a"), score(training="b"), score(training="c", value=None, status="failed"),
        score(training="a", metric="em"), score(metric="f1"), score(metric="f1", training="a"),
        score(metric="pass", value=None, status="failed"),
    ])  # fmt: skip
    found = {row["metric"]: row["runs"] for row in fetch("FROM summary", name)}
    assert found == {"accuracy": 2, "em": 1, "f1": 2, "pass": 0}
    with Database([name]) as database:
        results = compare(database).results.values()
    assert {result.task.metric: result.estimate.runs for result in results} == found


def test_t_is_accurate_for_few_and_many_roots(write: Callable[..., str]) -> None:
    rows = [
        score(model=f"m{n}", id=f"i{k}", root=f"i{k}", value=1 + k % 7, metric="quality")
        for n in (2, 3, 60, 61, 62, 200)
        for k in range(n)
    ]
    for row in fetch("FROM summary", write(rows)):
        known = mean_interval([1 + k % 7 for k in range(row["n"])])
        assert row["high"] == pytest.approx(known.high, rel=1e-7)


def test_a_quality_of_1_is_not_a_share(write: Callable[..., str]) -> None:
    values = {"quality": 1.0, "accuracy": 1.0}
    rows = [
        score(id=f"i{k}", root=f"i{k}", metric=metric, value=value)
        for k in range(20)
        for metric, value in values.items()
    ]
    low = {row["metric"]: row["low"] for row in fetch("FROM summary", write(rows))}
    assert low["quality"] == 1 > low["accuracy"] > 0.8


def test_rows_are_ordered_by_their_keys(write: Callable[..., str]) -> None:
    found = fetch("SELECT model, metric FROM summary WHERE benchmark = 'seqeval'", write(many()))
    keys = [(row["model"], row["metric"]) for row in found]
    assert keys == sorted(keys)
    assert len(keys) == 6


def test_control_items_are_only_in_judge_health(write: Callable[..., str]) -> None:
    controls = [
        ("quality", "good", 5), ("quality", "good", 3), ("quality", "empty", 1),
        ("quality", "empty", 2), ("quality", "off-topic", 2), ("quality", "off-topic", 5),
        ("quality", "step-dropped", 4), ("quality", "step-dropped", 5),
        ("following", "good", 1), ("following", "step-dropped", 1), ("following", "empty", 0),
        ("step", "good", 1), ("step", "off-topic", 1), ("step", "step-dropped", 1),
        ("win", "empty", 0), ("win", "off-topic", 0.5),
    ]  # fmt: skip
    rows = [score(metric="quality", value=3, judge="j"), score(metric="quality", judge="j",
            id="i2", root="r2", value=None, status="refused")]  # fmt: skip
    for n, (metric, control, value) in enumerate(controls):
        rows.append(score(metric=metric, control=control, value=value, judge="j", id=f"c{n}"))
    name = write(rows)
    assert fetch("SELECT n, mean FROM summary", name) == [{"n": 1, "mean": 3.0}]
    found = {
        (row["metric"], row["control"]): (row["n"], row["wrong"])
        for row in fetch("FROM judge_health", name)
    }
    assert found == {
        ("quality", None): (1, None), ("quality", "good"): (2, 0.5),
        ("quality", "empty"): (2, 0.5), ("quality", "off-topic"): (2, 0.5),
        ("quality", "step-dropped"): (2, 0.5), ("following", "good"): (1, 0),
        ("following", "step-dropped"): (1, 1), ("following", "empty"): (1, 0),
        ("step", "good"): (1, 0), ("step", "off-topic"): (1, 1),
        ("step", "step-dropped"): (1, None),
        ("win", "empty"): (1, 0), ("win", "off-topic"): (1, 1),
    }  # fmt: skip
    (row,) = fetch("FROM judge_health WHERE control IS NULL", name)
    assert (row["refused"], row["unparseable"], row["failed"]) == (0.5, 0, 0)


def test_judge_health_agrees_with_the_report_of_seqit_judge(write: Callable[..., str]) -> None:
    from seqit.evaluate.judges.controls import is_correct

    rows, wanted = [], {}
    for metric in ("quality", "quality_weighted", "following", "win", "step"):
        for control in ("good", "empty", "off-topic", "step-dropped"):
            scale = (1, 1.4, 2, 2.6, 3, 3.6, 4, 4.95, 5)
            for value in scale if metric.startswith("quality") else (0, 0.5, 1):
                row = score(metric=metric, control=control, value=value, judge=f"{value}")
                row["position"] = 1
                rows.append(row)
                wanted[metric, control, f"{value}"] = is_correct(row, 2)
    for row in fetch("FROM judge_health", write(rows)):
        right = wanted[row["metric"], row["control"], row["judge"]]
        assert row["wrong"] == (None if right is None else float(not right)), row


def test_a_number_without_the_status_scored_is_missing(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [score(id=f"i{n}", root=f"i{n}", value=1.0) for n in range(4)]
    rows[1] |= {"status": "unparseable"}
    rows[2] |= {"value": float("nan")}
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert fetch("SELECT n, missing, mean FROM summary", str(path)) == [
        {"n": 2, "missing": 2, "mean": 1.0}
    ]


def test_scores_of_several_judges_are_flagged(write: Callable[..., str]) -> None:
    name = write([score(judge="a"), score(judge="b"), score(judge="a", metric="em")])
    found = fetch("SELECT metric, several_judges FROM summary", name)
    assert found == [
        {"metric": "accuracy", "several_judges": True}, {"metric": "em", "several_judges": False},
    ]  # fmt: skip


def record(name: str, root: str, text: str) -> dict[str, Any]:
    return {
        "id": name, "instruction": text, "input": "", "output": "",
        "lineage": {"root": root, "iteration": int(name != root), "operation": "seed"},
    }  # fmt: skip


def test_a_score_is_traced_to_item_seed_and_training(
    write: Callable[..., str], tmp_path: Path
) -> None:
    training = tmp_path / "training.json"
    run = {"recipe": {"lora": True}, "base": {"model": "m"}, "data": {}, "steps": 12}
    training.write_text(json.dumps(run, indent=2))
    digest = hashlib.sha256(training.read_bytes()).hexdigest()
    scores = [
        score(id="i1", root="r1", training=digest), score(id="i2", root="r2", training="nowhere"),
        score(id="i1", root="r1", model="sit", training=str(training)),
    ]  # fmt: skip
    item = record("i2", "r2", "Translate it, then answer.")
    response = {
        "id": "i2", "model": "it", "sample": 0, "output": "Yes.", "finish": "stop", "item": item,
        "lineage": {"root": "r2", "iteration": 1, "operation": "prefix"},
    }  # fmt: skip
    assert schema("response").is_valid(response)
    names = [
        write(scores),
        write([record("r1", "r1", "Answer."), record("i1", "r1", "Repeat it, then answer.")], "r"),
        write([record("i1", "r1", "Repeat it, then answer.")], "again"),
        write([response], "responses"),
        str(training),
    ]
    query = (
        "SELECT id, item.instruction AS item, seed.instruction AS seed, run->>'steps' AS steps "
        "FROM traced ORDER BY id, model"
    )
    first = {"id": "i1", "item": "Repeat it, then answer.", "seed": "Answer.", "steps": "12"}
    assert fetch(query, *names) == [
        first, first,
        {"id": "i2", "item": "Translate it, then answer.", "seed": None, "steps": None},
    ]  # fmt: skip
    alone = fetch("SELECT id, item, seed, run FROM traced ORDER BY ALL", names[0])
    assert alone[0] == {"id": "i1", "item": None, "seed": None, "run": None}
    assert fetch("SELECT output, item.instruction AS asked FROM responses", names[3]) == [
        {"output": "Yes.", "asked": "Translate it, then answer."}
    ]


def test_following_by_iteration_and_operation_is_one_query(write: Callable[..., str]) -> None:
    rows = many()
    query = (
        "SELECT iteration, operation, avg(value) AS following FROM scores "
        "WHERE metric = 'following' AND model = 'it' GROUP BY ALL ORDER BY ALL"
    )
    found = fetch(query, write(rows))
    own = [r for r in rows if r["metric"] == "following" and r["model"] == "it"]
    wanted = expected(own, "iteration", "operation")
    assert {(r["iteration"], r["operation"]): r["following"] for r in found} == {
        key: pytest.approx(value.mean) for key, value in wanted.items()
    }


def test_without_scores_there_are_no_derived_views(write: Callable[..., str]) -> None:
    name = write([record("r1", "r1", "Answer.")], "records.jsonl")
    with Database([name]) as database:
        assert list(database.views()) == ["records"]
        with pytest.raises(
            SeqitError, match="summary is a view over scores: give a file of scores"
        ):
            database.query("FROM summary")


def test_a_file_cannot_replace_a_view(write: Callable[..., str]) -> None:
    names = [write(many()), *(write([{"x": 1}], f"{name}.jsonl") for name in DERIVED_VIEWS)]
    with Database(names) as database:
        assert {*DERIVED_VIEWS, *(f"{name}_2" for name in DERIVED_VIEWS)} < set(database.views())
    assert fetch("SELECT x FROM summary_2", *names) == [{"x": 1}]


def test_an_empty_file_gives_empty_views(write: Callable[..., str]) -> None:
    assert fetch("FROM summary", write([])) == []
    assert fetch("FROM traced", write([])) == []
