"""respond: every response belongs to its item, and a failed completion is no response."""

import json
from collections import Counter

import pytest
from support.answering_server import AnsweringServer
from support.judging import item
from support.scripted import scripted_model

from seqit.errors import UsageError
from seqit.evaluate.items import FewShotExamples, benchmark_of, lineage_of
from seqit.evaluate.respond import respond, summary_lines
from seqit.llm.request import Completion, FailedRequest, Sampling
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema

ITEMS = [item(n) for n in range(2, 8)]


def run(items, reply=lambda request: "So.", **options):
    rejects = []
    stats = RunStats("respond", rejects.append)
    model = scripted_model(reply)
    rows = [Row(each, "items", n) for n, each in enumerate(items, 1)]
    responses = [row.value for row in respond(iter(rows), stats, model=model, seed=0, **options)]
    stats.read, stats.written = len(rows), len(responses)
    stats.close()
    assert all(map(schema("response").is_valid, responses))
    return responses, stats, model.runner.requests, rejects


def test_a_response():
    record = item(3, system="Be brief.", history=[["Hello.", "Hi."]])
    answer = Completion("Three rivers.", "stop", 12, 3)
    (response,), _, (request,), _ = run([record], lambda _: answer, label="mine", training="abc")
    assert response == {
        "id": record["id"],
        "model": "mine",
        "sample": 0,
        "output": "Three rivers.",
        "finish": "stop",
        "item": record,
        "lineage": {"root": "root 3", "iteration": 1, "operation": "suffix"},
        "prompt_tokens": 12,
        "output_tokens": 3,
        "training": "abc",
    }
    assert request.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": record["instruction"]},
    ]


def test_images_are_sent():
    *_, (request,), _ = run([item(3, images=["fish.png"])])
    assert request.messages[0]["content"][0] == {"type": "image", "image": "fish.png"}


def test_samples_have_different_seeds_and_follow_each_other():
    responses, stats, requests, _ = run(ITEMS[:2], lambda r: f"By {r.seed}.", samples=3)
    assert [(r["id"], r["sample"]) for r in responses] == [
        (each["id"], n) for each in ITEMS[:2] for n in range(3)
    ]
    assert len({request.seed for request in requests}) == 6
    assert stats.added == 4
    assert [r["output"] for r in responses] == [f"By {request.seed}." for request in requests]


def test_a_sample_does_not_depend_on_the_number_of_samples():
    many = run(ITEMS[:2], lambda r: f"By {r.seed}.", samples=4)[0]
    few = run(ITEMS[1:2], lambda r: f"By {r.seed}.", samples=2)[0]
    assert [r["output"] for r in many[4:6]] == [r["output"] for r in few]


@pytest.mark.parametrize(
    ("completion", "output", "finish"),
    [
        (Completion("    return 1\n", "stop"), "    return 1\n", "stop"),  # code keeps its indent
        (Completion("Three riv", "length"), "Three riv", "length"),
        (Completion("<think>3?</think>\n\nThree.", "stop"), "Three.", "stop"),
        (Completion("<think>Let me see", "length"), "", "length"),
        (Completion("", "length"), "", "length"),
        ("Error", "Error", "stop"),
    ],
)
def test_output_and_finish_reason(completion, output, finish):
    (response,), stats, requests, _ = run(ITEMS[:1], lambda _: completion)
    assert (response["output"], response["finish"]) == (output, finish)
    assert len(requests) == 1
    assert stats.results["answers"]["length"] == (finish == "length")


def test_an_empty_answer_is_retried_and_then_accepted():
    (response,), stats, requests, _ = run(ITEMS[:1], lambda _: " ")
    assert response["output"].strip() == ""
    assert len(requests) == 5
    assert summary_lines(stats) == ["of the answers 1 empty"]
    replies = iter(["", "Three."])
    (response,), *_ = run(ITEMS[:1], lambda _: next(replies))
    assert response["output"] == "Three."


@pytest.mark.parametrize(
    ("reply", "reason", "attempts"),
    [
        (FailedRequest("timeout", "no answer in time"), "timeout", 1),
        (FailedRequest("too-long", "300 tokens"), "too-long", 1),
        (Completion("", "content_filter"), "refused", 5),
        ("THIS EVALUATION FAILED AFTER 5 ATTEMPTS.", "placeholder", 5),
        ("[Insert the answer here]", "placeholder", 5),
    ],
)
def test_a_failed_completion_is_no_response(reply, reason, attempts):
    responses, stats, requests, (reject,) = run(ITEMS[:1], lambda _: reply)
    assert (responses, stats.failed, len(requests)) == ([], 1, attempts)
    assert (reject["reason"], reject["stage"], reject["id"]) == (reason, "respond", ITEMS[0]["id"])


def test_an_item_left_by_a_failed_call_is_rejected():
    broken = item(3, instruction="THIS EVALUATION FAILED AFTER 5 ATTEMPTS.", steps=None)
    responses, stats, requests, (reject,) = run([broken, ITEMS[0]])
    assert (len(responses), stats.rejected, len(requests)) == (1, 1, 1)
    assert (reject["stage"], reject["reason"]) == ("item", "placeholder")


# --- few-shot --------------------------------------------------------------------------------


def test_shots_are_earlier_turns():
    shots = FewShotExamples(ITEMS[:3], 2)
    record = item(9, history=[["Hello.", "Hi."]], system="Be brief.")
    *_, (request,), _ = run([record], shots=shots)
    assert [message["content"] for message in request.messages] == [
        "Be brief.",
        *(part for each in ITEMS[:2] for part in (each["instruction"], each["output"])),
        "Hello.",
        "Hi.",
        record["instruction"],
    ]


def test_a_shot_that_is_the_item_is_replaced_by_the_next():
    *_, (request,), _ = run([ITEMS[0]], shots=FewShotExamples(ITEMS[:3], 2))
    users = [m["content"] for m in request.messages if m["role"] == "user"]
    assert users == [each["instruction"] for each in (ITEMS[1], ITEMS[2], ITEMS[0])]


def test_the_response_has_the_item_without_the_shots():
    (response,), *_ = run([ITEMS[4]], shots=FewShotExamples(ITEMS[:2], 2))
    assert response["item"] == ITEMS[4]


@pytest.mark.parametrize(
    "examples",
    [
        [ITEMS[0]],
        [ITEMS[0], item(9, output="", steps=None)],
        [ITEMS[0], item(9, images=["fish.png"])],
        [ITEMS[0], item(9, history=[["a", "b"]])],
        [ITEMS[0], item(9, system="Be brief.")],
    ],
)
def test_unusable_shots(examples):
    with pytest.raises(UsageError, match="--shots"):
        FewShotExamples(examples, 2)


def test_no_shots():
    *_, (request,), _ = run([ITEMS[0]], shots=FewShotExamples(ITEMS, 0))
    assert len(request.messages) == 1


# --- metadata of an item ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "benchmark", "lineage"),
    [
        ({}, "", {"root": "root 1", "iteration": 1, "operation": "suffix"}),
        ({"lineage": {"root": "r", "iteration": 0, "operation": "seed"},
          "metadata": {"iteration": 4}}, "seqeval", {"root": "r", "iteration": 4}),
        ({"lineage": {"root": "r", "iteration": 0, "operation": "seed"},
          "metadata": {"iteration": "x"}}, "",
         {"root": "r", "iteration": 0, "operation": "seed"}),
        ({"lineage": {"root": "r", "iteration": 2, "operation": "prefix", "method": "seqeval",
                      "teacher": "t", "seed": 3}}, "seqeval",
         {"root": "r", "iteration": 2, "operation": "prefix", "method": "seqeval",
          "teacher": "t"}),
        ({"source": {"format": "gsm8k"}}, "gsm8k",
         {"root": "root 1", "iteration": 1, "operation": "suffix"}),
    ],
)  # fmt: skip
def test_benchmark_and_lineage(parts, benchmark, lineage):
    record = item(1, **parts)
    assert (benchmark_of(record), lineage_of(record)) == (benchmark, lineage)
    (response,), *_ = run([record])
    assert response.get("benchmark", "") == benchmark
    (response,), *_ = run([record], benchmark="own")
    assert response["benchmark"] == "own"


# --- the command, at a server ----------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    with AnsweringServer("--answers", "support.judge_answers:reply") as running:
        yield running


def lines(rows):
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


MANY = [item(n) for n in range(200)]


@pytest.mark.parametrize("samples", [1, 2])
def test_each_answer_belongs_to_its_own_item_under_faults(samples, seqit, tmp_path):
    options = ("--faults", "0.3", "--jitter", "0.01", "--answers", "support.judge_answers:reply")
    with AnsweringServer(*options) as server:
        ran = seqit(
            *("respond", "--model", "openai:test", "--samples", samples, "--temperature", 1),
            *("--cache", tmp_path / "cache", "--retries", 20, "--manifest", tmp_path / "m"),
            stdin=lines(MANY),
            OPENAI_BASE_URL=server.url,
        )
        faults = server.stats()["faults"]
    assert ran.code == 0, ran.err
    assert sum(faults.values()) > 30 * samples
    assert [(row["id"], row["sample"]) for row in ran.rows] == [
        (each["id"], n) for each in MANY for n in range(samples)
    ]
    assert all(row["output"] == f"Answer to: {row['item']['instruction']}" for row in ran.rows)
    assert all(row["item"] == each for row, each in zip(ran.rows[::samples], MANY, strict=True))


def test_it_is_greedy_by_default(server, seqit, tmp_path):
    def request_body(*args):
        ran = seqit("respond", "--model", "openai:test", "--no-cache", *args, stdin=lines(MANY[:1]),
                    OPENAI_BASE_URL=server.url)  # fmt: skip
        assert ran.code == 0, ran.err
        return server.last()[1]

    body = request_body("--stop", "END", "--stop", "\n\n")
    assert (body["temperature"], body["stop"]) == (0.0, ["END", "\n\n"])
    assert "top_p" not in body
    body = request_body("--temperature", "0.8")
    assert (body["temperature"], body["top_p"]) == (0.8, 0.95)
    assert request_body("--temperature", "0.8", "--top-p", "0.5")["top_p"] == 0.5


def test_a_killed_run_asks_only_for_what_is_missing(server, seqit, tmp_path):
    common = ("respond", "--model", "openai:test", "--cache", tmp_path / "cache")
    first = seqit(*common, stdin=lines(MANY[:120]), OPENAI_BASE_URL=server.url)
    before = server.stats()["completions"]
    again = seqit(*common, stdin=lines(MANY), OPENAI_BASE_URL=server.url)
    assert server.stats()["completions"] - before == 80
    assert again.out.startswith(first.out)


def test_a_benchmark_file_and_shots_in_its_own_format(server, seqit, tmp_path):
    rows = [{"question": f"What is {n} + {n}?", "answer": f"It is twice.\n#### {2 * n}"}
            for n in range(1, 9)]  # fmt: skip
    (tmp_path / "test.jsonl").write_bytes(lines(rows[:3]))
    (tmp_path / "train.jsonl").write_bytes(lines(rows[3:]))
    ran = seqit(
        *("respond", "--model", "openai:test", "--no-cache", "--format", "gsm8k"),
        *("--shots", tmp_path / "train.jsonl", "--num-fewshot", 2, tmp_path / "test.jsonl"),
        OPENAI_BASE_URL=server.url,
    )
    assert ran.code == 0, ran.err
    assert [row["benchmark"] for row in ran.rows] == ["gsm8k"] * 3
    turns = [turn["content"] for turn in server.last()[1]["messages"]]
    assert len(turns) == 5
    assert turns[0] == "What is 4 + 4?"
    assert turns[1] == "It is twice.\nThe answer is 8."


def test_the_training_hash(tmp_path):
    from hashlib import sha256

    from seqit.commands.respond import _training
    from seqit.commands.shell.model_options import ModelOptions

    (tmp_path / "training.json").write_text("{}")
    given = ModelOptions({"engine_arg": ()})
    assert _training(f"vllm:{tmp_path}", given) == sha256(b"{}").hexdigest()
    assert _training("openai:test", given) == ""
    assert _training("vllm:elsewhere", given) == ""
    adapter = ModelOptions({"engine_arg": (f"lora={tmp_path}",)})
    assert _training("vllm:elsewhere", adapter) == sha256(b"{}").hexdigest()


def test_an_estimate_sends_no_request(server, seqit):
    before = server.stats()["requests"]
    ran = seqit("respond", "--model", "openai:test", "--dry-run", stdin=lines(MANY),
                OPENAI_BASE_URL=server.url)  # fmt: skip
    assert (ran.code, ran.out) == (0, b"")
    assert "an estimate for 200 rows" in ran.err
    assert server.stats()["requests"] == before


def test_published_seqeval_is_answered_except_the_item_without_instruction(
    data, server, seqit, tmp_path
):
    ran = seqit(
        *("respond", "--model", "openai:test", "--no-cache", "--format", "auto"),
        *("--rejects", tmp_path / "rejects", data / "seqeval" / "seqEval.json"),
        OPENAI_BASE_URL=server.url,
    )
    assert ran.code == 3
    assert len(ran.rows) == 804
    (reject,) = map(json.loads, (tmp_path / "rejects").read_text().splitlines())
    assert reject["row"]["instruction"] == ""
    assert Counter(row["lineage"]["iteration"] for row in ran.rows) == {
        1: 81,
        2: 161,
        3: 241,
        4: 321,
    }
    assert {row["benchmark"] for row in ran.rows} == {"seqeval"}


def test_the_model_gets_the_sampling_of_the_command():
    from seqit.commands.respond import SAMPLING_DEFAULTS
    from seqit.commands.shell.model_options import TEACHER, ModelOptions

    nothing = dict.fromkeys(("temperature", "top_p", "top_k", "max_new_tokens"))
    assert ModelOptions(nothing, TEACHER).sampling == Sampling()
    assert ModelOptions(nothing, SAMPLING_DEFAULTS).sampling == Sampling(temperature=0, top_p=None)
