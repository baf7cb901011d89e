"""filter --match-length: a subset whose outputs are as long as the baseline's."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqit.filter.sampling import match_length as ml
from seqit.records.identity import content_id
from seqit.records.run_stats import Row, RunStats


def rows_of(lengths) -> list[Row]:
    rows = []
    for n, length in enumerate(lengths):
        value = {"instruction": f"Say {n}.", "input": "", "output": "word " * length}
        value = {"id": content_id(value), **value}
        value["lineage"] = {"root": value["id"], "iteration": 0, "operation": "seed"}
        rows.append(Row(value, "a", n + 1))
    return rows


def draw(lengths, baseline, seed=0, shuffle=False):
    rows = rows_of(lengths)
    if shuffle:
        random.Random(1).shuffle(rows)
    stats = RunStats("filter")
    stats.read = len(rows)
    wanted = Counter(baseline)
    drawn = list(ml.match_length(iter(rows), stats, baseline=wanted, measure=ml.WORDS, seed=seed))
    stats.written = len(drawn)
    stats.close()
    return drawn, stats


def normal(mean, deviation, count, seed):
    rng = random.Random(seed)
    return [max(0, round(rng.gauss(mean, deviation))) for _ in range(count)]


def test_the_confound_is_gone():
    baseline, longer = normal(60, 20, 2000, 1), normal(84, 28, 4000, 2)
    drawn, stats = draw(longer, baseline)
    told = stats.results["match_length"]
    assert told["before"]["distance"] > 0.3
    assert told["after"]["distance"] < 0.02
    assert abs(told["after"]["mean"] - told["baseline"]["mean"]) < 0.5
    assert told["after"]["rows"] == len(drawn) > 700
    assert stats.reasons["match-length", "length-unmatched"] == 4000 - len(drawn)


def test_what_is_drawn_depends_on_seed_and_ids_alone():
    baseline, longer = normal(60, 20, 300, 1), normal(84, 28, 600, 2)
    one, _ = draw(longer, baseline)
    other, _ = draw(longer, baseline, shuffle=True)
    assert sorted(row.value["id"] for row in one) == sorted(row.value["id"] for row in other)
    third, _ = draw(longer, baseline, seed=1)
    assert {row.value["id"] for row in one} != {row.value["id"] for row in third}
    assert [row.line for row in one] == sorted(row.line for row in one)


def test_the_same_distribution_keeps_all():
    lengths = normal(60, 20, 500, 1)
    drawn, stats = draw(lengths, lengths)
    assert len(drawn) == 500
    assert stats.results["match_length"]["after"]["distance"] == 0


lengths = st.lists(st.integers(0, 60), min_size=1, max_size=120)


@given(lengths, lengths)
def test_quotas_are_within_what_there_is_and_in_proportion(baseline, longer):
    wanted, there = Counter(baseline), Counter(longer)
    edges = ml.bin_edges(wanted)
    assert edges == sorted(set(edges)) and edges[0] == min(baseline) - 1
    assert edges[-1] == max(baseline)
    counts = ml.bin_counts(wanted, edges)
    assert sum(counts) == len(baseline) and min(counts) > 0
    available = Counter(ml.bin_of(length, edges) for length in there.elements())
    quotas = ml.plan_quotas(counts, available)
    assert all(0 <= quota <= available[place] for place, quota in quotas.items())
    size = sum(quotas.values())
    total = sum(counts[place] for place in quotas)
    for place, quota in quotas.items():
        assert quota - size * counts[place] / total <= 1 + ml.SHORTFALL * size
    drawn, _ = draw(longer, baseline)
    assert len(drawn) == size


def test_the_distance_is_that_of_kolmogorov_and_smirnov():
    assert ml.distance(Counter([1, 2, 3, 4]), Counter([3, 4, 5, 6])) == 0.5
    assert ml.distance(Counter([1, 1, 2]), Counter([1, 2])) == pytest.approx(1 / 6)
    assert ml.distance(Counter([1]), Counter()) == 1


def write(path, lengths):
    path.write_bytes(b"".join(json.dumps(row.value).encode() + b"\n" for row in rows_of(lengths)))
    return path


def test_the_command_reports_and_rejects(tmp_path, seqit):
    base = write(tmp_path / "it.jsonl", normal(6, 2, 300, 1))
    rows = write(tmp_path / "sit.jsonl", normal(9, 3, 600, 2))
    args = ("filter", rows, "--no-defaults", "--match-length", base)
    ran = seqit(*args, "--rejects", tmp_path / "r", "--manifest", tmp_path / "m", "--workers", 1)
    told = json.loads((tmp_path / "m").read_bytes())
    after = told["counts"]["match_length"]["after"]
    assert after["rows"] == len(ran.rows) == told["written"]
    assert after["distance"] < 0.05
    assert f"{after['mean']:.1f} after" in ran.err
    rejects = [json.loads(line) for line in (tmp_path / "r").read_bytes().splitlines()]
    assert {each["reason"] for each in rejects} == {"length-unmatched"}
    assert rejects[0]["evidence"]["unit"] == "words"
    assert seqit("filter", rows, *args[2:], "--workers", 2).out == ran.out
    # In the middle of a pipe, too.
    pipe = f"filter -q {rows} --no-defaults --match-length {base} | validate -o -"
    assert seqit("pipe", pipe).out == ran.out


def test_a_baseline_that_is_none_gets_a_sentence(tmp_path, seqit):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "bad.jsonl").write_bytes(b"{}\n")
    rows = write(tmp_path / "rows.jsonl", [1, 2])
    for name, sentence in (
        ("empty.jsonl", "no records to match the length of"),
        ("bad.jsonl", "bad.jsonl:1: "),
        ("none.jsonl", "no such file"),
    ):
        ran = seqit("filter", rows, "--match-length", tmp_path / name)
        assert ran.code == 1 and sentence in ran.err
    ran = seqit("filter", rows, "--tokenizer", "t.json")
    assert ran.code == 2 and "--match-length" in ran.err


def test_tokens_instead_of_words(tmp_path, seqit):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"word": 0, "?": 1}, "?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "t.json"))
    rows = write(tmp_path / "rows.jsonl", [1, 2, 3])
    args = ("--match-length", rows, "--tokenizer", tmp_path / "t.json", "--no-defaults")
    ran = seqit("filter", rows, *args)
    assert len(ran.rows) == 3
    assert "output length in tokens: mean 10.0" in ran.err


def test_on_real_outputs_the_difference_in_length_goes(data, tmp_path, seqit):
    for model in ("alpaca-7b", "gpt-3.5-turbo-1106"):
        outputs = data / "alpacaeval" / model / "model_outputs.json"
        assert seqit("import", outputs, "-o", tmp_path / f"{model}.jsonl").code == 0
    args = ("--no-defaults", "--match-length", tmp_path / "alpaca-7b.jsonl")
    manifest = tmp_path / "m.json"
    ran = seqit("filter", tmp_path / "gpt-3.5-turbo-1106.jsonl", *args, "--manifest", manifest)
    told = json.loads(manifest.read_bytes())["counts"]["match_length"]
    assert told["before"]["distance"] > 0.3
    assert told["after"]["distance"] < 0.05
    assert told["after"]["rows"] == len(ran.rows) > 100
