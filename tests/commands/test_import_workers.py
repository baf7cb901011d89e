"""seqit import in several processes: the same bytes, rejects and statistics as in one."""

import json
from unittest import mock

import pytest

from seqit.engine import processes
from seqit.engine.ingest import read_format
from seqit.engine.processes import WorkerPool
from seqit.records.run_stats import RunStats, StrictError
from seqit.records.writers.sink import encode

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def alpaca(number: int) -> bytes:
    kinds = (
        {"instruction": f"Name {number} rivers.", "input": "", "output": "The Rhine."},
        {"instruction": f"Name {number} lakes.", "output": "Loch Ness.", "topic": [number]},
        {"instruction": "", "output": "x"},
        {"instruction": number},
        "a text",
    )
    if number % 50 == 49:
        return b'{"instruction": "cut off'
    return json.dumps(kinds[number % 9 if number % 9 < 5 else 0]).encode()


def self_instruct(number: int) -> bytes:
    instances = [{"input": "", "output": f"{n}"} for n in range(number % 4)]
    return json.dumps({"instruction": f"Count to {number}.", "instances": instances}).encode()


def flancot(number: int) -> bytes:
    line = f"How much is {number} + 1?\t{number + 1}\t{number} and one more."
    return b"broken \xff line" if number % 40 == 9 else line.encode()[: -1 if number % 7 else None]


def seq_instruct(number: int) -> bytes:
    end = "" if number % 30 == 7 else "###"
    row = {"full_response": f"#New Instruction#:\nCount to {number}. Count back.{end}"}
    if number % 3:
        row["seq_instruction"] = f"Count to {number}.{' Count back.' if number % 5 else ''}"
    return json.dumps(row).encode()


FORMATS = {
    "alpaca": alpaca,
    "self-instruct": self_instruct,
    "seq-instruct": seq_instruct,
    "flancot": flancot,
}


def import_rows(path, form, workers, *, strict=False):
    """Return the lines, the rejects and the manifest of an import."""
    rejects: list[bytes] = []
    stats = RunStats("import", lambda reject: rejects.append(encode(reject)), strict)
    with WorkerPool(workers) as pool:
        parallel_map = pool.map if workers > 1 else None
        rows = read_format([str(path)], stats, format_name=form, parallel_map=parallel_map)
        lines = [row.raw or encode(row.value) for row in rows]
    stats.written = len(lines)
    stats.close()
    return lines, rejects, stats.manifest()


@pytest.fixture(params=FORMATS)
def source(request, tmp_path):
    path = tmp_path / f"{request.param}.txt"
    path.write_bytes(b"\n".join(FORMATS[request.param](number) for number in range(3000)))
    return path, request.param


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("guessed", [False, True])
def test_workers_do_not_change_the_result(source, workers, guessed):
    path, form = source
    form = "auto" if guessed else form
    sequential = import_rows(path, form, 1)
    with (
        mock.patch.object(processes, "MIN_PARALLEL_BYTES", 2000),
        mock.patch.object(processes, "BATCH_BYTES", 1 << 14),
    ):
        parallel = import_rows(path, form, workers)
    assert len(sequential[0]) > 1000
    assert sequential[1] or form != "alpaca"
    assert parallel == sequential


def test_differences_from_the_publishers_parser_are_counted(tmp_path):
    path = tmp_path / "recorded.jsonl"
    path.write_bytes(b"\n".join(seq_instruct(number) for number in range(3000)))
    counts = import_rows(path, "seq-instruct", 1)[2]["counts"]["parser"]
    assert counts["instruction"] == {"same": 1500, "content": 400, "unreadable": 100}
    differences = counts["differences"]
    assert len(differences) == 20
    assert differences[0] == {
        "reading": "instruction",
        "line": 6,
        "kind": "content",
        "ours": "Count to 5. Count back.",
        "theirs": "Count to 5.",
        "reason": "",
    }


def test_strict_stops_at_the_same_row(tmp_path):
    path = tmp_path / "a.jsonl"
    good = json.dumps({"instruction": "Name a river.", "output": "The Elbe."}).encode()
    path.write_bytes(b"\n".join([*[good] * 500, b"{oops", *[good] * 500, b"{oops again"]))
    with pytest.raises(StrictError) as sequential:
        import_rows(path, "alpaca", 1, strict=True)
    with (
        mock.patch.object(processes, "MIN_PARALLEL_BYTES", 2000),
        pytest.raises(StrictError) as parallel,
    ):
        import_rows(path, "alpaca", 2, strict=True)
    assert ":501:" in str(sequential.value)
    assert str(parallel.value) == str(sequential.value)


def test_parquet_and_json_arrays_are_read_in_one_process(tmp_path, seqit):
    rows = b"\n".join(alpaca(0) for _ in range(100))
    assert seqit("import", "-q", "-o", tmp_path / "a.parquet", stdin=rows).code == 0
    again = seqit("import", "--workers", 3, tmp_path / "a.parquet")
    assert (again.code, len(again.rows)) == (0, 100)
    array = b"[" + rows.replace(b"\n", b",\n") + b"]"
    assert seqit("import", "--workers", 3, stdin=array).out == seqit("import", stdin=rows).out
