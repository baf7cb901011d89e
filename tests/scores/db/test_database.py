"""seqit sql: views, read-only access, output formats and error messages."""

import csv
import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqit.errors import SeqitError, UsageError
from seqit.records.parquet import ParquetRecords
from seqit.records.validation import schema
from seqit.scores.db.columns import columns, view_for
from seqit.scores.db.database import Database
from seqit.scores.report.output import FORMATS, MAX_ROWS, escape_unprintable, render

RECORDS: list[dict[str, Any]] = [
    {
        "id": "r1",
        "instruction": "First repeat the input, then count it.",
        "input": "a | b",
        "output": "a | b\n\n2",
        "steps": [
            {"instruction": "Repeat.", "output": "a | b", "check": {"kind": "text", "value": None}},
            {"instruction": "Count."},
        ],
        "lineage": {"root": "r0", "parent": "r0", "iteration": 1, "operation": "prefix", "seed": 7},
        "source": {"format": "alpaca", "name": "seeds.json"},
        "metadata": {"topic": "letters", "score": None},
    },
    {
        "id": "r2",
        "instruction": "Say hello.",
        "input": "",
        "output": "Hello",
        "system": "Be kind.",
        "history": [["Hi", "Hi!"]],
        "images": ["cat.png"],
        "lineage": {"root": "r2", "iteration": 0, "operation": "seed"},
    },
]
REJECT = {
    "command": "filter", "outcome": "rejected", "stage": "length", "reason": "too-long",
    "message": "600 words", "source": "it.jsonl", "line": 3, "evidence": {"words": 600},
    "row": {"id": "r9", "x": None},
}  # fmt: skip
MANIFEST = {
    "command": "filter", "version": "0.1", "options": {"max": 500}, "sources": ["it.jsonl"],
    "read": 4, "added": 0, "written": 1, "rejected": 3, "failed": 0, "merged": 0,
    "reasons": {"length": {"too-long": 2, "too-short": 1}}, "complete": True,
}  # fmt: skip


def lines(rows: list[Any]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def parquet(rows: list[Any]) -> bytes:
    file = io.BytesIO()
    writer = ParquetRecords(file)
    for row in rows:
        writer.write(row)
    writer.close()
    return file.getvalue()


def zstd(content: bytes) -> bytes:
    import zstandard

    return zstandard.compress(content)


ENCODERS: dict[str, Callable[[list[Any]], bytes]] = {
    "lines": lines,
    "array": orjson.dumps,
    "indented array": lambda rows: json.dumps(rows, indent=2).encode(),
    "byte order mark": lambda rows: b"\xef\xbb\xbf" + lines(rows),
    "carriage returns": lambda rows: lines(rows).replace(b"\n", b"\r\n"),
    "gzip": lambda rows: gzip.compress(lines(rows)),
    "two gzip members": lambda rows: b"".join(gzip.compress(lines([row])) for row in rows),
    "zstd": lambda rows: zstd(lines(rows)),
    "parquet": parquet,
}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    def write(content: bytes | list[Any], name: str = "records.jsonl") -> str:
        path = tmp_path / name
        path.write_bytes(lines(content) if isinstance(content, list) else content)
        return str(path)

    return write


def run(query: str, *names: str, form: str = "jsonl", width: int = 80) -> str:
    with Database(names) as database:
        return b"".join(render(database.query(query), form, width)).decode()


def fetch(query: str, *names: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(query, *names).splitlines()]


def clean(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


@pytest.mark.parametrize("form", ENCODERS)
def test_records_are_read_unchanged_from_every_file_format(
    form: str, save: Callable[..., str]
) -> None:
    name = save(ENCODERS[form](RECORDS), "it's [odd]*.txt")  # the ending is ignored
    found = fetch("SELECT * EXCLUDE (file) FROM records ORDER BY id", name)
    assert [clean(row) for row in found] == RECORDS
    assert list(found[0]) == list(schema("record").document["properties"])
    assert fetch("SELECT DISTINCT file FROM records", name) == [{"file": name}]


def test_columns_have_the_types_of_the_schema_in_every_format(save: Callable[..., str]) -> None:
    for number, form in enumerate(("lines", "parquet")):
        with Database([save(ENCODERS[form](RECORDS[1:]), str(number))]) as database:
            types = {name: str(kind) for name, kind in database.views()["records"].items()}
        assert (
            types["steps"]
            == 'STRUCT(instruction VARCHAR, output VARCHAR, "check" JSON, "name" VARCHAR)[]'
        )
        assert types["history"] == "VARCHAR[][]"
        assert types["metadata"] == "JSON"
        assert "iteration BIGINT" in types["lineage"]
        assert list(types) == [*columns("records"), "file"]


def test_files_of_one_kind_are_united_in_one_view(save: Callable[..., str]) -> None:
    names = [
        save(RECORDS[:1], "a.jsonl"),
        save(parquet(RECORDS[1:]), "b.parquet"),
        save([REJECT], "rejects.jsonl"),
        save(json.dumps(MANIFEST, indent=2).encode(), "manifest.json"),
    ]
    with Database(names) as database:
        assert sorted(database.views()) == ["manifests", "records", "rejects"]
    counts = "SELECT file, count(*) AS n FROM records GROUP BY ALL ORDER BY file"
    assert fetch(counts, *names) == [{"file": names[0], "n": 1}, {"file": names[1], "n": 1}]
    assert clean(fetch("SELECT * EXCLUDE (file) FROM rejects", *names)[0]) == REJECT
    assert clean(fetch("SELECT * EXCLUDE (file) FROM manifests", *names)[0]) == MANIFEST
    reasons = "SELECT reasons['length']['too-long'] AS n FROM manifests"
    assert fetch(reasons, *names) == [{"n": 2}]
    checks = "SELECT id, step.\"check\"->>'kind' AS kind FROM records, unnest(steps) AS s(step)"
    assert fetch(checks + " ORDER BY kind", *names) == [
        {"id": "r1", "kind": "text"},
        {"id": "r1", "kind": None},
    ]


def test_other_files_become_views_named_after_the_file(save: Callable[..., str]) -> None:
    names = [
        save([{"a": 1}, {"a": "x", "b": {"c": 2}}], "1st run.jsonl.gz"),
        save([{"a": 5}], "1st-run.json"),
        save([{"instruction": "raw"}], "records.jsonl"),
        save(b"[1]\n[2]\n", "lists.jsonl"),
    ]
    with Database(names) as database:
        assert list(database.views()) == ["_1st_run", "_1st_run_2", "records_2", "lists"]
    assert fetch("FROM _1st_run", *names) == [{"a": 1, "b": None}, {"a": "x", "b": {"c": 2}}]
    assert fetch("SELECT instruction FROM records_2", *names) == [{"instruction": "raw"}]


def test_an_empty_file_has_no_rows_of_any_kind(save: Callable[..., str]) -> None:
    empty = save(b"", "rejects.jsonl")
    assert fetch("SELECT count(*) AS n FROM rejects", empty) == [{"n": 0}]
    assert fetch("SELECT lineage.operation AS o FROM records", empty) == []
    names = [empty, save(RECORDS, "a.jsonl")]
    assert fetch("SELECT count(*) AS n FROM records", *names) == [{"n": 2}]
    assert run("FROM rejects", empty, form="csv") == ",".join([*columns("rejects"), "file"]) + "\n"


def test_a_pipe_is_read_once_into_a_file(save: Callable[..., str]) -> None:
    reader, writer = os.pipe()
    os.write(writer, gzip.compress(lines(RECORDS)))
    os.close(writer)
    try:
        assert len(fetch("FROM records", f"/dev/fd/{reader}")) == 2
    finally:
        os.close(reader)


def test_a_view_needs_all_required_and_no_unknown_keys() -> None:
    required = schema("record").document["required"]
    assert view_for(required) == "records"
    assert view_for([*required, "surprise"]) is None
    assert view_for(required[1:]) is None


# Read-only access. PATH stands for a given file, OTHER for another one.
COPY = "COPY (SELECT 1) TO 'PATH' (USE_TMP_FILE false)"
ATTACKS = [
    COPY,
    f"EXPLAIN ANALYZE {COPY}",
    f"WITH x AS ({COPY}) FROM x",
    f"WITH x AS ({COPY}) PIVOT (SELECT 1 AS a) ON a",
    f"FROM (WITH x AS ({COPY}) FROM x)",
    f"SELECT 1; {COPY}",
    f"SELECT 1) AS r(c0); {COPY}; SELECT * FROM (SELECT 1",
    "FROM json_execute_serialized_sql(json_serialize_sql('WITH x AS (" + COPY.replace("'", "''")
    + ") FROM x'))",
    'FROM system.main."JSON_Execute_Serialized_SQL"(json_serialize_sql(\'SELECT 1\'))',
    "FROM query('FROM json_execute_serialized_sql(json_serialize_sql(''SELECT 1''))')",
    "PREPARE p AS " + COPY,
    "EXPORT DATABASE 'FOLDER'",
    "ATTACH 'OTHER.db'",
    "ATTACH ':memory:' AS other",
    "CREATE TABLE t AS SELECT 1",
    "WITH x AS (INSERT INTO records VALUES (1) RETURNING *) FROM x",
    "DROP VIEW records",
    "INSTALL httpfs",
    "LOAD 'OTHER'",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL enable_logging('QueryLog', storage = 'file', storage_path = 'FOLDER')",
    "FROM read_text('OTHER')",
    "FROM read_blob('/proc/self/environ')",
    "FROM read_csv('OTHER')",
    "FROM read_parquet('https://example.com/x.parquet')",
    "FROM glob('/etc/*')",
    "FROM sniff_csv('OTHER')",
    "FROM duckdb_settings()",
    "FROM 'OTHER'",
    'FROM "OTHER"',
    "SELECT (SELECT content FROM read_text('OTHER'))",
    "SELECT * FROM records WHERE EXISTS (FROM read_text('OTHER'))",
    "DESCRIBE (FROM read_text('OTHER'))",
    "SUMMARIZE FROM read_csv('OTHER')",
    "SELECT getenv('HOME')",
    "FROM secret_of_this_test",  # a variable of the caller
    "IMPORT DATABASE 'FOLDER'",
    "CHECKPOINT",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_query_reads_the_given_files_and_nothing_else(
    attack: str, save: Callable[..., str], tmp_path: Path
) -> None:
    secret_of_this_test = {"a": [1]}
    name, other = save(RECORDS), save(b"secret\n", "other.csv")
    content = Path(name).read_bytes()
    with Database([name]) as database:
        # The path of the staged file, which a query can find out.
        path = database.query("SELECT current_setting('allowed_paths')[1]")
        staged = next(path.text_rows())[0]
        assert staged
        query = attack.replace("PATH", staged).replace("OTHER", other)
        query = query.replace("FOLDER", str(tmp_path / "new"))
        with pytest.raises(SeqitError) as caught:
            list(render(database.query(query), "jsonl"))
        assert "secret" not in str(caught.value).replace("secret_of_this_test", "")
        assert len(list(database.query("FROM records").text_rows())) == 2
    assert Path(name).read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.csv", "records.jsonl"]
    assert secret_of_this_test == {"a": [1]}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "FROM records",
        "TABLE records",
        "VALUES (1)",
        "WITH x AS MATERIALIZED (SELECT 1) FROM x;",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) FROM t",
        "DESCRIBE records",
        "SUMMARIZE SELECT id FROM records",
        "SHOW TABLES",
        "SELECT * FROM range(3) -- three",
        "PIVOT (SELECT lineage.iteration AS i FROM records) ON i IN (0, 1)",
        "SELECT id FROM records UNION ALL SELECT 'copy (1) to x' ORDER BY ALL",
        "SELECT now(), uuid(), 'x'::BLOB, INTERVAL 1 DAY, sum(1), 1 AS a, 2 AS a",
    ],
)
def test_every_reading_query_works_in_every_format(query: str, save: Callable[..., str]) -> None:
    name = save(RECORDS)
    for form in FORMATS:
        with Database([name]) as database:
            assert b"".join(render(database.query(query), form))


QUERY = """
    SELECT id, lineage.operation AS operation, lineage, length(output) AS n, system
    FROM records ORDER BY id"""
GOLDEN = {
    "table": """\
id  operation  lineage                                               n  system
──  ─────────  ────────────────────────────────────────────────────  ─  ────────
r1  prefix     {"root":"r0","parent":"r0","iteration":1,"operation…  8  NULL
r2  seed       {"root":"r2","iteration":0,"operation":"seed"}        5  Be kind.
(2 rows)
""",
    "csv": """\
id,operation,lineage,n,system
r1,prefix,"{""root"":""r0"",""parent"":""r0"",""iteration"":1,""operation"":""prefix"",""seed"":7}",8,
r2,seed,"{""root"":""r2"",""iteration"":0,""operation"":""seed""}",5,Be kind.
""",
    "jsonl": """\
{"id":"r1","operation":"prefix","lineage":{"root":"r0","parent":"r0","iteration":1,"operation":"prefix","seed":7},"n":8,"system":null}
{"id":"r2","operation":"seed","lineage":{"root":"r2","iteration":0,"operation":"seed"},"n":5,"system":"Be kind."}
""",  # noqa: E501 (the rows as they are written)
    "markdown": """\
| id | operation | lineage | n | system |
| --- | --- | --- | --: | --- |
| r1 | prefix | {"root":"r0","parent":"r0","iteration":1,"operation":"prefix","seed":7} | 8 | NULL |
| r2 | seed | {"root":"r2","iteration":0,"operation":"seed"} | 5 | Be kind. |
""",
}


@pytest.mark.parametrize("form", GOLDEN)
def test_each_output_format(form: str, save: Callable[..., str]) -> None:
    assert run(QUERY, save(RECORDS), form=form) == GOLDEN[form]


def test_parquet_output_keeps_types_and_can_be_read_again(
    save: Callable[..., str], tmp_path: Path
) -> None:
    from pyarrow import parquet as pq

    name = save(RECORDS)
    target = tmp_path / "out.parquet"
    with Database([name]) as database:
        query = "SELECT * EXCLUDE (file) FROM records ORDER BY id"
        target.write_bytes(b"".join(render(database.query(query), "parquet")))
    assert str(pq.read_schema(target).field("lineage").type.field("iteration").type) == "int64"
    again = fetch("SELECT * EXCLUDE (file) FROM records ORDER BY id", str(target))
    assert [clean(row) for row in again] == RECORDS


def test_the_same_query_gives_the_same_bytes(save: Callable[..., str]) -> None:
    name = save([RECORDS[0] | {"id": f"r{i}"} for i in range(500)])
    for form in FORMATS:
        query = "SELECT id, metadata FROM records ORDER BY id"
        assert run_bytes(query, name, form) == run_bytes(query, name, form)


def run_bytes(query: str, name: str, form: str) -> bytes:
    with Database([name]) as database:
        return b"".join(render(database.query(query), form))


HOSTILE = "\x1b]0;title\x07\x1b[2J|*a*`b`\r\n<script>\u202egnp\x00$x$ [l](u)"


def test_hostile_text_is_escaped_for_terminal_and_page(save: Callable[..., str]) -> None:
    name = save([RECORDS[1] | {"output": HOSTILE}])
    query = "SELECT output AS o FROM records"
    table = run(query, name, form="table", width=200)
    assert all(line.isprintable() for line in table.splitlines())
    assert "\\x1b]0;title\\x07\\x1b[2J|*a*`b`\\r\\n<script>\\u202egnp\\x00" in table
    markdown = run(query, name, form="markdown").splitlines()
    assert len(markdown) == 3
    assert markdown[2] == (
        r"| \\x1b\]0;title\\x07\\x1b\[2J\|\*a\*\`b\`<br>\<script\>\\u202egnp\\x00\$x\$ \[l\](u) |"
    )
    assert fetch(query, name) == [{"o": HOSTILE}]
    [head, [cell]] = csv.reader(io.StringIO(run(query, name, form="csv"), newline=""))
    assert (head, cell) == (["o"], HOSTILE)


@given(st.text())
def test_escaped_text_is_printable(text: str) -> None:
    assert escape_unprintable(text).isprintable()


def test_null_empty_and_not_finite_values_differ(save: Callable[..., str]) -> None:
    query = "SELECT NULL AS a, '' AS b, 'nan'::DOUBLE AS c, ['inf'::DOUBLE, 1.5] AS d, 0.1 AS e"
    name = save(RECORDS)
    assert run(query, name, form="csv") == 'a,b,c,d,e\n,"",nan,"[null,1.5]",0.1\n'
    assert fetch(query, name) == [{"a": None, "b": "", "c": None, "d": [None, 1.5], "e": 0.1}]
    assert run("SELECT NULL AS a", name, form="csv") == 'a\n""\n'


def test_a_long_result_is_counted_and_wide_characters_take_two_columns(
    save: Callable[..., str],
) -> None:
    name = save([RECORDS[1] | {"id": f"{i:04}", "output": "日本語" * 9} for i in range(1200)])
    query = "SELECT id, output AS o, 1 AS x FROM records ORDER BY id"
    table = run(query, name, form="table", width=30).splitlines()
    assert len(table) == MAX_ROWS + 3
    assert table[2] == "0000  日本語日本語日本語日…  1"
    assert table[-1] == "(100 of 1,200 rows; csv and jsonl hold all of them)"
    assert run("SELECT 1 AS x", name, form="table").endswith("(1 row)\n")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELEC 1", "The query is not SQL: syntax error"),
        ("", "can only read.*this has no statements"),
        (
            "SELECT operation FROM records",
            r"no column 'operation' \(did you mean lineage.operation",
        ),
        (
            "SELECT ouput FROM records",
            r"no column 'ouput' \(did you mean 'output'\?\).*records\(id,",
        ),
        (
            "FROM rejects",
            r"No rejects given: give a file of rejects\. The files given contain: records",
        ),
        ("FROM recods", r"no view 'recods' \(did you mean 'records'"),
        ("SELECT upper(1, 2)", r"No function matches.*Candidate functions: upper"),
        ("SELECT 'x'::BIGINT FROM records", "Could not convert string 'x'"),
    ],
)
def test_a_bad_query_gets_a_message(query: str, message: str, save: Callable[..., str]) -> None:
    with pytest.raises(SeqitError, match=message):
        run(query, save(RECORDS))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lines(RECORDS) + b'{"id": oops}\n' + lines(RECORDS), r"x\.jsonl:3: not JSON at column 8"),
        (lines(RECORDS) + b'{"id": "r', r"x\.jsonl:3: not whole JSON"),
        (b"hello\n", r"x\.jsonl:1: not JSON"),
        (
            lines(RECORDS) + lines([RECORDS[1] | {"lineage": {"iteration": "one"}}]),
            r'x\.jsonl: line 3: Failed to cast value to numerical: "one"',
        ),
        (zstd(lines(RECORDS) * 5000)[:-9], r"x\.jsonl: .*ends before its end mark"),
        (gzip.compress(lines(RECORDS))[:-9], r"x\.jsonl: .*ends before its end mark"),
        (parquet(RECORDS)[:-9], r"x\.jsonl: the Parquet file is damaged or cut off"),
        (lines(RECORDS).decode().encode("utf-16"), r"x\.jsonl: the file is UTF-16"),
    ],
)
def test_a_bad_file_gets_a_message(content: bytes, message: str, save: Callable[..., str]) -> None:
    with pytest.raises(SeqitError, match=message):
        run("FROM records", save(content, "x.jsonl"))


def test_missing_files_and_directories(tmp_path: Path) -> None:
    with pytest.raises(SeqitError, match="no such file"):
        Database([str(tmp_path / "none.jsonl")])
    with pytest.raises(SeqitError, match="is a directory"):
        Database([str(tmp_path)])


def test_an_unknown_format_names_the_known_ones(save: Callable[..., str]) -> None:
    with pytest.raises(UsageError, match="table, csv, jsonl, markdown, parquet"):
        run("SELECT 1", save(RECORDS), form="xml")


def test_temporary_files_are_removed(
    save: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with Database([save(gzip.compress(lines(RECORDS)))]) as database:
        assert list(render(database.query("FROM records"), "parquet"))
    with pytest.raises(SeqitError):
        Database([save(b"hello")])
    assert list(scratch.iterdir()) == []
