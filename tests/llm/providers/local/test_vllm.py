"""The vllm backend with a tiny random model on the CPU; one engine for all tests."""

import json
import os
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import pytest
from support.local_backend import Session, mixed_requests, request
from support.paths import ROOT
from support.tiny_model import BOS, END, generate_greedily, make_model

from seqit.errors import SeqitError
from seqit.llm.providers.local.vllm import VLLMBackend
from seqit.llm.request import Completion, FailedRequest, Request, Sampling

if not find_spec("vllm"):
    pytest.skip(
        "seqit[vllm] is not installed; bin/test runs this in .venv-vllm", allow_module_level=True
    )

# Ignore deprecations within the library. The engine takes half a minute to start.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
    pytest.mark.timeout(600),
]

SCHEMA = {
    "type": "object",
    "properties": {
        "option": {"enum": ["decompose", "prefix", "suffix", "keep"]},
        "sure": {"type": "boolean"},
    },
    "required": ["option", "sure"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def session(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        backend = VLLMBackend(str(folder), dtype="float32", enforce_eager=True, max_num_seqs=16)
        session = Session(backend)
        yield session
        backend.close()
        backend.close()  # no error


def test_the_template_is_applied_once_and_its_tokens_are_the_prompt(session, folder, tokenizer):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Nenne drei Städte."},
        {"role": "assistant", "content": "A, B, C"},
        {"role": "user", "content": "And three rivers? 三条河流"},
    ]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids.count(tokenizer.bos_token_id) == 1
    (answer,) = session.complete([Request(messages, Sampling(temperature=0, max_new_tokens=16), 0)])
    assert answer.prompt_tokens == len(ids)
    generated = generate_greedily(folder, ids, 16)
    assert END not in tokenizer.decode(generated)
    assert answer.text == tokenizer.decode(generated, skip_special_tokens=True)
    assert answer.finish_reason == "length" and answer.completion_tokens == 16
    assert answer.model == f"{folder}@{session.backend.identity()['revision'][:12]}"


def test_completions_do_not_depend_on_the_batch_or_the_order(session):
    requests = mixed_requests(60)
    together = session.complete(requests)
    assert together == session.complete(requests[::-1])[::-1]
    alone = [session.complete([each])[0] for each in requests[:10]]
    assert alone == together[:10]
    assert len({answer.text for answer in together}) > 50


def test_the_seed_decides_the_completion(session):
    same = session.complete([request("Name a river.", seed=7) for _ in range(3)])
    others = session.complete([request("Name a river.", seed=seed) for seed in range(20)])
    assert len({answer.text for answer in same}) == 1
    assert len({answer.text for answer in others}) == 20


def test_slots_are_refilled_while_other_requests_are_running(session):
    requests = mixed_requests(300)
    answers = session.complete_refilled(requests, session.backend.capacity)
    assert session.backend.capacity == 4 * 16
    assert all(isinstance(answer, Completion) for answer in answers)
    reasons = Counter(answer.finish_reason for answer in answers)
    assert set(reasons) == {"stop", "length"} and min(reasons.values()) >= 5, reasons
    for sent, answer in zip(requests, answers, strict=True):
        assert 1 <= answer.completion_tokens <= sent.sampling.max_new_tokens
        assert END not in answer.text and BOS not in answer.text
    # A short request submitted later finishes before a long one submitted first.
    long, short = request("a", max_new_tokens=400, stop=()), request("b", max_new_tokens=1)
    first = session.submit([long] * 4)
    session.backend.wait(0)
    second = session.submit([short])
    session.wait_for([*first, *second])
    order = [ticket for delivery in session.deliveries for ticket in delivery]
    assert order.index(second[0]) < max(map(order.index, first))


def test_a_prompt_that_is_too_long_fails_alone(session):
    fine = request("List three rivers.")
    before, failed, after = session.complete([fine, request("x " * 2_000), fine])
    assert before == after and isinstance(before, Completion)
    assert (
        isinstance(failed, FailedRequest) and failed.reason == "too-long" and not failed.retryable
    )
    assert failed.evidence["limit"] == 512 and failed.evidence["prompt_tokens"] > 2_000
    (failed,) = session.complete([request("short", max_new_tokens=512)])
    assert failed.reason == "too-long"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Request([{"role": "tool", "content": "x"}], Sampling(max_new_tokens=8), 0), "role"),
        (request("x", temperature=-1.0), "temperature"),
        (request("x", schema={"type": "nonsense"}), "nonsense"),
        (request("x", logprobs=999), "logprobs"),
    ],
)
def test_a_bad_request_fails_alone(session, bad, message):
    fine = request("List three rivers.")
    before, failed, after = session.complete([fine, bad, fine])
    assert before == after and isinstance(before, Completion)
    assert failed.reason == "bad-request" and message in failed.message.lower()


@pytest.mark.parametrize(
    ("image", "message"),
    [(str(ROOT / "examples/images/house.png"), "multimodal"), ("absent.png", "not there")],
)
def test_a_text_model_takes_no_images(session, image, message):
    content = [{"type": "image", "image": image}, {"type": "text", "text": "What is this?"}]
    messages = [{"role": "user", "content": content}]
    (failed,) = session.complete([Request(messages, Sampling(max_new_tokens=8), 0)])
    assert failed.reason == "bad-request" and message in failed.message


def test_structured_answers_match_their_schema(session):
    structured = [
        request("Which option?", seed=seed, schema=SCHEMA, max_new_tokens=120) for seed in range(12)
    ]
    free = request("Which option?", seed=0, max_new_tokens=120)
    *answers, unbound = session.complete([*structured, free])
    # A random model may reach the limit with whitespace between the tokens.
    whole = [answer for answer in answers if answer.finish_reason == "stop"]
    assert len(whole) >= 6
    options = set()
    for answer in whole:
        value = json.loads(answer.text)
        assert set(value) == {"option", "sure"} and isinstance(value["sure"], bool)
        options.add(value["option"])
    assert options <= set(SCHEMA["properties"]["option"]["enum"]) and len(options) > 1
    with pytest.raises(json.JSONDecodeError):
        json.loads(unbound.text)


def test_a_stop_string_ends_the_completion_before_it(session):
    (free,) = session.complete([request("Tell me.", seed=1, max_new_tokens=40)])
    stop = free.text[10:12]
    (ended,) = session.complete([request("Tell me.", seed=1, max_new_tokens=40, stop=(stop,))])
    assert ended.text == free.text[: free.text.index(stop)]
    assert ended.finish_reason == "stop"
    assert ended.completion_tokens < free.completion_tokens


def test_log_probabilities_match_the_model(session, folder, tokenizer):
    import torch
    from transformers import AutoModelForCausalLM

    plain = request("List three rivers.", seed=3, max_new_tokens=6)
    with_logprobs = request("List three rivers.", seed=3, max_new_tokens=6, logprobs=5)
    without, answer = session.complete([plain, with_logprobs])
    assert without.logprobs == [] and without.text == answer.text
    assert len(answer.logprobs) == answer.completion_tokens
    ids = tokenizer.apply_chat_template(
        with_logprobs.messages, add_generation_prompt=True, return_dict=False
    )
    model = AutoModelForCausalLM.from_pretrained(folder)
    expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    five = expected.topk(5).values.tolist()
    first = answer.logprobs[0]
    values = sorted(first["top"].values(), reverse=True)  # fewer if two tokens have the same text
    assert 2 <= len(values) <= 5 and values[0] == pytest.approx(five[0], abs=1e-4)
    assert all(any(value == pytest.approx(each, abs=1e-4) for each in five) for value in values)
    assert first["logprob"] <= values[0] + 1e-6


def test_an_empty_system_message_is_not_sent(session):
    without, empty, filled = session.complete(
        [request("Go.", system=system) for system in (None, " ", "Be brief.")]
    )
    assert without == empty
    assert filled.prompt_tokens > empty.prompt_tokens


def test_wait_returns_on_wake_or_timeout(session):
    session.backend.wake()
    session.backend.wait(None)
    session.backend.wait(0.01)
    (ticket,) = session.submit([request("a", max_new_tokens=300)])
    session.backend.wake()
    session.backend.wait(None)
    session.wait_for([ticket])


def test_telemetry_is_off(session):
    assert os.environ["VLLM_NO_USAGE_STATS"] == os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_identity_contains_every_setting_that_decides_a_completion(session, folder, tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text("{{ messages[0].content }}")
    identities = [
        session.backend.identity(),
        VLLMBackend(str(folder)).identity(),
        VLLMBackend(str(folder), dtype="float32", quantization="fp8").identity(),
        VLLMBackend(str(folder), dtype="float32", chat_template=str(file)).identity(),
    ]
    assert all(a != b for at, a in enumerate(identities) for b in identities[:at])
    assert VLLMBackend(str(folder), dtype="float32", max_num_seqs=2).identity() == identities[0]
    with pytest.raises(SeqitError, match=r"without config\.json"):
        VLLMBackend(str(tmp_path)).identity()


CHILD = "import time; print('up', flush=True); time.sleep(300)"
PARENT = f"""
import subprocess, sys, time
from seqit.llm.providers.local.vllm_guard import start_guard
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], start_new_session=True)
guard = start_guard()
print(child.pid, guard.pid, flush=True)
time.sleep(300)
"""


def test_no_process_outlives_a_killed_parent():
    import psutil

    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "up\n"
    pids = parent.stdout.readline().split()
    processes = [psutil.Process(int(pid)) for pid in pids]
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive


def test_an_error_of_the_engine_fails_all_its_requests(session, monkeypatch):
    """Must be the last test: the engine is unusable afterwards."""

    def broken():
        raise RuntimeError("EngineCore died")

    monkeypatch.setattr(session.backend._engine._llm.llm_engine, "step", broken)
    answers = session.complete(mixed_requests(3))
    assert [answer.reason for answer in answers] == ["server-error"] * 3
    assert all(answer.fatal and "EngineCore died" in answer.message for answer in answers)
    (later,) = session.complete([request("Still there?")])
    assert later.fatal
