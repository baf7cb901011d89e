"""The whole data pipeline on real public data, run with the installed commands.

The counts are those of the publishers' files; README.md in the data folder lists them.
"""

import hashlib
import json
import subprocess
from collections import Counter
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from support.paths import BIN

from seqit.checks import record_problems

FLANCOT = 33_443
XQUAD = 1_190
OPERATIONS = ("decompose", "prefix", "suffix", "keep")

# A shell's pipe; `tee` saves the output of every stage. "$@" are the arguments of import.
PIPE = """
seqit import "$@" --rejects import.rejects --manifest import.manifest | tee import.rows |
seqit augment --rejects augment.rejects --manifest augment.manifest | tee augment.rows |
seqit filter --rejects filter.rejects --manifest filter.manifest > filter.rows
echo "${PIPESTATUS[*]}" > codes
"""


class Stage(NamedTuple):
    """The rows, rejects, manifest and exit code of one command of a pipe."""

    out: bytes
    rejects: list[Any]
    manifest: dict[str, Any]
    code: int

    @property
    def rows(self) -> list[Any]:
        return parse_rows(self.out)


def parse_rows(out: bytes) -> list[Any]:
    return [orjson.loads(line) for line in out.splitlines()]


def run_pipe(folder: Path, *sources: object, seed: int = 0) -> list[Stage]:
    """Run import | augment | filter in `folder`; return the three stages."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["bash", "-c", PIPE, "pipe", *map(str, sources)],
        cwd=folder,
        env={"PATH": f"{BIN}:/usr/bin:/bin", "SEQIT_AUGMENT_SEED": str(seed)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
    )
    assert "Traceback" not in done.stderr and "defect" not in done.stderr, done.stderr
    names = ("import", "augment", "filter")
    codes = (folder / "codes").read_text().split()[::2]  # the others are those of `tee`
    return [
        Stage(
            (folder / f"{name}.rows").read_bytes(),
            parse_rows((folder / f"{name}.rejects").read_bytes()),
            json.loads((folder / f"{name}.manifest").read_bytes()),
            int(code),
        )
        for name, code in zip(names, codes, strict=True)
    ]


def check_stats(stages: list[Stage]) -> None:
    """Check that every row of every stage is in its output, in its rejects, or was merged."""
    for stage in stages:
        stats, rejects = stage.manifest, stage.rejects
        outcomes = [stats[key] for key in ("written", "rejected", "failed", "merged")]
        assert stats["read"] + stats["added"] == sum(outcomes)
        assert stats["complete"]
        assert stats["written"] == len(stage.rows)
        assert stats["output"]["sha256"] == hashlib.sha256(stage.out).hexdigest()
        rejected = Counter(reject["outcome"] for reject in rejects)
        assert rejected == Counter({k: stats[k] for k in ("rejected", "failed") if stats[k]})
        reasons = Counter((reject["stage"], reject["reason"]) for reject in rejects)
        counted = {(s, r): n for s, by in stats["reasons"].items() for r, n in by.items()}
        assert reasons == counted
        assert all(reject["message"] and reject["line"] for reject in rejects)
        assert all("row" in reject or "raw" in reject for reject in rejects)
        assert stage.code == (3 if stats["failed"] else 0)
    for before, after in pairwise(stages):
        assert after.manifest["read"] == before.manifest["written"]
    # The ids agree too: filter wrote or rejected every row that it read.
    _, augmented, filtered = stages
    ids = Counter(row["id"] for row in filtered.rows)
    ids.update(reject["row"]["id"] for reject in filtered.rejects)
    assert ids == Counter(row["id"] for row in augmented.rows)


def verify_checks(rows: list[Any]) -> int:
    """Verify every check of the rows, and return their number."""
    problems = [(row["id"], found) for row in rows if (found := record_problems(row))]
    assert not problems, problems[:3]
    return sum("check" in step for row in rows for step in row.get("steps", ()))


def check_chains(imported: list[Any], augmented: list[Any]) -> int:
    """Check that each chain is made from the seed in the same row and contains its answer.

    Returns the number of checks of its steps, all of which are verified.
    """
    assert len(augmented) == len(imported)
    for seed, row in zip(imported, augmented, strict=True):
        assert row["lineage"]["root"] == seed["id"]
        assert normalize_spaces(seed["output"]) in normalize_spaces(row["output"])
        assert (row["lineage"]["operation"] == "keep") == (row["id"] == seed["id"])
    changed = [row for row in augmented if row["lineage"]["operation"] != "keep"]
    for row in changed:
        assert len(row["steps"]) >= 2
        assert any("check" in step for step in row["steps"])
    verified = verify_checks(augmented)
    assert verified >= len(changed)
    return verified


def normalize_spaces(text: str) -> str:
    return " ".join(text.split())


def tsv_files(data: Path) -> list[Path]:
    files = sorted((data / "flancot").glob("*.tsv"))
    assert len(files) == 7
    return files


@pytest.fixture(scope="module")
def flancot(data, tmp_path_factory):
    """The pipe's result on FlanCoT: the folder and the three stages."""
    folder = tmp_path_factory.mktemp("flancot")
    return folder, run_pipe(folder, *tsv_files(data))


# --- no row is lost --------------------------------------------------------------------------


def test_every_row_of_flancot_is_accounted_for(flancot):
    _, stages = flancot
    check_stats(stages)
    imported, augmented, filtered = (stage.manifest for stage in stages)
    assert imported["read"] == imported["written"] == FLANCOT
    assert augmented["read"] == augmented["written"] == FLANCOT
    assert filtered["written"] + filtered["rejected"] == FLANCOT
    # Two rationales of AQuA have mojibake, and StrategyQA has one question twice. The other rows
    # are clean: a default rule must not reject them.
    assert filtered["rejected"] < FLANCOT / 1000
    assert set(filtered["reasons"]) == {"non-printing", "exact-duplicate"}


class Expected(NamedTuple):
    """A source, with the expected counts of its import."""

    source: str
    read: int
    failed: int = 0
    options: tuple[str, ...] = ()


SOURCES = [
    Expected("alpaca/seed_tasks.jsonl", 175),
    *(Expected(f"xquad/xquad.{code}.json", XQUAD) for code in ("ar", "de", "en", "es", "ru", "zh")),
    Expected("seqeval/seqEval.json", 805, failed=1),
    # Its columns match no format: one must be named, and every row fails.
    Expected("seqeval/seqEval_iteration_1.json", 805, failed=805, options=("--format", "alpaca")),
    *(
        Expected(f"alpacaeval/{model}/model_outputs.json", 805)
        for model in ("alpaca-7b", "gpt-3.5-turbo-1106", "gpt4_1106_preview", "wizardlm-13b")
    ),
]


@pytest.mark.parametrize("expected", SOURCES, ids=lambda expected: expected.source)
def test_every_row_is_accounted_for(expected, data, tmp_path):
    stages = run_pipe(tmp_path, *expected.options, data / expected.source)
    check_stats(stages)
    imported, augmented, filtered = (stage.manifest for stage in stages)
    assert (imported["read"], imported["added"]) == (expected.read, 0)
    assert (imported["failed"], imported["rejected"]) == (expected.failed, 0)
    assert augmented["read"] == augmented["written"] == expected.read - expected.failed
    verified = check_chains(stages[0].rows, stages[1].rows)
    if expected.source.startswith("seqeval"):  # instructions without answers
        assert filtered["written"] == 0
        assert {reject["stage"] for reject in stages[2].rejects} <= {"empty-output"}
    else:
        assert filtered["written"] > 0.99 * expected.read
        assert verified > 0.1 * expected.read


def test_the_empty_instruction_of_seqeval_fails_with_its_line(data, seqit, tmp_path):
    file = data / "seqeval" / "seqEval.json"
    published = json.loads(file.read_bytes())
    assert [i for i, item in enumerate(published) if not item["instruction"]] == [547]
    ran = seqit("import", file, "--rejects", tmp_path / "rejects")
    (reject,) = parse_rows((tmp_path / "rejects").read_bytes())
    assert reject["row"] == published[547]
    before = b"\n".join(file.read_bytes().splitlines()[: reject["line"] - 1])
    assert before.count(b'"instruction"') == 547
    assert f"{file}:{reject['line']}: instruction: must not be empty" in ran.err
    del published[547]
    assert [row["instruction"] for row in ran.rows] == [item["instruction"] for item in published]


def test_a_missing_column_is_named_in_the_reject(data, seqit, tmp_path):
    file = data / "seqeval" / "seqEval_iteration_1.json"
    ran = seqit("import", "--format", "alpaca", file, "--rejects", tmp_path / "rejects")
    assert (ran.code, ran.out) == (3, b"")
    rejects = parse_rows((tmp_path / "rejects").read_bytes())
    assert len(rejects) == 805
    for reject in rejects:
        assert reject["message"].startswith("instruction: ")
        assert "missing" in reject["message"] and "seq_instruction" in reject["message"]
        assert reject["row"]["ori_instruction"]


def test_sql_counts_every_row(flancot, seqit):
    folder, _ = flancot
    names = ("import", "augment", "filter")
    query = """
        SELECT command, read + added - written - rejected - failed - merged AS lost, rejected,
            (SELECT count(*) FROM rejects WHERE rejects.command = manifests.command) AS in_rejects
        FROM manifests
    """
    files = [folder / f"{name}.{kind}" for name in names for kind in ("manifest", "rejects")]
    results = seqit("sql", query, *files, "-f", "jsonl").rows
    assert {row["command"] for row in results} == set(names)
    assert all(row["lost"] == 0 and row["in_rejects"] == row["rejected"] for row in results)


# --- chains ----------------------------------------------------------------------------------


def test_every_chain_of_flancot_verifies(flancot):
    _, (imported, augmented, _) = flancot
    rows = augmented.rows
    assert check_chains(imported.rows, rows) > 30_000
    # The paper's rewriting lost content (its prompts shrink from 150 tokens to 127); seqit's adds.
    for seed, row in zip(imported.rows, rows, strict=True):
        instruction = normalize_spaces(seed["instruction"]).rstrip(".?!")
        assert instruction in normalize_spaces(row["instruction"])


def test_all_operations_occur_and_few_rows_are_kept(flancot, seqit):
    folder, (_, augmented, _) = flancot
    counts = augmented.manifest["counts"]["operations"]["1"]
    query = "SELECT lineage.operation AS operation, count(*) AS n FROM records GROUP BY ALL"
    results = seqit("sql", query, folder / "augment.rows", "-f", "jsonl").rows
    assert {row["operation"]: row["n"] for row in results} == counts
    assert set(counts) == set(OPERATIONS)
    assert sum(counts.values()) == FLANCOT
    assert counts["keep"] <= 0.25 * FLANCOT
    assert min(counts.values()) >= 0.05 * FLANCOT


def test_two_iterations_equal_two_runs(flancot, seqit, tmp_path):
    _, (imported, augmented, _) = flancot
    # Every third row, for speed, so that all files of FlanCoT are covered.
    seeds, first = (stage.out.splitlines(keepends=True)[::3] for stage in (imported, augmented))
    manifest = tmp_path / "manifest"
    both = seqit("augment", "--iterations", 2, "--manifest", manifest, stdin=b"".join(seeds))
    second = seqit("augment", stdin=b"".join(first))
    assert both.out == second.out
    operations = json.loads(manifest.read_bytes())["counts"]["operations"]
    assert sum(operations["2"].values()) == len(seeds) - operations["1"]["keep"]
    assert verify_checks(both.rows) > len(seeds) * 1.5
    for before, row in zip(map(orjson.loads, first), both.rows, strict=True):
        assert row["lineage"]["root"] == before["lineage"]["root"]
        if "kept" in before["lineage"]:
            assert row == before  # final
        elif "kept" not in row["lineage"]:
            assert row["lineage"]["parent"] == before["id"]
            assert row["lineage"]["iteration"] == 2
            assert len(row["steps"]) > len(before["steps"])


# --- the same input and seed give the same bytes ---------------------------------------------


@pytest.fixture(scope="module")
def halves(data, tmp_path_factory):
    """The lines of FlanCoT in two files."""
    folder = tmp_path_factory.mktemp("halves")
    lines = b"".join(file.read_bytes() for file in tsv_files(data)).splitlines(keepends=True)
    assert len(lines) == FLANCOT
    first, second = folder / "first.tsv", folder / "second.tsv"
    first.write_bytes(b"".join(lines[: FLANCOT // 2]))
    second.write_bytes(b"".join(lines[FLANCOT // 2 :]))
    return first, second


def test_how_the_input_is_split_into_files_does_not_change_the_output(flancot, halves, tmp_path):
    _, stages = flancot
    again = run_pipe(tmp_path, *halves)
    assert [stage.out for stage in again] == [stage.out for stage in stages]


def test_outputs_of_separate_runs_concatenate_to_the_output_of_one(flancot, halves, seqit):
    _, (imported, augmented, _) = flancot
    parts = [seqit("import", half).out for half in halves]
    assert b"".join(parts) == imported.out
    assert b"".join(seqit("augment", stdin=part).out for part in parts) == augmented.out


def test_two_runs_are_identical_and_another_seed_differs(data, tmp_path):
    file = data / "flancot" / "strategyqa_train.tsv"
    runs = {name: tmp_path / name for name in ("one", "two", "other")}
    one, two = run_pipe(runs["one"], file, seed=7), run_pipe(runs["two"], file, seed=7)
    assert [stage.out for stage in one] == [stage.out for stage in two]
    for kind in ("rejects", "manifest"):
        for name in ("import", "augment", "filter"):
            contents = {(runs[run] / f"{name}.{kind}").read_bytes() for run in ("one", "two")}
            assert len(contents) == 1
    other = run_pipe(runs["other"], file, seed=8)
    assert other[0].out == one[0].out
    pairs = zip(one[1].rows, other[1].rows, strict=True)
    assert sum(a["instruction"] != b["instruction"] for a, b in pairs) > 1_000


# --- translate-then-predict ------------------------------------------------------------------


def load_published(data: Path, code: str) -> dict[str, tuple[str, str, str]]:
    """Return question, text and answer by id, read from the publisher's file without seqit."""
    document = json.loads((data / "xquad" / f"xquad.{code}.json").read_bytes())
    paragraphs = [p for article in document["data"] for p in article["paragraphs"]]
    items = {
        qa["id"]: (qa["question"], paragraph["context"], qa["answers"][0]["text"])
        for paragraph in paragraphs
        for qa in paragraph["qas"]
    }
    assert len(items) == XQUAD
    return items


def import_xquad(seqit, data: Path, *codes: str) -> bytes:
    files = [data / "xquad" / f"xquad.{code}.json" for code in codes]
    ran = seqit("import", "--format", "xquad", *files)
    assert ran.code == 0, ran.err
    return ran.out


@pytest.mark.parametrize("variant", ["single-turn", "multi-turn", "crosslingual"])
def test_xquad_gives_the_published_answers(variant, data, seqit, tmp_path):
    english, german = load_published(data, "en"), load_published(data, "de")
    ran = seqit(
        *("augment", "--method", "translate", "--variant", variant),
        *("--manifest", tmp_path / "manifest"),
        stdin=import_xquad(seqit, data, "en", "de"),
    )
    stats = json.loads((tmp_path / "manifest").read_bytes())
    assert stats["read"] == stats["written"] == XQUAD
    assert [row["metadata"]["id"] for row in ran.rows] == list(english)
    for row in ran.rows:
        question, text, answer = english[row["metadata"]["id"]]
        foreign_question, foreign_text, _ = german[row["metadata"]["id"]]
        turns = [part for turn in row.get("history", ()) for part in turn]
        prompt = "\n".join([*turns[::2], row["instruction"], row["input"]])
        assert foreign_question in prompt and foreign_text in prompt
        assert text not in prompt
        assert row["steps"][-1]["output"] == answer
        translation = {"single-turn": row["output"], "multi-turn": "".join(turns[1:])}
        if variant in translation:  # unchanged: not lower-cased
            assert question in translation[variant] and text in translation[variant]
        if variant == "single-turn":
            assert row["output"].endswith(f"\n\nAnswer: {answer}")
            assert len(row["steps"]) == 2
        else:
            assert row["output"] == answer
            assert text not in row["output"]
    assert verify_checks(ran.rows) == XQUAD


def test_xquad_in_all_languages(data, seqit, tmp_path):
    foreign = ("ar", "de", "es", "ru", "zh")
    ran = seqit(
        *("augment", "--method", "translate", "--languages-per-row", "all"),
        *("--manifest", tmp_path / "manifest"),
        stdin=import_xquad(seqit, data, "en", *foreign),
    )
    stats = json.loads((tmp_path / "manifest").read_bytes())
    counts = (stats["read"], stats["added"], stats["written"])
    assert counts == (XQUAD, 4 * XQUAD, 5 * XQUAD)
    languages = Counter(row["metadata"]["translation"]["source"] for row in ran.rows)
    assert languages == dict.fromkeys(foreign, XQUAD)
    answers = {key: answer for key, (_, _, answer) in load_published(data, "en").items()}
    assert all(r["steps"][-1]["output"] == answers[r["metadata"]["id"]] for r in ran.rows)
    assert verify_checks(ran.rows) == 5 * XQUAD


# --- export to the formats of trainers -------------------------------------------------------


def parse_turns(form: str, row: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (role, text) for every turn of an exported row, as a trainer reads it."""
    if form == "messages":
        return [(turn["role"], turn["content"]) for turn in row["messages"]]
    if form == "sharegpt":
        roles = {"system": "system", "human": "user", "gpt": "assistant"}
        return [(roles[turn["from"]], turn["value"]) for turn in row["conversations"]]
    if form == "prompt-completion":
        return [("user", row["prompt"]), ("assistant", row["completion"])]
    prompt = f"{row['instruction']}\n{row['input']}" if row["input"] else row["instruction"]
    return [("user", prompt), ("assistant", row["output"])]


@pytest.mark.parametrize("form", ["alpaca", "messages", "sharegpt", "prompt-completion"])
def test_the_seed_tasks_are_exported(form, data, seqit):
    file = data / "alpaca" / "seed_tasks.jsonl"
    exported = seqit("export", "--format", form, stdin=seqit("import", file).out)
    assert exported.code == 0
    rows = exported.rows
    assert len(rows) == 175
    assert all(set(row) == set(rows[0]) for row in rows)
    for seed, row in zip(parse_rows(file.read_bytes()), rows, strict=True):
        (instance,) = seed["instances"]
        (user, prompt), (assistant, answer) = parse_turns(form, row)
        assert (user, assistant) == ("user", "assistant")
        assert seed["instruction"] in prompt and instance["input"] in prompt
        assert answer == instance["output"]


def test_several_turns_are_exported(data, seqit):
    translated = seqit(
        *("augment", "--method", "translate", "--variant", "multi-turn"),
        stdin=import_xquad(seqit, data, "en", "de"),
    )
    for form in ("messages", "sharegpt"):
        rows = seqit("export", "--format", form, stdin=translated.out).rows
        assert len(rows) == XQUAD
        for row in rows:
            turns = parse_turns(form, row)
            expected = cycle(("user", "assistant"))
            assert all(role == next(expected) and text for role, text in turns)
            assert len(turns) == 4


# --- mix -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amounts", "rows", "expected"),
    [
        (("0.4", "0.6"), ("--rows", 50_000), (20_000, 30_000)),
        (("70%", "30%"), ("--rows", 60_000), (42_000, 18_000)),  # more than are available
        (("1234", "4321"), (), (1234, 4321)),
    ],
    ids=["weights", "repeated", "counts"],
)
def test_a_mixture_has_exactly_the_requested_rows(
    amounts, rows, expected, flancot, seqit, tmp_path
):
    folder, (_, _, filtered) = flancot
    sources = [folder / "filter.rows", folder / "import.rows"]
    mixture, manifest = tmp_path / "mixture.jsonl", tmp_path / "manifest"
    ran = seqit(
        *("mix", *(f"{s}={a}" for s, a in zip(sources, amounts, strict=True)), *rows),
        *("--seed", 7, "-o", mixture, "--manifest", manifest),
    )
    assert ran.code == 0, ran.err
    stats = json.loads(manifest.read_bytes())
    available = (filtered.manifest["written"], FLANCOT)
    assert stats["read"] == sum(available)
    assert stats["read"] + stats["added"] == stats["written"] + stats["rejected"]
    plan = stats["counts"]["plan"]["sources"]
    assert tuple(source["available"]["rows"] for source in plan) == available
    assert tuple(source["requested"]["rows"] for source in plan) == expected

    # Count the rows of each source by their lineage.
    query = """
        SELECT lineage.operation = 'seed' AS is_seed, count(*) AS n, count(DISTINCT id) AS ids
        FROM records GROUP BY ALL ORDER BY is_seed
    """
    results = seqit("sql", query, mixture, "-f", "jsonl").rows
    assert [row["is_seed"] for row in results] == [False, True]
    assert tuple(row["n"] for row in results) == expected
    assert tuple(source["achieved"]["rows"] for source in plan) == expected
    if expected[0] > available[0]:  # every row at least once; the ids of filter's rows are unique
        assert results[0]["ids"] == available[0]
        assert stats["added"] == expected[0] - available[0]
    else:
        assert results[0]["ids"] == expected[0]
