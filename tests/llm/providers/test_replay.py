"""The replay backend: recorded completions are replayed, requests not recorded fail."""

import gzip
import json
import threading
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqit.errors import RowError, SeqitError
from seqit.llm.providers.recording import messages_key, parse_recording_row, recording_row
from seqit.llm.providers.replay import ReplayBackend
from seqit.llm.registry import make_backend
from seqit.llm.request import Completion, FailedRequest, Message, Request, RequestOutcome, Sampling


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def request(text: str = "Who?", seed: int = 1, attempt: int = 0, record_id: str = "r") -> Request:
    return Request(
        user(text), Sampling(), seed, attempt=attempt, record_id=record_id, stage="respond"
    )


def saved(path: Path, *rows: Any) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


def row(text: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": user(text), "text": answer, **more}


def answers(backend: ReplayBackend, *requests: Request) -> list[RequestOutcome]:
    """Submit one request after the other; returns the outcomes in the order of the requests."""
    got: dict[int, RequestOutcome] = {}
    backend.open(lambda pairs: got.update(pairs))
    for ticket, each in enumerate(requests):
        backend.submit([(ticket, each)])
        backend.wait(None)
        assert ticket in got
    backend.close()
    return [got[ticket] for ticket in range(len(requests))]


def texts(found: list[RequestOutcome]) -> list[str]:
    return [a.text if isinstance(a, Completion) else a.reason for a in found]


def test_a_recorded_completion_round_trips(tmp_path: Path) -> None:
    recorded = Request(
        [{"role": "system", "content": "Be brief."}, *user("Who wrote Faust?")],
        Sampling(temperature=0.5),
        seed=77,
        record_id="r1",
        iteration=2,
        stage="rewrite",
    )
    tops = [{"token": "G", "logprob": -0.5, "top": {"G": -0.5}}]
    completion = Completion("Goethe", "length", 12, 3, "llama@abc", tops)
    file = saved(tmp_path / "r.jsonl", recording_row(recorded, completion))
    assert answers(ReplayBackend(str(file)), recorded) == [completion]
    line = json.loads(file.read_bytes())
    assert line == {
        "messages": recorded.messages,
        "seed": 77,
        "record_id": "r1",
        "iteration": 2,
        "stage": "rewrite",
        "completion": {
            "text": "Goethe",
            "finish_reason": "length",
            "prompt_tokens": 12,
            "completion_tokens": 3,
            "model": "llama@abc",
            "logprobs": tops,
        },
    }


message = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant"]),
        "content": st.text()
        | st.lists(
            st.fixed_dictionaries({"type": st.just("text"), "text": st.text()})
            | st.fixed_dictionaries({"type": st.just("image"), "image": st.text()}),
            min_size=1,
        ),
    }
)


@given(
    st.lists(message, min_size=1, max_size=3),
    st.builds(Completion, st.text(), st.sampled_from(["stop", "length"]), st.integers(0, 9)),
    st.integers(0, 2**31 - 1),
    st.sampled_from([None, {"type": "object"}]),
)
def test_recording_rows_round_trip(
    messages: list[Message], completion: Completion, seed: int, schema: dict[str, Any] | None
) -> None:
    made = recording_row(Request(messages, Sampling(), seed, schema), completion)
    read = parse_recording_row(orjson.loads(orjson.dumps(made)))
    assert (read.completion, read.seed) == (completion, seed)
    assert read.structured == (schema is not None)
    assert messages_key(read.messages) == messages_key(messages)


def test_each_attempt_gets_the_next_recording(tmp_path: Path) -> None:
    file = saved(tmp_path / "r.jsonl", row("Who?", "A"), row("Why?", "X"), row("Who?", "B"))
    requests = [request(seed=seed, attempt=seed) for seed in range(3)]
    assert texts(answers(ReplayBackend(str(file)), *requests)) == ["A", "B", "no-recording"]
    assert texts(answers(ReplayBackend(str(file), repeat=True), *requests)) == ["A", "B", "B"]


def test_another_record_starts_with_the_first_recording(tmp_path: Path) -> None:
    file = saved(tmp_path / "r.jsonl", row("Who?", "A"), row("Who?", "B"))
    requests = [
        request(record_id="one"),
        request(record_id="two"),
        request(record_id="one", seed=2),
    ]
    assert texts(answers(ReplayBackend(str(file)), *requests)) == ["A", "A", "B"]


def test_the_recording_with_the_same_seed_comes_first(tmp_path: Path) -> None:
    rows = [row("Who?", f"answer {seed}", seed=seed) for seed in range(200)]
    file = saved(tmp_path / "r.jsonl", *rows)
    order = [(seed * 37) % 200 for seed in range(200)]
    found = answers(ReplayBackend(str(file)), *(request(seed=s, record_id=f"r{s}") for s in order))
    assert texts(found) == [f"answer {seed}" for seed in order]
    # A seed that was not recorded gets a completion of the same messages.
    assert texts(answers(ReplayBackend(str(file)), request(seed=999))) == ["answer 0"]


def test_an_attempt_that_was_not_recorded_does_not_get_the_last_one_again(tmp_path: Path) -> None:
    file = saved(tmp_path / "r.jsonl", row("Who?", "Go", seed=1, finish_reason="length"))
    found = answers(ReplayBackend(str(file)), request(seed=1), request(seed=2, attempt=1))
    assert texts(found) == ["Go", "no-recording"]


def test_a_miss_reports_the_prompt(tmp_path: Path) -> None:
    file = saved(tmp_path / "r.jsonl", row("Who?", "A"))
    miss, image = answers(
        ReplayBackend(str(file)),
        request("What is\nthe name of " + "the river " * 20),
        Request(
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": "data:image/png;base64,AAAA"},
                        {"type": "text", "text": "What is to be seen?"},
                    ],
                }
            ],
            Sampling(),
            seed=1,
        ),
    )
    assert isinstance(miss, FailedRequest) and isinstance(image, FailedRequest)
    assert miss.reason == "no-recording"
    assert "What is the name of the river" in miss.message
    assert str(file) in miss.message
    assert len(miss.message) < len(str(file)) + 200
    assert not miss.retryable
    assert "What is to be seen?" in image.message
    assert "base64" not in image.message


def test_only_role_and_content_of_a_turn_are_compared(tmp_path: Path) -> None:
    turn = {"content": "Who?", "role": "user", "name": "Ada"}
    file = saved(tmp_path / "r.jsonl", {"messages": [turn], "completion": {"text": "A"}})
    found = answers(ReplayBackend(str(file)), request("Who?"), request("Who"))
    assert found[0] == Completion("A", "stop")
    assert texts(found)[1] == "no-recording"


@pytest.mark.parametrize(
    ("prompt", "response"), [("prompt", "response"), ("full_prompt", "full_response")]
)
def test_prompts_and_responses_are_read(tmp_path: Path, prompt: str, response: str) -> None:
    rows = [{prompt: "Who?", response: "A", "other": 1}, {prompt: "Why?", response: "B"}]
    file = tmp_path / "r.json"
    file.write_text(json.dumps(rows, indent=1))
    found = answers(ReplayBackend(str(file)), request("Why?"), request("Who?"))
    assert found == [Completion("B", "stop"), Completion("A", "stop")]


def test_compressed_and_parquet_recordings_are_read(tmp_path: Path) -> None:
    rows = [row("Who?", "A"), row("Why?", "B")]
    packed = tmp_path / "r.jsonl.gz"
    packed.write_bytes(gzip.compress(b"\n".join(map(orjson.dumps, rows))))
    table = tmp_path / "r.parquet"
    pq.write_table(pa.Table.from_pylist(rows), table)
    for file in (packed, table):
        assert texts(answers(ReplayBackend(str(file)), request("Why?"))) == ["B"]


def test_the_identity_depends_on_the_content(tmp_path: Path) -> None:
    one = saved(tmp_path / "one.jsonl", row("Who?", "A"))
    same = saved(tmp_path / "same.jsonl", row("Who?", "A"))
    edited = saved(tmp_path / "edited.jsonl", row("Who?", "B"))
    assert ReplayBackend(str(one)).identity() == ReplayBackend(str(same)).identity()
    assert ReplayBackend(str(one)).identity() != ReplayBackend(str(edited)).identity()
    assert ReplayBackend(str(one)).identity() != ReplayBackend(str(one), repeat=True).identity()
    assert str(tmp_path) not in json.dumps(ReplayBackend(str(one)).identity())


def test_it_is_structured_if_a_recorded_request_was(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain.jsonl", row("Who?", "A"))
    schema = saved(tmp_path / "schema.jsonl", row("Who?", "A"), row("Why?", "{}", structured=True))
    assert not ReplayBackend(str(plain)).structured
    assert ReplayBackend(str(schema)).structured


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": "A"}', "it is not a recording"),
        ('{"prompt": "Who?"}', "it is not a recording"),
        ("3", "expected an object, found the number 3"),
        ('{"prompt": "Who?", "response": null}', "response: expected text, found null"),
        ('{"messages": [], "text": "A"}', "messages: expected a list of turns"),
        ('{"messages": [{"role": "user"}], "text": "A"}', r"messages\[0\]: expected a role"),
        ('{"messages": [{"role": "user", "content": "W"}]}', "text: expected text, found nothing"),
        ('{"messages": [{"role": "user", "content": "W"}], "completion": "A"}', "completion: "),
        (
            '{"messages": [{"role": "user", "content": "W"}], "text": "A", "finish_reason": 3}',
            "finish_reason: cannot be the number 3",
        ),
        ('{"messages": [{"role": "us', "cut off"),
    ],
)
def test_an_invalid_row_is_reported(tmp_path: Path, line: str, problem: str) -> None:
    file = saved(tmp_path / "r.jsonl", row("Who?", "A"))
    file.write_bytes(file.read_bytes() + line.encode() + b"\n")
    with pytest.raises(SeqitError, match=rf"r\.jsonl:2: .*{problem}") as caught:
        ReplayBackend(str(file)).open(lambda pairs: None)
    assert not isinstance(caught.value, RowError)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SeqitError, match="no such file"):
        ReplayBackend(str(tmp_path / "none.jsonl")).identity()


def test_it_is_in_the_registry(tmp_path: Path) -> None:
    file = saved(tmp_path / "r.jsonl", row("Who?", "A"))
    backend = make_backend(f"replay:{file}", {"repeat": True})
    assert (backend.name, backend.capacity) == ("replay:r.jsonl", 0)


def test_wake_ends_a_wait(tmp_path: Path) -> None:
    backend = ReplayBackend(str(saved(tmp_path / "r.jsonl", row("Who?", "A"))))
    backend.open(lambda pairs: None)
    waiting = threading.Thread(target=backend.wait, args=(None,))
    waiting.start()
    backend.wake()
    waiting.join(20)
    assert not waiting.is_alive()
    backend.close()
    backend.close()


def test_the_published_seqeval_responses_are_found(data: Path) -> None:
    file = data / "seqeval" / "seqEval_iteration_1.json"
    rows = json.loads(file.read_bytes())
    requests = [request(r["full_prompt"], record_id=str(n)) for n, r in enumerate(rows)]
    found = answers(ReplayBackend(str(file)), *requests)
    prompts = [r["full_prompt"] for r in rows]
    first = {}
    for each in rows:
        first.setdefault(each["full_prompt"], each["full_response"])
    assert texts(found) == [first[prompt] for prompt in prompts]
    assert len(rows) == 805
