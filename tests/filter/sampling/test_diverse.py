"""filter --diverse: a subset of tasks that differ, farthest points first."""

import json
import random
from array import array

import numpy as np
import pytest

from seqit.commands import _filter_sampling as _drawing
from seqit.errors import SeqitError
from seqit.filter.recipe import FilterRecipe
from seqit.filter.sampling import diverse as dv
from seqit.filter.verbs import phrase_of
from seqit.records.identity import content_id
from seqit.records.run_stats import Row, RunStats

THEMES = ["cats", "prime numbers", "old castles", "rain in spring", "ship engines", "tax law"]


def rows_of(count: int) -> list[Row]:
    rows = []
    for n in range(count):
        theme = THEMES[n % len(THEMES)]
        value = {"instruction": f"Write about {theme}, number {n % 7}.", "input": "", "output": "x"}
        value = {"id": content_id(value), **value}
        value["lineage"] = {"root": value["id"], "iteration": 0, "operation": "seed"}
        rows.append(Row(value, "a", n + 1))
    return rows


def points_of(count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, dv.WIDTH))
    points *= dv.LENGTH / np.linalg.norm(points, axis=1)[:, None]
    return np.rint(points).astype(np.float32)


def slow_greedy(points, first, count):
    """The definition, in whole numbers: always the point farthest from all that are drawn."""
    exact = points.astype(np.int64)
    drawn = [first]
    while len(drawn) < min(count, len(points)):
        away = [min(int(((x - exact[d]) ** 2).sum()) for d in drawn) for x in exact]
        for place in drawn:
            away[place] = -1
        drawn.append(max(range(len(exact)), key=lambda i: (away[i], -i)))
    return drawn


@pytest.mark.parametrize("block", [7, 1 << 14])
def test_it_is_greedy_k_center_to_the_bit(block, monkeypatch):
    monkeypatch.setattr(dv, "BLOCK", block)
    points = points_of(60)
    points[40:45] = points[3]  # copies
    lots = array("Q", [9] * 60)
    lots[17] = 1
    drawn, away = dv.choose(points, lots, 20)
    expected = slow_greedy(points, 17, 20)
    assert np.flatnonzero(drawn).tolist() == sorted(expected)
    exact = points.astype(np.int64)
    nearest = [min(((x - exact[d]) ** 2).sum() for d in expected) ** 0.5 for x in exact]
    assert away == pytest.approx(np.array(nearest) / dv.LENGTH, abs=1e-5)


@pytest.mark.parametrize("count", [1, 5, 59, 60, 100])
@pytest.mark.parametrize("steps", [100, 900, 1 << 29])
def test_it_draws_as_many_as_were_asked_for(count, steps, monkeypatch):
    monkeypatch.setattr(dv, "STEPS", steps)
    points = points_of(60)
    points[30:50] = points[3]
    drawn, away = dv.choose(points, array("Q", range(60)), count)
    assert drawn.sum() == min(count, 60)
    assert (away[drawn] == 0).all() and np.isfinite(away).all()


def test_groups_cover_nearly_as_well(monkeypatch):
    centers = points_of(40, seed=1)
    points = np.rint(centers[np.arange(800) % 40] + points_of(800, seed=2) * 0.2)
    points = points.astype(np.float32)
    lots = array("Q", range(800))
    _, whole = dv.choose(points, lots, 60)
    monkeypatch.setattr(dv, "STEPS", 10_000)
    _, parted = dv.choose(points, lots, 60)
    assert parted.max() <= 1.25 * whole.max() < 0.5


def draw(rows, count, seed=0):
    stats = RunStats("filter")
    stats.read = len(rows)
    drawn = list(dv.diverse(iter(rows), stats, count=count, seed=seed))
    stats.written = len(drawn)
    stats.close()
    return drawn, stats


def test_every_theme_comes_before_a_second_of_one():
    rows = rows_of(len(THEMES) * 7)
    drawn, stats = draw(rows, len(THEMES))
    themes = {theme for row in drawn for theme in THEMES if theme in row.value["instruction"]}
    assert themes == set(THEMES)
    assert stats.results["diverse"]["drawn"] == len(THEMES)
    assert stats.reasons["diverse", "not-diverse"] == len(rows) - len(THEMES)


def test_the_same_seed_draws_the_same_in_whatever_order():
    rows = rows_of(40)
    ids = sorted(row.value["id"] for row in draw(rows, 12)[0])
    assert sorted(row.value["id"] for row in draw(rows, 12)[0]) == ids
    random.Random(3).shuffle(rows)
    shuffled = {row.value["id"] for row in draw(rows, 12)[0]}
    assert len(shuffled & set(ids)) >= 10  # only equal distances are decided by the order


def test_an_embedding_is_whole_numbers_of_one_length():
    vectors = dv._whole(dv.hashed(["Write about cats, number 3.", " \n"]))
    assert vectors.dtype == np.float32 and (vectors == np.rint(vectors)).all()
    assert np.linalg.norm(vectors[0]) == pytest.approx(dv.LENGTH, rel=0.01)
    assert not vectors[1].any()


@pytest.mark.parametrize(
    ("instruction", "phrase"),
    [
        ("Write a short story about a dragon.", ("write", "story")),
        ("Please give me three tips for staying healthy", ("give", "tip")),
        ("Can you list the largest cities in France?", ("list", "city")),
        ("Could you please describe the process of photosynthesis?", ("describe", "process")),
        ("Explain how a lock works.", ("explain", "")),
        ("Your task is to translate these sentences into German", ("translate", "sentence")),
        ("Classify: apple, car", ("classify", "")),
        ("What is the capital of Peru?", ("question", "")),
        ("The cat sat on the mat. Who sat?", ("other", "")),
        ("2 + 2 =", ("other", "")),
        ("", ("other", "")),
    ],
)
def test_verb_and_object(instruction, phrase):
    assert phrase_of(instruction) == phrase


def test_the_table_of_verbs(seqit, tmp_path):
    texts = ["Write a poem.", "Write a story.", "Write two poems.", "List ten birds."]
    rows = [{"instruction": text, "output": "So."} for text in texts]
    given = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    ran = seqit("filter", "--verbs", "--manifest", tmp_path / "m", stdin=given)
    assert ran.out.count(b"\n") == 4
    assert ran.err.splitlines()[1:] == [
        "seqit filter: verb        rows  objects",
        "seqit filter: write          3  poem 2, story 1",
        "seqit filter: list           1  bird 1",
    ]
    told = json.loads((tmp_path / "m").read_bytes())["counts"]["verbs"]
    assert told["write"] == {"rows": 3, "objects": {"poem": 2, "story": 1}}


def test_without_numpy_the_sentence_names_what_to_install(monkeypatch):
    monkeypatch.setattr(_drawing, "find_spec", lambda name: None)
    with pytest.raises(SeqitError, match=r"pip install 'seqit\[near\]'"):
        _drawing.sampling_for(FilterRecipe((), diverse=3))
    assert _drawing.sampling_for(FilterRecipe(())) == []


def test_the_command_in_one_process_and_in_two(tmp_path, seqit):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(json.dumps(r.value).encode() + b"\n" for r in rows_of(30)))
    args = ("filter", path, "--diverse", 10, "--seed", 4, "--manifest", tmp_path / "m")
    ran = seqit(*args, "--workers", 1)
    assert len(ran.rows) == 10 and "drew 10 of 30 rows" in ran.err
    assert json.loads((tmp_path / "m").read_bytes())["counts"]["diverse"]["rows"] == 30
    assert seqit(*args, "--workers", 2).out == ran.out
    assert seqit("filter", "--diverse", 3, stdin=b"").err.count("drew 0 of 0") == 1
