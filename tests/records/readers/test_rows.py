"""The readers: for any bytes, every row is counted and no exception escapes."""

import gzip
import io
import json
import sys
from pathlib import Path
from unittest import mock

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqit.errors import SeqitError
from seqit.records.parquet import ParquetRecords
from seqit.records.readers import rows as readers
from seqit.records.readers import split
from seqit.records.run_stats import RunStats, StrictError
from seqit.stores import sources
from seqit.stores.sources import check_sources

ROWS = [{"instruction": f"Say {n}.", "output": str(n), "topic": {"n": n}} for n in range(300)]
JSONL = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def read(path: Path, *, strict: bool = False):
    rejects: list[dict] = []
    stats = RunStats("test", rejects.append, strict)
    rows = list(readers.read_records([str(path)], stats))
    stats.written = len(rows)
    stats.close()
    return [row.value for row in rows], rejects


def parquet_bytes(records) -> bytes:
    file = io.BytesIO()
    writer = ParquetRecords(file)
    for record in records:
        writer.write(record)
    writer.close()
    return file.getvalue()


@pytest.fixture
def path(tmp_path):
    def write(content: bytes, name: str = "rows.bin") -> Path:
        target = tmp_path / name
        target.write_bytes(content)
        return target

    return write


LAYOUTS = {
    "jsonl": JSONL,
    "no line end": JSONL[:-1],
    "crlf": JSONL.replace(b"\n", b"\r\n"),
    "blank lines": JSONL.replace(b"\n", b"\n\n"),
    "byte order mark": b"\xef\xbb\xbf" + JSONL,
    "array": json.dumps(ROWS).encode(),
    "indented array": json.dumps(ROWS, indent=2).encode(),
    "array with a byte order mark": b"\xef\xbb\xbf\n" + json.dumps(ROWS).encode(),
    "gzip": gzip.compress(JSONL),
    "two gzip members": gzip.compress(JSONL[:1000]) + gzip.compress(JSONL[1000:]),
    "padded gzip": gzip.compress(JSONL) + b"\0" * 512,
    "zstd": zstandard.compress(JSONL),
    "two zstd frames": zstandard.compress(JSONL[:1000]) + zstandard.compress(JSONL[1000:]),
    "gzipped array": gzip.compress(json.dumps(ROWS, indent=1).encode()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_records(layout, path):
    expected, _ = read(path(JSONL))
    assert [r["output"] for r in expected] == [r["output"] for r in ROWS]
    assert expected[3]["metadata"] == {"topic": {"n": 3}}
    records, rejects = read(path(LAYOUTS[layout]))
    assert records == expected
    assert not rejects


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_parquet_gives_the_same_records(pack, path):
    expected, _ = read(path(JSONL))
    expected[0]["steps"] = [{"instruction": "x", "check": {"kind": "k", "n": [1]}}]
    expected[1]["images"], expected[2]["history"] = ["a.png"], [["a", "b"]]
    assert read(path(pack(parquet_bytes(expected)))) == (expected, [])


def test_a_valid_record_keeps_its_bytes(path):
    line = b'{"id": "a", "instruction":"x","input":"","output":"","lineage":{"root":"a","iteration":0,"operation":"seed"}}'  # fmt: skip  # noqa: E501
    (row,) = readers.read_records([str(path(line + b"\n"))], RunStats("test"))
    assert row.raw == line


BROKEN = {
    "cut gzip": (gzip.compress(JSONL)[:-40], "ends before its end marker"),
    "cut zstd": (zstandard.compress(JSONL)[:-20], "ends before its end marker"),
    "damaged gzip": (gzip.compress(JSONL)[:200] + b"damage" * 50, "compressed data is damaged"),
    "garbage after gzip": (gzip.compress(JSONL) + b"garbage", "not compressed"),
    "cut array": (json.dumps(ROWS).encode()[:5000], "not closed"),
    "text after an array": (json.dumps(ROWS).encode() + b" {}", "follows the end"),
    "array with an open quote": (b'[{"instruction":"a"},{"instruction":"b}]', "not closed"),
    "cut parquet": (parquet_bytes([])[:-6], "Parquet file is damaged"),
}  # fmt: skip
BROKEN["utf-16"] = (JSONL.decode().encode("utf-16"), "UTF-16")


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_source_has_a_message_and_its_good_rows_are_read(fault, path):
    content, message = BROKEN[fault]
    records, rejects = read(path(content))
    assert rejects[-1]["reason"] == "broken-source"
    assert message in rejects[-1]["message"]
    good = {r["output"] for r in ROWS}
    assert all(r["output"] in good | {""} for r in records)
    if fault in ("cut gzip", "cut array", "garbage after gzip"):
        assert len(records) > 10
    with pytest.raises(StrictError, match=message):
        read(path(content), strict=True)


def test_one_bad_row_does_not_affect_its_neighbours(path):
    rows = [b'{"instruction":"a"}', b"{oops", b'{"instruction":"b"}']
    for content in (b"\n".join(rows), b"[" + b",\n".join(rows).replace(b"oops", b"oops}") + b"]"):
        records, rejects = read(path(content))
        assert [r["instruction"] for r in records] == ["a", "b"]
        assert [r["line"] for r in rejects] == [2]
        assert rejects[0]["raw"].startswith("{oops")


def test_a_row_that_is_too_long_is_refused(path, monkeypatch):
    monkeypatch.setattr(split, "MAX_ROW", 1000)
    long = b'{"instruction":"' + b"x" * 600_000 + b'"}\n'
    records, rejects = read(path(long + JSONL))
    assert len(records) == len(ROWS)
    assert rejects[0]["message"].startswith("the row has 600,018 bytes; the longest accepted")
    records, rejects = read(path(b"[" + long + b"]"))
    assert "over 1,000 bytes" in rejects[0]["message"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"instruction": 3}, "instruction: expected text, found the number 3"),
        ({"instruction": ""}, "must not be empty"),
        ({"output": "x"}, "'instruction' is missing"),
        ({"messages": []}, "seqit import --format messages"),
        ({"instruction": "x", "input": ["a"]}, "input: expected text, found a list"),
        ({"instruction": "x", "steps": [{"instruction": "y", "check": {}}]}, "steps[0].check"),
        ({"instruction": "x", "metadata": {"a": 1}, "a": 2}, "in metadata"),
        ("text", "expected an object"),
        (None, "expected an object"),
    ],
)
def test_an_invalid_row_names_the_field_and_what_to_do(row, message, path):
    records, rejects = read(path(json.dumps(row).encode()))
    assert not records
    assert message in rejects[0]["message"]


def test_null_counts_as_absent(path):
    ((record,), _) = read(path(b'{"instruction":"x","input":null,"system":"","images":[]}'))
    assert (record["input"], "system" in record, "images" in record) == ("", False, False)


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.builds(lambda a, b, c: a + b + c, st.sampled_from([b"\x1f\x8b", b"\x28\xb5\x2f\xfd",
                  b"PAR1", b"[", b"\xef\xbb\xbf", b"\xff\xfe", b"{"]), st.binary(max_size=80),
                  st.sampled_from([b"", b"]", b"}", b"PAR1", b"\n"])),
        st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b",", b'"', b"\\", b"\n", b":", b" ",
                 b'{"instruction":"a"}', b"1", b"\xc3", b"\0"]), max_size=30).map(b"".join),
    ),
    st.sampled_from([bytes, gzip.compress, zstandard.compress]),
    st.integers(1, 40),
)  # fmt: skip
def test_every_row_of_any_bytes_is_counted(path, content, pack, chunk):
    target = path(pack(content))
    with mock.patch.object(sources, "CHUNK", chunk):  # rows then span several reads
        records, rejects = read(target)  # checks that the counts add up
    assert all(record["instruction"] for record in records)
    assert all(reject["message"] for reject in rejects)


def test_sources_are_checked_before_the_first_row(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text("")
    with pytest.raises(
        SeqitError, match=r"is a directory; name the files in it, such as .*a\.jsonl"
    ):
        check_sources((str(tmp_path),))
    with pytest.raises(SeqitError, match=r"nowhere\.jsonl: no such file"):
        check_sources((str(tmp_path / "a.jsonl"), "nowhere.jsonl"))
    with pytest.raises(SeqitError, match="named twice"):
        check_sources(("-", "-"))
    monkeypatch.setattr(sys, "stdin", mock.Mock(isatty=lambda: True))
    with pytest.raises(SeqitError, match="nothing to read"):
        check_sources(())
