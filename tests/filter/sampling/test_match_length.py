"""filter --match-length: a subset whose output lengths match the baseline's."""

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


def sample(lengths, baseline, seed=0, shuffle=False):
    rows = rows_of(lengths)
    if shuffle:
        random.Random(1).shuffle(rows)
    stats = RunStats("filter")
    stats.read = len(rows)
    wanted = Counter(baseline)
    sampled = list(
        ml.match_length(iter(rows), stats, baseline=wanted, length_function=ml.WORDS, seed=seed)
    )
    stats.written = len(sampled)
    stats.close()
    return sampled, stats


def normal(mean, deviation, count, seed):
    rng = random.Random(seed)
    return [max(0, round(rng.gauss(mean, deviation))) for _ in range(count)]


def test_lengths_match_the_baseline():
    baseline, longer = normal(60, 20, 2000, 1), normal(84, 28, 4000, 2)
    sampled, stats = sample(longer, baseline)
    report = stats.results["match_length"]
    assert report["before"]["distance"] > 0.3
    assert report["after"]["distance"] < 0.02
    assert abs(report["after"]["mean"] - report["baseline"]["mean"]) < 0.5
    assert report["after"]["rows"] == len(sampled) > 700
    assert stats.reasons["match-length", "length-unmatched"] == 4000 - len(sampled)


def test_the_sample_depends_only_on_seed_and_ids():
    baseline, longer = normal(60, 20, 300, 1), normal(84, 28, 600, 2)
    one, _ = sample(longer, baseline)
    other, _ = sample(longer, baseline, shuffle=True)
    assert sorted(row.value["id"] for row in one) == sorted(row.value["id"] for row in other)
    third, _ = sample(longer, baseline, seed=1)
    assert {row.value["id"] for row in one} != {row.value["id"] for row in third}
    assert [row.line for row in one] == sorted(row.line for row in one)


def test_the_same_distribution_keeps_all():
    lengths = normal(60, 20, 500, 1)
    sampled, stats = sample(lengths, lengths)
    assert len(sampled) == 500
    assert stats.results["match_length"]["after"]["distance"] == 0


lengths = st.lists(st.integers(0, 60), min_size=1, max_size=120)


@given(lengths, lengths)
def test_quotas_are_available_and_in_proportion(baseline, longer):
    wanted, lengths_found = Counter(baseline), Counter(longer)
    edges = ml.bin_edges(wanted)
    assert edges == sorted(set(edges)) and edges[0] == min(baseline) - 1
    assert edges[-1] == max(baseline)
    counts = ml.bin_counts(wanted, edges)
    assert sum(counts) == len(baseline) and min(counts) > 0
    available = Counter(ml.bin_of(length, edges) for length in lengths_found.elements())
    quotas = ml.plan_quotas(counts, available)
    assert all(0 <= quota <= available[bin_index] for bin_index, quota in quotas.items())
    size = sum(quotas.values())
    total = sum(counts[bin_index] for bin_index in quotas)
    for bin_index, quota in quotas.items():
        assert quota - size * counts[bin_index] / total <= 1 + ml.MAX_SHORTFALL * size
    sampled, _ = sample(longer, baseline)
    assert len(sampled) == size


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
    report = json.loads((tmp_path / "m").read_bytes())
    after = report["counts"]["match_length"]["after"]
    assert after["rows"] == len(ran.rows) == report["written"]
    assert after["distance"] < 0.05
    assert f"{after['mean']:.1f} after" in ran.err
    rejects = [json.loads(line) for line in (tmp_path / "r").read_bytes().splitlines()]
    assert {each["reason"] for each in rejects} == {"length-unmatched"}
    assert rejects[0]["evidence"]["unit"] == "words"
    assert seqit("filter", rows, *args[2:], "--workers", 2).out == ran.out
    # Also within a pipe.
    pipe = f"filter -q {rows} --no-defaults --match-length {base} | validate -o -"
    assert seqit("pipe", pipe).out == ran.out


def test_invalid_baselines_are_errors(tmp_path, seqit):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "bad.jsonl").write_bytes(b"{}\n")
    rows = write(tmp_path / "rows.jsonl", [1, 2])
    for name, message in (
        ("empty.jsonl", "no records to match the length of"),
        ("bad.jsonl", "bad.jsonl:1: "),
        ("none.jsonl", "no such file"),
    ):
        ran = seqit("filter", rows, "--match-length", tmp_path / name)
        assert ran.code == 1 and message in ran.err
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


def test_lengths_of_real_outputs_match(data, tmp_path, seqit):
    for model in ("alpaca-7b", "gpt-3.5-turbo-1106"):
        outputs = data / "alpacaeval" / model / "model_outputs.json"
        assert seqit("import", outputs, "-o", tmp_path / f"{model}.jsonl").code == 0
    args = ("--no-defaults", "--match-length", tmp_path / "alpaca-7b.jsonl")
    manifest = tmp_path / "m.json"
    ran = seqit("filter", tmp_path / "gpt-3.5-turbo-1106.jsonl", *args, "--manifest", manifest)
    report = json.loads(manifest.read_bytes())["counts"]["match_length"]
    assert report["before"]["distance"] > 0.3
    assert report["after"]["distance"] < 0.05
    assert report["after"]["rows"] == len(ran.rows) > 100
