"""The rule retained: a chain has all content of its parent."""

import json

import orjson
import pytest

from seqit.errors import SeqitError, UsageError
from seqit.filter import parse_rule
from seqit.filter.engine import apply
from seqit.records.run_stats import Row, RunStats

SEED = "Ann has 3 apples and buys 14 more. How many apples does she have?"


def record(name, instruction, operation="seed", given_input="", **lineage):
    lineage = {"root": "s1", "iteration": 0, "operation": operation} | lineage
    fields = {"id": name, "instruction": instruction, "input": given_input, "output": "17"}
    return fields | {"lineage": lineage}


@pytest.fixture
def rule(tmp_path):
    rows = [
        record("s1", SEED),
        record(
            "s2", "Sum up the text.", given_input="In 1969 men walked on the `moon`.", root="s2"
        ),
        record("p1", f"{SEED} Then double it.", "suffix", parent="s1", iteration=1),
    ]
    file = tmp_path / "seeds.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return lambda options="": parse_rule(f"retained:against={file}{options}")


def lost(rule, *args, **more):
    rejection = rule.check(record("c", *args, **more))
    return rejection and [(each["kind"], each["text"]) for each in rejection.evidence["lost"]]


@pytest.mark.parametrize(
    ("instruction", "lineage", "expected"),
    [
        (f"{SEED} Then write the number in words.", {"parent": "s1"}, None),
        ("Ann has 3 apples and buys 14 more. Double the 3. How many apples has she?", {}, None),
        ("Ann has three apples and buys more. How many apples does she have? Double it.", {}, "14"),
        (f"{SEED} Then double it. Then halve it.", {"parent": "p1"}, None),
        ("Ann has 3 apples and buys more. Double them.", {"parent": "p1"}, "14"),
    ],
)
def test_a_chain_is_compared_with_its_parent(rule, instruction, lineage, expected):
    found = lost(rule(), instruction, "suffix", **lineage)
    assert (found is None) == (expected is None)
    assert expected is None or ("number", expected) in found


def test_the_input_of_the_parent_must_be_retained_too(rule):
    kept, changed = "In 1969 men walked on the `moon`.", "Men walked on the moon."
    lineage = {"root": "s2", "parent": "s2"}
    assert lost(rule(), "Sum up the text. Count its words.", "suffix", kept, **lineage) is None
    inside = f"Sum up the text. Count its words.\n\n{kept}"
    assert lost(rule(), inside, "suffix", **lineage) is None
    found = lost(rule(), "Sum up the text. Count its words.", "suffix", changed, **lineage)
    assert ("number", "1969") in found


def test_the_evidence_names_what_was_compared(rule):
    rejection = rule().check(record("c", "Count to ten.", "prefix", parent="gone"))
    assert rejection.reason == "content-lost"
    assert rejection.evidence["root"] == "s1" and "parent" not in rejection.evidence
    assert rejection.evidence["count"] >= len(rejection.evidence["lost"]) >= 2
    assert "its root s1" in rejection.message


@pytest.mark.parametrize("operation", ["seed", "keep", "translate", "paraphrase", "evolve"])
def test_only_chains_are_compared(rule, operation):
    assert lost(rule(",strict=true"), "Something else.", operation, parent="gone") is None


def test_unknown_parents_pass_and_are_counted(rule):
    rows = [
        record("a", "One.", "suffix", parent="x", root="y"),
        record("b", "Two.", "suffix", parent="z", root="z"),
        record("c", SEED),
        record("d", f"{SEED} Why?", "suffix", parent="s1"),
    ]
    lenient, stats = rule(), RunStats("filter")
    assert len(list(apply((Row(row) for row in rows), [lenient], stats))) == 4
    counts = {"seen": 4, "removed": 0, "unknown-parent": 2, "known": 3}
    assert stats.results["rules"] == {str(lenient): counts}
    rejection = rule(",strict=true").check(rows[0])
    assert rejection.reason == "unknown-parent" and rejection.evidence == {"sought": ["x", "y"]}


def test_missing_and_invalid_files(tmp_path):
    with pytest.raises(UsageError, match="name the seeds"):
        parse_rule("retained")
    with pytest.raises(SeqitError, match="no such file"):
        parse_rule(f"retained:against={tmp_path / 'none'}")
    (tmp_path / "broken").write_bytes(b'{"output": "x"}\n')
    with pytest.raises(SeqitError, match="instruction"):
        parse_rule(f"retained:against={tmp_path / 'broken'}")


def test_workers_give_the_same(seqit, tmp_path):
    filler = "word " * 200
    seeds, chains = [], []
    for n in range(2500):
        seeds.append(record(f"s{n}", f"Add {n} and {n + 7}.", root=f"s{n}"))
        text = f"Add {n} and {n + 7 if n % 10 else 'more'}. Double it."
        lineage = {"root": f"s{n}", "parent": f"s{n}" if n % 3 else "gone"}
        chains.append(record(f"c{n}", text, "suffix", **lineage) | {"output": filler})
    for name, rows in (("seeds", seeds), ("chains", chains)):
        (tmp_path / name).write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    runs = []
    for workers in (1, 3):
        files = [tmp_path / f"{kind}{workers}" for kind in ("rejects", "manifest")]
        command = ("--no-defaults", "-r", "retained:against=seeds", "chains", "--workers", workers)
        ran = seqit(
            *("filter", *command, "--rejects", files[0], "--manifest", files[1]), cwd=tmp_path
        )
        runs.append((ran, *(file.read_bytes() for file in files)))
    assert runs[0] == runs[1]
    counts = json.loads(runs[0][2])["counts"]["rules"]["retained:against=seeds"]
    assert counts == {"seen": 2500, "removed": 250, "known": 2500}


def test_builtin_chains_of_flancot_retain_everything(data, seqit, tmp_path):
    seeds = seqit("import", data / "flancot" / "strategyqa_train.tsv").out
    (tmp_path / "seeds.jsonl").write_bytes(seeds)
    chains = seqit("augment", "--iterations", 2, stdin=seeds).out
    rule = f"retained:against={tmp_path / 'seeds.jsonl'},strict=true"
    assert seqit("filter", "--no-defaults", "-r", rule, stdin=chains).out == chains


def test_losses_in_real_rewritings_are_found(data, tmp_path):
    """The first iteration of SeqEval, where many prefixes replaced the question."""
    items = json.loads((data / "seqeval" / "seqEval_iteration_1.json").read_bytes())
    seeds = [record(f"s{n}", item["ori_instruction"]) for n, item in enumerate(items)]
    file = tmp_path / "seeds.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in seeds))
    rule = parse_rule(f"retained:against={file}")
    kept = [
        rule.check(record("c", item["seq_instruction"], "decompose", parent=f"s{n}")) is None
        for n, item in enumerate(items)
    ]
    assert 0.5 * len(items) < sum(kept) < len(items)
