"""seqit judge: a server with faults, a recording, several judges, and queries of its scores."""

import json
import os
import subprocess
from collections import Counter, defaultdict

import pytest
from support.answering_server import AnsweringServer
from support.judging import item, response
from support.paths import BIN, ROOT

OPERATIONS = ("decompose", "prefix", "suffix")


def lines(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def chain(number):
    """Return an item of iteration 1 to 4, made by one of the operations."""
    iteration, index = 1 + number % 4, number // 4
    operation = OPERATIONS[index % 3 if iteration == 1 else 1 + index % 2]
    lineage = {"root": f"root {number}", "iteration": iteration, "operation": operation}
    return item(number, lineage=lineage, output="", steps=None)


RESPONSES = [response(chain(n), f"This is answer {n}.") for n in range(150)]


@pytest.fixture(scope="module")
def server():
    with AnsweringServer("--answers", "support.judge_answers:reply") as running:
        yield running


def test_each_judgement_belongs_to_its_answer_at_a_server_with_faults(seqit, tmp_path):
    options = ("--faults", "0.3", "--jitter", "0.01", "--answers", "support.judge_answers:reply")
    with AnsweringServer(*options) as server:
        ran = seqit(
            *("judge", "--judge", "openai:test", "--metrics", "quality,steps", "--controls", 0),
            *("--cache", tmp_path / "cache", "--retries", 20, "--rejects", tmp_path / "rejects"),
            stdin=lines(RESPONSES[:60]),
            OPENAI_BASE_URL=server.url,
        )
        assert sum(server.stats()["faults"].values()) > 30
    scores = ran.rows
    expected = [each["id"] for each in RESPONSES[:60]]
    assert list(dict.fromkeys(score["id"] for score in scores)) == expected
    answers = {each["id"]: each["output"] for each in RESPONSES}
    scored = [s for s in scores if s["metric"] != "step" and s["status"] == "scored"]
    assert all(s["reason"] == f"About: {answers[s['id']]}" for s in scored)
    # After three empty answers in a row, the judgement failed and has no value.
    failed = [s for s in scores if s["status"] != "scored"]
    assert ran.code == (3 if failed else 0)
    assert len((tmp_path / "rejects").read_bytes().splitlines()) == len(failed)
    assert len(failed) < 10
    assert all(s["value"] is None for s in failed)


@pytest.mark.slow
def test_seqeval_end_to_end_with_a_recorded_judge(data, server, seqit, tmp_path):
    env = {"OPENAI_BASE_URL": server.url}
    responses, recording = tmp_path / "responses.jsonl", tmp_path / "recording.jsonl"
    answered = seqit(
        *("respond", "--model", "openai:test", "--no-cache", "-o", responses),
        data / "seqeval" / "seqEval.json",
        **env,
    )
    assert "read 805, written 804, rejected 0, failed 1" in answered.err
    command = ("judge", "--no-cache", "--metrics", "quality,following,steps", responses)
    live = seqit(*command, "--judge", "openai:test", "--record", recording, **env)
    replayed = seqit(*command, "--judge", f"replay:{recording}")
    assert (live.code, replayed.code) == (0, 0), replayed.err
    scores, replayed_scores = live.rows, replayed.rows
    assert {row.pop("judge") for row in scores} == {"openai:test"}
    assert {row.pop("judge") for row in replayed_scores} == {"replay:recording.jsonl"}
    assert scores == replayed_scores
    by_metric = Counter(row["metric"] for row in scores if "control" not in row)
    assert by_metric["quality"] == by_metric["following"] == 804
    assert by_metric["step"] >= 2 * 804
    assert len({row["id"] for row in scores if "control" not in row}) == 804
    assert "control items" in replayed.err


def test_following_by_iteration_and_operation_is_one_query(server, seqit, tmp_path):
    scores = tmp_path / "scores.jsonl"
    ran = seqit(
        *("judge", "--judge", "openai:test", "--metrics", "following", "--no-cache"),
        *("-o", scores),
        stdin=lines(RESPONSES),
        OPENAI_BASE_URL=server.url,
    )
    assert ran.code == 0, ran.err
    query = """
        SELECT iteration, operation, count(*) AS n, avg(value) AS following FROM scores
        WHERE metric = 'following' AND control IS NULL GROUP BY ALL ORDER BY ALL
    """
    results = seqit("sql", query, scores, "-f", "jsonl").rows
    groups = defaultdict(list)
    for line in scores.read_text().splitlines():
        score = json.loads(line)
        if "control" not in score:
            groups[score["iteration"], score["operation"]].append(score["value"])
    assert len(groups) == 9 and sum(map(len, groups.values())) == len(RESPONSES)
    assert {(row["iteration"], row["operation"]): row["n"] for row in results} == {
        key: len(values) for key, values in groups.items()
    }
    for row in results:
        values = groups[row["iteration"], row["operation"]]
        assert row["following"] == pytest.approx(sum(values) / len(values))


def test_a_pipe_of_respond_and_judge(server, seqit):
    env = {"OPENAI_BASE_URL": server.url}
    items = lines([chain(n) for n in range(20)])
    answered = seqit("respond", "--model", "openai:test", "--no-cache", stdin=items, **env)
    ran = seqit("judge", "--judge", "openai:test", "--no-cache", stdin=answered.out, **env)
    assert ran.code == 0, ran.err
    assert len([row for row in ran.rows if "control" not in row]) == 2 * 20
    assert seqit("validate", "--schema", "response", stdin=answered.out).code == 0
    assert seqit("validate", "--schema", "score", stdin=ran.out).code == 0


def test_several_judges(server, seqit, tmp_path):
    rows = [response(item(n)) for n in range(2, 22)]
    env = {"OPENAI_BASE_URL": server.url}
    recording = tmp_path / "recording.jsonl"
    command = ("judge", "--no-cache", "--metrics", "quality", "--controls", 1)
    one = ("--judge", "openai:one")
    single = seqit(*command, *one, "--record", recording, stdin=lines(rows), **env)
    both = seqit(
        *(*command, *one, "--judge", f"replay:{recording}", "--base-url", server.url),
        *("--manifest", tmp_path / "manifest"),
        stdin=lines(rows),
    )
    assert both.code == 0, both.err
    judges = [row["judge"] for row in both.rows]
    assert judges == ["openai:one", "replay:recording.jsonl"] * (len(judges) // 2)
    assert both.rows[::2] == single.rows
    assert [row["value"] for row in both.rows[1::2]] == [row["value"] for row in single.rows]
    manifest = json.loads((tmp_path / "manifest").read_text())
    assert set(manifest["counts"]["judges"]) == set(judges)
    assert "openai:one: requests" in both.err


def test_votes_are_not_greedy(server, seqit):
    rows = lines([response(item(2))])
    command = ("judge", "--judge", "openai:test", "--no-cache", "--controls", 0)
    env = {"OPENAI_BASE_URL": server.url}
    ran = seqit(*command, "--votes", 3, "--metrics", "quality", stdin=rows, **env)
    assert [row["vote"] for row in ran.rows] == [1, 2, 3]
    assert server.last()[1]["temperature"] == 1.0
    seqit(*command, stdin=rows, **env)
    assert server.last()[1]["temperature"] == 0.0


def test_two_models_are_compared(server, seqit, tmp_path):
    ours = [response(item(n), f"Ours {n}.", "ours") for n in range(12)]
    theirs = [response(item(n), f"Theirs {n}, longer.", "theirs") for n in range(2, 14)]
    (tmp_path / "theirs.jsonl").write_bytes(lines(theirs))
    with AnsweringServer("--answers", "support.judge_answers:prefer_longer") as judge:
        ran = seqit(
            *("judge", "--judge", "openai:test", "--no-cache", "--controls", 0),
            *("--against", tmp_path / "theirs.jsonl"),
            stdin=lines(ours),
            OPENAI_BASE_URL=judge.url,
        )
        assert judge.stats()["requests"] == 20
    assert ran.code == 3
    assert [(row["model"], row["against"], row["value"]) for row in ran.rows] == [
        ("ours", "theirs", 0.0)
    ] * 10
    assert "failed 2 (no-counterpart 2)" in ran.err
    assert "2 responses of" in ran.err and "matched no response" in ran.err


def test_a_baseline_file_of_two_models_is_an_error(seqit, tmp_path):
    (tmp_path / "both.jsonl").write_bytes(
        lines([response(item(1), model="a"), response(item(1), model="b")])
    )
    ran = seqit("judge", "--judge", "openai:test", "--against", tmp_path / "both.jsonl")
    assert ran.code == 1 and "more than once" in ran.err


def test_rows_that_are_not_responses_fail(seqit, tmp_path):
    invalid = [RESPONSES[0] | {"item": {"instruction": "Name a fish."}}, {"id": "x"}, [1]]
    ran = seqit(
        *("judge", "--judge", "builtin", "--rejects", tmp_path / "rejects"), stdin=lines(invalid)
    )
    assert (ran.code, ran.out) == (3, b"")
    rejects = [json.loads(line) for line in (tmp_path / "rejects").read_text().splitlines()]
    assert [each["stage"] for each in rejects] == ["validate"] * 3
    assert rejects[0]["message"].startswith("item: 'id' is missing")


def test_strict_stops_at_the_first_unparseable_judgement(server, seqit, tmp_path):
    rows = [response(item(n), "[fault:hang-up]") for n in range(3)]
    with AnsweringServer("--answers", "support.judge_answers:ramble") as judge:
        ran = seqit(
            *("judge", "--judge", "openai:test", "--no-cache", "--strict", "-o", tmp_path / "out"),
            stdin=lines(rows),
            OPENAI_BASE_URL=judge.url,
        )
    assert ran.code == 1
    assert "no quality" in ran.err
    assert not (tmp_path / "out").exists()


def test_an_unparseable_judgement_is_requested_again_by_the_next_run(seqit, tmp_path):
    row = lines([response(item(2))])
    command = ("judge", "--judge", "openai:test", "--metrics", "quality", "--controls", 0)
    cache = ("--cache", tmp_path / "cache")
    with AnsweringServer("--answers", "support.judge_answers:ramble") as judge:
        for number in (1, 2):
            ran = seqit(*command, *cache, stdin=row, OPENAI_BASE_URL=judge.url)
            assert (ran.code, ran.rows[0]["status"]) == (3, "unparseable")
            assert judge.stats()["requests"] == 3 * number


def test_an_estimate_sends_no_request(server, seqit):
    before = server.stats()["requests"]
    ran = seqit("judge", "--judge", "openai:test", "--judge", "builtin", "--dry-run",
                stdin=lines(RESPONSES), OPENAI_BASE_URL=server.url)  # fmt: skip
    assert (ran.code, ran.out) == (0, b"")
    assert "an estimate for 150 rows and openai:test" in ran.err
    assert server.stats()["requests"] == before


def test_builtin_verifies_chains_and_needs_no_model(seqit):
    chains = seqit("augment", "--iterations", 2, "--seed", 3, ROOT / "seqit/examples/seeds.jsonl")
    checked = [row for row in chains.rows if any("check" in s for s in row.get("steps", ()))]
    assert len(checked) > 10
    ran = seqit("judge", "--judge", "builtin", "--controls", 0,
                stdin=lines([response(row) for row in chains.rows]))  # fmt: skip
    assert ran.code == 0, ran.err
    following = [row for row in ran.rows if row["metric"] == "following"]
    assert len(following) == len(checked)
    assert all(row["value"] == 1 for row in ran.rows)
    assert {row["judge"] for row in ran.rows} == {"program"}
    assert f"rejected {len(chains.rows) - len(checked)}" in ran.err
    empty = seqit("judge", "--judge", "builtin", "--controls", 0,
                  stdin=lines([response(row, "") for row in checked]))  # fmt: skip
    assert {row["value"] for row in empty.rows} == {0}


def test_scores_are_written_before_the_next_response_is_read(server):
    command = [BIN / "seqit", "judge", "--judge", "openai:test", "--no-cache", "-q"]
    env = os.environ | {"OPENAI_BASE_URL": server.url}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    for each in RESPONSES[:3]:
        process.stdin.write(lines([each]))
        process.stdin.flush()
        scores = [json.loads(process.stdout.readline()) for _ in ("quality", "following")]
        assert [score["id"] for score in scores] == [each["id"]] * 2
    rest, _ = process.communicate()  # the control items
    assert process.returncode == 0
    assert all("control" in json.loads(line) for line in rest.splitlines())
