"""filter --diverse: a diverse subset by greedy k-center; and the verbs of instructions."""

import json
import random
from array import array

import numpy as np
import pytest

from seqit.commands import _filter_sampling
from seqit.errors import SeqitError
from seqit.filter.recipe import FilterRecipe
from seqit.filter.sampling import diverse as dv
from seqit.filter.verbs import verb_and_object
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
    points = rng.normal(size=(count, dv.EMBEDDING_SIZE))
    points *= dv.EMBEDDING_SCALE / np.linalg.norm(points, axis=1)[:, None]
    return np.rint(points).astype(np.float32)


def greedy_k_center(points, first, count):
    """The definition, in integers: the next point is the one farthest from all selected ones."""
    exact = points.astype(np.int64)
    selected = [first]
    while len(selected) < min(count, len(points)):
        distances = [min(int(((x - exact[d]) ** 2).sum()) for d in selected) for x in exact]
        for index in selected:
            distances[index] = -1
        selected.append(max(range(len(exact)), key=lambda i: (distances[i], -i)))
    return selected


@pytest.mark.parametrize("block_size", [7, 1 << 14])
def test_the_selection_is_exactly_greedy_k_center(block_size, monkeypatch):
    monkeypatch.setattr(dv, "BLOCK_SIZE", block_size)
    points = points_of(60)
    points[40:45] = points[3]  # copies
    hashes = array("Q", [9] * 60)
    hashes[17] = 1
    selected, distances = dv.select_farthest(points, hashes, 20)
    expected = greedy_k_center(points, 17, 20)
    assert np.flatnonzero(selected).tolist() == sorted(expected)
    exact = points.astype(np.int64)
    nearest = [min(((x - exact[d]) ** 2).sum() for d in expected) ** 0.5 for x in exact]
    assert distances == pytest.approx(np.array(nearest) / dv.EMBEDDING_SCALE, abs=1e-5)


@pytest.mark.parametrize("count", [1, 5, 59, 60, 100])
@pytest.mark.parametrize("max_distances", [100, 900, 1 << 29])
def test_the_requested_number_is_selected(count, max_distances, monkeypatch):
    monkeypatch.setattr(dv, "MAX_DISTANCES", max_distances)
    points = points_of(60)
    points[30:50] = points[3]
    selected, distances = dv.select_farthest(points, array("Q", range(60)), count)
    assert selected.sum() == min(count, 60)
    assert (distances[selected] == 0).all() and np.isfinite(distances).all()


def test_groups_cover_nearly_as_well(monkeypatch):
    centers = points_of(40, seed=1)
    points = np.rint(centers[np.arange(800) % 40] + points_of(800, seed=2) * 0.2)
    points = points.astype(np.float32)
    hashes = array("Q", range(800))
    _, whole = dv.select_farthest(points, hashes, 60)
    monkeypatch.setattr(dv, "MAX_DISTANCES", 10_000)
    _, parted = dv.select_farthest(points, hashes, 60)
    assert parted.max() <= 1.25 * whole.max() < 0.5


def select(rows, count, seed=0):
    stats = RunStats("filter")
    stats.read = len(rows)
    selected = list(dv.select_diverse(iter(rows), stats, count=count, seed=seed))
    stats.written = len(selected)
    stats.close()
    return selected, stats


def test_every_theme_is_selected_once_before_any_twice():
    rows = rows_of(len(THEMES) * 7)
    selected, stats = select(rows, len(THEMES))
    themes = {theme for row in selected for theme in THEMES if theme in row.value["instruction"]}
    assert themes == set(THEMES)
    assert stats.results["diverse"]["drawn"] == len(THEMES)
    assert stats.reasons["diverse", "not-diverse"] == len(rows) - len(THEMES)


def test_the_same_seed_selects_nearly_the_same_rows_in_any_order():
    rows = rows_of(40)
    ids = sorted(row.value["id"] for row in select(rows, 12)[0])
    assert sorted(row.value["id"] for row in select(rows, 12)[0]) == ids
    random.Random(3).shuffle(rows)
    shuffled = {row.value["id"] for row in select(rows, 12)[0]}
    assert len(shuffled & set(ids)) >= 10  # the order decides only between equal distances


def test_embeddings_are_integers_of_one_norm():
    vectors = dv._to_integers(dv.embed_hashed(["Write about cats, number 3.", " \n"]))
    assert vectors.dtype == np.float32 and (vectors == np.rint(vectors)).all()
    assert np.linalg.norm(vectors[0]) == pytest.approx(dv.EMBEDDING_SCALE, rel=0.01)
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
    assert verb_and_object(instruction) == phrase


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
    verbs = json.loads((tmp_path / "m").read_bytes())["counts"]["verbs"]
    assert verbs["write"] == {"rows": 3, "objects": {"poem": 2, "story": 1}}


def test_without_numpy_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(_filter_sampling, "find_spec", lambda name: None)
    with pytest.raises(SeqitError, match=r"pip install 'seqit\[near\]'"):
        _filter_sampling.sampling_for(FilterRecipe((), diverse=3))
    assert _filter_sampling.sampling_for(FilterRecipe(())) == []


def test_the_command_gives_the_same_in_one_process_and_in_two(tmp_path, seqit):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(json.dumps(r.value).encode() + b"\n" for r in rows_of(30)))
    args = ("filter", path, "--diverse", 10, "--seed", 4, "--manifest", tmp_path / "m")
    ran = seqit(*args, "--workers", 1)
    assert len(ran.rows) == 10 and "selected 10 of 30 rows" in ran.err
    assert json.loads((tmp_path / "m").read_bytes())["counts"]["diverse"]["rows"] == 30
    assert seqit(*args, "--workers", 2).out == ran.out
    assert seqit("filter", "--diverse", 3, stdin=b"").err.count("selected 0 of 0") == 1
