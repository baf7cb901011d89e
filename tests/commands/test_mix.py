"""seqit mix as a process: shards, the held-out file, the plan file, workers, a tokenizer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.mixing import record
from support.running import CommandResult

from seqit.errors import SeqitError, UsageError
from seqit.mix.tokens import load_token_counter
from seqit.records.writers.shards import open_shards

Seqit = Callable[..., CommandResult]
ROWS = 3000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of records, one of them large enough to be measured by workers."""
    path = tmp_path_factory.mktemp("mix")
    for name, words in (("sit", 200), ("it", 3)):
        lines = []
        for i in range(ROWS):
            value = record(f"{name}{i}", words + i % 7)
            value["lineage"] |= {"root": f"r{i // 2}", "operation": ("prefix", "keep")[i % 2]}
            lines.append(json.dumps(value))
        (path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return path


def number_of_rows(path: Path) -> int:
    from pyarrow import parquet

    return int(parquet.ParquetFile(path).metadata.num_rows)


def test_shards_contain_exactly_the_requested_rows(
    folder: Path, seqit: Seqit, tmp_path: Path
) -> None:
    args = ("mix", "sit.jsonl=0.3", "it.jsonl=0.7", "--rows", 2500, "--seed", 7)
    ran = seqit(*args, "-o", f"{tmp_path}/mixture/", "--shard-rows", 1000, cwd=folder)
    assert ran.code == 0, ran.err
    out = tmp_path / "mixture"
    parts = [f"part-0000{i}.parquet" for i in range(3)]
    assert sorted(path.name for path in out.iterdir()) == [*parts, "plan.json"]
    assert [number_of_rows(out / part) for part in parts] == [1000, 1000, 500]
    plan = json.loads((out / "plan.json").read_bytes())
    shards = [{"name": name, "rows": n} for name, n in zip(parts, (1000, 1000, 500), strict=True)]
    assert plan["shards"] == shards
    assert plan["sources"][0]["achieved"] == {
        "rows": 750,
        "tokens": plan["sources"][0]["achieved"]["tokens"],
        "share": 0.3,
    }
    whole = seqit(*args, cwd=folder)
    again = seqit("mix", *(out / part for part in parts), "--seed", 7, "-q")
    assert sorted(row["id"] for row in again.rows) == sorted(row["id"] for row in whole.rows)
    read = seqit("filter", "--no-defaults", "-r", "length:min_words=1", *(out / p for p in parts))
    assert [row["id"] for row in read.rows] == [row["id"] for row in whole.rows]
    # A second run replaces the folder, also with shards of another format.
    more = ("-o", out, "--shard-rows", 2000, "--shard-format", "jsonl.zst")
    assert seqit(*args, *more, cwd=folder).code == 0
    names = ["part-00000.jsonl.zst", "part-00001.jsonl.zst", "plan.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert list(tmp_path.iterdir()) == [out]  # no temporary folder is left


def test_a_folder_with_other_files_is_not_replaced(
    folder: Path, seqit: Seqit, tmp_path: Path
) -> None:
    ran = seqit("mix", "it.jsonl", "-o", folder, "--shard-rows", 10, cwd=folder)
    assert ran.code == 1
    assert "contains other files (it.jsonl)" in ran.err
    assert (folder / "it.jsonl").exists()
    ran = seqit("mix", "it.jsonl", "-o", f"{tmp_path}/", cwd=folder)
    assert ran.code == 2
    assert "is a folder; give the size of its shards with --shard-rows" in ran.err
    assert seqit("mix", "it.jsonl", "--shard-rows", 10, cwd=folder).code == 2
    ran = seqit("mix", "it.jsonl", "-o", tmp_path / "a.parquet", "--shard-rows", 9, cwd=folder)
    assert ran.code == 2


def test_an_error_while_writing_shards_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "out"

    def write(rows: int, error: Exception | None = None) -> None:
        with open_shards(f"{target}/", 2, "jsonl", lambda shards: {}) as shards:
            for i in range(rows):
                shards.write(b"%d" % i, i)
            if error:
                raise error

    with pytest.raises(KeyError):
        write(3, KeyError())
    assert list(tmp_path.iterdir()) == []
    write(5)
    with pytest.raises(OSError, match="full"):
        write(3, OSError("full"))
    assert list(tmp_path.iterdir()) == [target]
    contents = [path.read_text() for path in sorted(target.iterdir())]
    assert contents == ["0\n1\n", "2\n3\n", "4\n"]
    write(0)
    assert [path.name for path in target.iterdir()] == ["part-00000.jsonl"]
    with pytest.raises(SeqitError, match="does not exist"):
        next(iter(open_shards(f"{tmp_path}/no/out", 2, "jsonl", lambda s: {}).gen))  # type: ignore[attr-defined]
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        next(iter(open_shards(f"{tmp_path}/file", 2, "jsonl", lambda s: {}).gen))  # type: ignore[attr-defined]


def test_the_held_out_file_the_plan_and_the_manifest_agree(
    folder: Path, seqit: Seqit, tmp_path: Path
) -> None:
    args = ("mix", "sit.jsonl=0.5", "it.jsonl=0.5", "--rows", 1000, "--stratify", "operation=equal")
    targets = ("--held-out", tmp_path / "test.jsonl=0.1", "--plan-file", tmp_path / "plan.json")
    reports = ("--manifest", tmp_path / "manifest", "--rejects", tmp_path / "rejects")
    ran = seqit(*args, *targets, *reports, cwd=folder)
    assert ran.code == 0, ran.err
    held_out = [json.loads(line) for line in (tmp_path / "test.jsonl").read_bytes().splitlines()]
    roots = {row["lineage"]["root"] for row in held_out}
    assert not roots & {row["lineage"]["root"] for row in ran.rows}
    assert len(held_out) == 4 * len(roots)  # two rows in each file
    manifest = json.loads((tmp_path / "manifest").read_bytes())
    assert manifest["held_out"] == len(held_out)
    outcomes = manifest["written"] + manifest["held_out"] + manifest["rejected"]
    assert manifest["read"] + manifest["added"] == outcomes
    assert seqit("validate", "--schema", "manifest", tmp_path / "manifest").code == 0
    plan = json.loads((tmp_path / "plan.json").read_bytes())
    assert plan == manifest["counts"]["plan"]
    assert plan["held_out"]["file"] == str(tmp_path / "test.jsonl")
    assert plan["held_out"]["achieved"]["rows"] == len(held_out)
    assert f"held out {len(held_out):,}, rejected" in ran.err
    values = {value["value"]: value["achieved"]["rows"] for value in plan["strata"]["values"]}
    assert values == {"keep": 500, "prefix": 500}


def test_no_file_is_written_if_the_mixture_fails(
    folder: Path, seqit: Seqit, tmp_path: Path
) -> None:
    targets = ("--held-out", "test.jsonl", "--plan-file", "plan.json", "-o", "mixture.jsonl")
    bad = folder / "bad.jsonl"
    bad.write_text((folder / "it.jsonl").read_text() + "{oops\n")
    assert seqit("mix", "--strict", bad, *targets, cwd=tmp_path).code == 1
    assert list(tmp_path.iterdir()) == []
    assert seqit("mix", bad, *targets, cwd=tmp_path).code == 3  # some rows failed
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("target", ["it.jsonl", "mixture.jsonl"])
def test_the_held_out_file_must_be_a_separate_file(target: str, folder: Path, seqit: Seqit) -> None:
    before = (folder / "it.jsonl").read_bytes()
    ran = seqit("mix", "it.jsonl", "-o", "mixture.jsonl", "--held-out", target, cwd=folder)
    assert ran.code == 2
    assert f"--held-out {target} is also" in ran.err
    assert (folder / "it.jsonl").read_bytes() == before
    assert seqit("mix", "it.jsonl", "--held-out", "-", cwd=folder).code == 2


def test_any_number_of_workers_gives_the_same_bytes(
    folder: Path, seqit: Seqit, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    lines = (folder / "sit.jsonl").read_bytes().splitlines(keepends=True)
    bad.write_bytes(b"".join([*lines[:2500], b"{oops\n", *lines[2500:]]))
    args = (
        "mix",
        bad,
        "it.jsonl",
        "--held-out",
        tmp_path / "test",
        "--stratify",
        "operation=equal",
    )
    results = []
    for workers in (1, 3):
        rejects, manifest = tmp_path / f"rejects{workers}", tmp_path / f"manifest{workers}"
        options = ("--workers", workers, "--rejects", rejects, "--manifest", manifest)
        ran = seqit(*args, *options, cwd=folder)
        assert ran.code == 3
        stats = json.loads(manifest.read_bytes())
        stats["options"].pop("rejects", None)
        err = ran.err.replace("rejects3", "rejects1")
        held_out = (tmp_path / "test").read_bytes()
        results.append((ran.out, err, rejects.read_bytes(), stats, held_out))
    assert results[0] == results[1]


def test_a_mixture_in_a_pipe_of_one_process(folder: Path, seqit: Seqit) -> None:
    content = (folder / "it.jsonl").read_bytes()
    expected = seqit("mix", "--seed", 3, stdin=content)
    last = seqit("pipe", f"validate -o - {folder}/it.jsonl | mix --seed 3", cwd=folder)
    first = seqit("pipe", f"mix --seed 3 {folder}/it.jsonl | validate -o -", cwd=folder)
    assert first.out == expected.out
    assert last.out == expected.out


TOKENIZER: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "word": 1}, "unk_token": "[UNK]"},
}


def test_token_shares_with_the_tokenizer_of_a_model_folder(
    folder: Path, seqit: Seqit, tmp_path: Path
) -> None:
    pytest.importorskip("tokenizers", reason="the extra seqit[tokens] is not installed")
    (tmp_path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    args = ("--tokens", 300_000, "--tokenizer", tmp_path, "--plan-file", tmp_path / "plan.json")
    ran = seqit("mix", "sit.jsonl=0.3", "it.jsonl=0.7", *args, cwd=folder)
    assert ran.code == 0, ran.err
    counts = {"sit": 0, "it": 0}
    for row in ran.rows:  # "Count", ".", and the words
        counts[row["id"].rstrip("0123456789")] += 2 + row["output"].count("word")
    assert counts["sit"] / 300_000 == pytest.approx(0.3, abs=0.001)
    assert counts["it"] / 300_000 == pytest.approx(0.7, abs=0.001)
    plan = json.loads((tmp_path / "plan.json").read_bytes())
    assert [s["achieved"]["tokens"] for s in plan["sources"]] == [counts["sit"], counts["it"]]
    assert plan["tokenizer"]["name"] == str(tmp_path)
    assert len(plan["tokenizer"]["sha256"]) == 64


def test_a_folder_without_a_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SeqitError, match=r"has no tokenizer\.json"):
        load_token_counter(str(tmp_path))
