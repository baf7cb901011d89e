"""filter --keep: an SQL expression over score files, joined to the rows by id."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqit.errors import SeqitError, UsageError
from seqit.scores.db.score_filter import ScoreFilter

SECRET = "nobody may read this"


def lines(*rows) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def record(name: str, output: str = "A cat.") -> dict:
    return {"id": name, "instruction": f"Tell {name}.", "input": "", "output": output}


LONG = [
    {"id": "a", "metric": "quality", "value": 4.5},
    {"id": "a", "metric": "following", "value": True},
    {"id": "b", "metric": "quality", "value": 3},
    {"id": "b", "metric": "following", "value": True},
    {"id": "c", "metric": "quality", "value": 5},
    {"id": "c", "metric": "following", "value": None},
]
WIDE = [
    {"id": "a", "quality": 4.5, "following": 1},
    {"id": "b", "quality": 3, "following": 1},
    {"id": "c", "quality": 5},
]
KEEP = "quality >= 4 AND following = 1"


@pytest.fixture
def file(tmp_path):
    def write(name, *rows):
        path = tmp_path / name
        if name.endswith(".parquet"):
            pq.write_table(pa.Table.from_pylist(list(rows)), path)
        else:
            path.write_bytes(lines(*rows))
        return str(path)

    return write


def answers(expression, *files, ids="abcd"):
    with ScoreFilter(expression, files) as score_filter:
        return {each: score_filter.find(each) for each in ids}


EXPECTED = {
    "a": (True, {"following": 1, "quality": 4.5}),
    "b": (False, {"following": 1, "quality": 3}),
    "c": (None, {"following": None, "quality": 5}),
    "d": None,
}


def test_long_and_wide_rows_give_the_same_answers(file):
    named = [{"name" if k == "metric" else k: v for k, v in row.items()} for row in LONG]
    wide_with_null = [row | {"following": row.get("following")} for row in WIDE]
    for path in (
        file("long.jsonl", *LONG),
        file("named.jsonl", *named),
        file("wide.jsonl", *WIDE),
        file("wide.parquet", *wide_with_null),
    ):
        assert answers(KEEP, path) == EXPECTED


def test_scores_of_one_record_may_be_in_several_files(file):
    one = file("one.jsonl", *({k: row[k] for k in ("id", "quality")} for row in WIDE))
    other = file("other.parquet", {"id": "b", "following": 0.0}, {"id": "a", "following": 1.0})
    assert answers("following = 1 OR quality > 4", one, other) == {
        "a": (True, {"following": 1, "quality": 4.5}),
        "b": (False, {"following": 0, "quality": 3}),
        "c": (True, {"following": None, "quality": 5}),
        "d": None,
    }


def test_long_parquet_and_text(file):
    path = file("v.parquet", {"id": "a", "metric": "verdict", "value": "sound"})
    assert answers("verdict = 'sound'", path, ids="a") == {"a": (True, {"verdict": "sound"})}


def test_an_expression_may_use_all_scores(file):
    path = file("wide.jsonl", *WIDE)
    found = answers("quality > (SELECT avg(quality) FROM scores)", path, ids="ab")
    assert [answer[0] for answer in found.values()] == [True, False]
    assert answers("percent_rank() OVER (ORDER BY quality) > 0.5", path, ids="c")["c"][0] is True


def test_two_values_of_one_score_are_an_error(file):
    path = file("s.jsonl", *LONG, {"id": "b", "metric": "quality", "value": 5})
    with pytest.raises(SeqitError, match="record b has two values of quality: 3 and 5"):
        answers(KEEP, path)
    same = file("same.jsonl", *LONG, {"id": "b", "metric": "quality", "value": 3.0})
    assert answers(KEEP, same) == EXPECTED


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("qualty > 1", "did you mean 'quality'"),
        ("quality >", "not SQL"),
        ("quality > 1, 2", "query failed"),
        ("quality), (2", "one expression"),
        ("quality) FROM scores WHERE (true", "not SQL"),
        ("1); COPY scores TO 'x.csv'; SELECT (1", "can only read|not SQL"),
        ("(SELECT content FROM read_text('{file}')) = 'x'", "may not call"),
        ("(SELECT count(*) FROM '{file}') > 0", "query failed|no view|file"),
        ("quality = 'much'", "query failed"),
        ("avg(quality) > 1", "query failed"),
    ],
)
def test_an_invalid_expression_gets_a_message(expression, message, file, tmp_path):
    path = file("wide.jsonl", *WIDE)
    (tmp_path / "secret.txt").write_text(SECRET)
    written = expression.replace("{file}", str(tmp_path / "secret.txt"))
    with pytest.raises((SeqitError, UsageError), match=message) as caught:
        answers(written, path)
    assert SECRET not in str(caught.value)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["secret.txt", "wide.jsonl"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"key": "a", "quality": 4}],
            "needs the id of its record; the first row has key, quality",
        ),
        ([{"id": "a", "quality": 4}, {"quality": 4}], "1 scores lack their id"),
    ],
)
def test_a_file_without_scores_gets_a_message(rows, message, file):
    with pytest.raises(SeqitError, match=message):
        answers("quality > 1", file("s.jsonl", *rows))


def test_every_row_is_kept_or_rejected(file, seqit, tmp_path):
    rows = file("rows.jsonl", *map(record, "abcd"))
    scores = file("long.jsonl", *LONG)
    args = ("filter", rows, "--keep", KEEP, "--scores", scores)
    ran = seqit(*args, "--rejects", tmp_path / "r", "--manifest", tmp_path / "m")
    assert [row["id"] for row in ran.rows] == ["a"]
    rejects = [json.loads(line) for line in (tmp_path / "r").read_bytes().splitlines()]
    assert [(each["id"], each["stage"], each["reason"]) for each in rejects] == [
        ("b", "scores", "not-kept"),
        ("c", "scores", "unknown"),
        ("d", "scores", "no-score"),
    ]
    assert rejects[0]["evidence"] == {"keep": KEEP, "scores": {"following": 1, "quality": 3}}
    assert "no value of following" in rejects[1]["message"]
    manifest = json.loads((tmp_path / "m").read_bytes())
    assert manifest["reasons"]["scores"] == {"no-score": 1, "not-kept": 1, "unknown": 1}
    assert manifest["counts"]["rules"][f"scores:{KEEP}"] == {"seen": 4, "removed": 3}


def test_several_processes_look_scores_up_too(file, seqit):
    # Large enough for workers to start.
    rows = file("rows.jsonl", *(record(f"{n}", f"{n} " * 400) for n in range(3000)))
    scores = file("scores.jsonl", *({"id": f"{n}", "quality": n % 5} for n in range(2900)))
    args = ("filter", rows, "--no-defaults", "--keep", "quality > 2", "--scores", scores)
    one, two = seqit(*args, "--workers", 1), seqit(*args, "--workers", 2)
    assert (one.code, one.out, one.err) == (two.code, two.out, two.err)
    assert [row["id"] for row in one.rows] == [str(n) for n in range(2900) if n % 5 > 2]
    assert "no-score 100" in one.err


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("--keep", KEEP), "name their files with --scores"),
        (("--scores", "s.jsonl"), "--scores is for --keep"),
        (("--keep", KEEP, "--scores", "none.jsonl"), "none.jsonl: no such file"),
    ],
)
def test_options_that_do_not_go_together(args, sentence, seqit):
    ran = seqit("filter", *args, stdin=lines(record("a")))
    assert ran.code in (1, 2) and ran.out == b""
    assert sentence in ran.err
