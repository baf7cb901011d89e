"""A server on which three of ten requests fail, and the statistics that are right nevertheless."""

import json
from collections import Counter

import pytest
from support.answering_server import AnsweringServer

ROWS = 5000
DIFFERENT = 700
FAULTS = "429,500,503,cut,cut-headers,cut-body,invalid-json,truncated-json,wrong-model,empty,length"
UNLUCKY = {
    *("empty", "truncated", "rate-limited", "server-error", "connection", "malformed-response"),
    "wrong-model",
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory, seqit):
    """Many rows with equal prompts; every hundredth has a lasting fault."""
    lasting = ["[fault:filter]", "[fault:too-long]", "[fault:length]", "[fault:400]"]
    lines = []
    for n in range(ROWS):
        fault = lasting[n // 100 % len(lasting)] if n % 100 == 50 else ""
        fault = "[fault:500]" if n in (1000, 3000) else fault
        fault = "[fault:hang*1]" if n % 500 == 20 else fault
        row = {"instruction": f"Question {n % DIFFERENT} of many. {fault}", "output": f"old {n}"}
        lines.append(json.dumps(row).encode() + b"\n")
    path = tmp_path_factory.mktemp("faults") / "rows.jsonl"
    assert seqit("import", "--format", "alpaca", "-o", path, stdin=b"".join(lines)).code == 0
    return path


def is_lost(row):
    """Return whether the row's fault lasts."""
    return "[fault:" in row["instruction"] and "*" not in row["instruction"]


def run(seqit, server, rows, folder, *more):
    options = ("--retries", 6, "--timeout", 1, "--cache", folder / "cache", "--max-concurrency", 64)
    return seqit(
        *("augment", "--method", "regenerate", "--teacher", "openai:test", *options, *more, rows),
        *("--rejects", folder / "rejects", "--manifest", folder / "manifest"),
        OPENAI_BASE_URL=server.url,
    )


def test_every_row_ends_written_or_rejected_with_the_true_reason(rows, seqit, tmp_path):
    with AnsweringServer("--faults", "0.3", "--fault-kinds", FAULTS) as server:
        ran = run(seqit, server, rows, tmp_path)
        stats = server.stats()
    assert ran.code == 3, ran.err
    imported = [json.loads(line) for line in rows.read_bytes().splitlines()]
    written, expected = ran.rows, [row for row in imported if not is_lost(row)]

    # Order and pairing: each row has the answer to its question.
    rejects = [json.loads(line) for line in (tmp_path / "rejects").read_bytes().splitlines()]
    unlucky = {r["id"] for r in rejects if not is_lost(r["row"])}
    expected = [row for row in expected if row["id"] not in unlucky]
    assert [row["lineage"]["parent"] for row in written] == [row["id"] for row in expected]
    for row in written:
        assert row["output"].endswith(f" answers: {row['instruction'].strip()}")

    # The statistics: no row is missing, and each reason matches the server's fault.
    manifest = json.loads((tmp_path / "manifest").read_bytes())
    assert manifest["read"] == ROWS == manifest["written"] + manifest["failed"]
    assert len(rejects) == manifest["failed"] == ROWS - len(written)
    expected_reasons = {
        "500": "server-error",
        "filter": "refused",
        "too-long": "too-long",
        "length": "truncated",
        "400": "bad-request",
    }
    reasons = Counter()
    for reject in rejects:
        _, _, fault = reject["row"]["instruction"].partition("[fault:")
        if is_lost(reject["row"]):
            assert reject["reason"] == expected_reasons[fault.rstrip("]")], reject
            reasons[reject["reason"]] += 1
        else:  # three unusable completions in a row, or seven failed tries
            assert reject["reason"] in UNLUCKY, reject
    assert set(reasons) == set(expected_reasons.values())
    assert len(unlucky) < ROWS / 50
    assert sum(stats["faults"].values()) > 0.2 * stats["requests"]


def test_the_next_run_requests_only_what_is_missing(rows, seqit, tmp_path):
    with AnsweringServer() as server:
        first = run(seqit, server, rows, tmp_path)
        served = server.stats()["requests"]
        second = run(seqit, server, rows, tmp_path)
        more = server.stats()["requests"] - served
    assert second.out == first.out
    manifest = json.loads((tmp_path / "manifest").read_bytes())
    assert more < served / 3
    assert manifest["counts"]["model"]["cached"] == len(first.rows)


def test_a_wrong_key_ends_the_run_with_a_message_and_is_not_shown(rows, seqit, tmp_path):
    line = json.dumps({"instruction": "[fault:401] Name a fish.", "output": "A cod."}).encode()
    with AnsweringServer() as server:
        ran = seqit(
            *("augment", "--method", "regenerate", "--teacher", "openai:test"),
            *("--cache", tmp_path / "cache", "--manifest", tmp_path / "manifest"),
            stdin=line,
            OPENAI_BASE_URL=server.url,
            OPENAI_API_KEY="sk-very-secret-key",
        )
    assert (ran.code, ran.out) == (1, b"")
    assert "OPENAI_API_KEY" in ran.err
    text = ran.err.encode() + b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"very-secret" not in text


def test_a_missing_server_is_reported(rows, seqit, tmp_path):
    ran = seqit(
        *("augment", "--method", "regenerate", "--teacher", "openai:test", rows),
        *("--retries", 0, "--cache", tmp_path / "cache", "-o", tmp_path / "out.jsonl"),
        OPENAI_BASE_URL="http://127.0.0.1:1/v1",
    )
    assert ran.code == 1
    assert "127.0.0.1:1" in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "out.jsonl").exists()
