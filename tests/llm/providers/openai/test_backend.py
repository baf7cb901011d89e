"""The openai backend by itself, against a real server on loopback with known faults."""

import gc
import re
import subprocess
import sys
import threading
import time
from collections import Counter

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answering_server import AnsweringServer

from seqit.errors import UsageError
from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.providers.openai.chat import parse_completion, same_model
from seqit.llm.providers.openai.errors import failure_from_status
from seqit.llm.registry import make_backend
from seqit.llm.request import Completion, FailedRequest, Request, Sampling

KEY = "sk-nobody-may-see-this"
SCHEMA = {"type": "object", "properties": {"option": {"type": "string"}}, "required": ["option"]}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Remove environment variables that could change a test."""
    for name in ("API_KEY", "BASE_URL", "ORG_ID", "PROJECT_ID"):
        monkeypatch.delenv(f"OPENAI_{name}", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(scope="module")
def server():
    with AnsweringServer() as answering:
        yield answering


def request(prompt, seed=1, sampling=None, **fields):
    return Request([{"role": "user", "content": prompt}], sampling or Sampling(), seed, **fields)


class Driver:
    """Opens a backend and collects what it delivers, like a minimal scheduler."""

    def __init__(self, backend):
        self.backend = backend
        self.inbox = []

    def __enter__(self):
        self.backend.open(self.inbox.extend)
        return self

    def __exit__(self, *error):
        self.backend.close()

    def complete(self, requests, max_in_flight=64):
        """Return the outcomes in the requests' order, with at most `max_in_flight` at once."""
        waiting = list(enumerate(requests))[::-1]
        answers = {}
        in_flight = 0
        while waiting or in_flight:
            batch = [waiting.pop() for _ in range(min(max_in_flight - in_flight, len(waiting)))]
            if batch:
                self.backend.submit(batch)
            in_flight += len(batch)
            self.backend.wait(30)
            done, self.inbox[:] = self.inbox[:], []
            in_flight -= len(done)
            for ticket, answer in done:
                assert ticket not in answers, "delivered twice"
                answers[ticket] = answer
        return [answers[n] for n in range(len(requests))]


def complete(server, *prompts, **options):
    options.setdefault("timeout", 20.0)
    with Driver(OpenAIBackend("a-model", base_url=server.url, **options)) as driver:
        return driver.complete([request(prompt) for prompt in prompts])


def complete_one(server, prompt, **options):
    return complete(server, prompt, **options)[0]


# Requests


def test_the_body_of_a_request(server):
    sampling = Sampling(
        temperature=0.5, top_p=None, top_k=50, max_new_tokens=99, stop=("##", "END")
    )
    sent = Request(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße"}],
        sampling,
        seed=11,
        schema=SCHEMA,
        logprobs=2,
    )
    with Driver(OpenAIBackend("a-model", base_url=server.url)) as driver:
        (answer,) = driver.complete([sent])
    headers, body = server.last()
    assert body == {
        "model": "a-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Grüße"},
        ],
        "temperature": 0.5,
        "top_k": 50,
        "max_tokens": 99,
        "stop": ["##", "END"],
        "seed": 11,
        "logprobs": True,
        "top_logprobs": 2,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    }
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers
    assert answer.logprobs[0] == {
        "token": "seed",
        "logprob": -0.5,
        "top": {"seed": -0.5, "other0": -2.0},
    }


def test_missing_settings_are_left_to_the_server(server):
    sampling = Sampling(temperature=None, top_p=None)
    with Driver(OpenAIBackend("a-model", base_url=server.url, structured=False)) as driver:
        driver.complete([request("Hello", 0, sampling, schema=SCHEMA)])
    _, body = server.last()
    assert sorted(body) == ["max_tokens", "messages", "model", "seed"]


def test_extra_body_is_merged_last_and_null_removes_a_key(server):
    extra = {"seed": None, "max_tokens": None, "max_completion_tokens": 7, "top_p": 0.1, "min_p": 0}
    complete(server, "Hello", extra_body=extra)
    _, body = server.last()
    assert (body["max_completion_tokens"], body["top_p"], body["min_p"]) == (7, 0.1, 0)
    assert not {"seed", "max_tokens"} & set(body)


@pytest.mark.parametrize("key", ["messages", "model", "stream", "n"])
def test_extra_body_cannot_set_what_seqit_sets(key):
    with pytest.raises(UsageError, match=key):
        OpenAIBackend("a-model", extra_body={key: 1})


def test_the_environment_is_read_like_the_official_client(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/")
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    backend = make_backend("openai:a-model", {})
    with Driver(backend) as driver:
        (answer,) = driver.complete([request("Hello")])
    assert answer.text == "seed 1 answers: Hello"
    headers, _ = server.last()
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["openai-organization"] == "org-1"
    assert headers["openai-project"] == "proj-1"
    assert backend.identity() == {
        "kind": "openai",
        "base_url": server.url,
        "model": "a-model",
        "extra_body": {},
        "image_side": 1024,
    }


def test_openai_needs_a_key_and_another_name_of_the_token_limit():
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        OpenAIBackend("gpt-4o").open(print)
    backend = OpenAIBackend("gpt-4o", api_key=KEY)
    assert backend.identity()["base_url"] == "https://api.openai.com/v1"
    assert backend.build_body(request("Hello"))["max_completion_tokens"] == 2048


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://a.b", "http://", "http://a:b/v1"])
def test_an_invalid_base_url_is_reported(url):
    with pytest.raises(UsageError, match="the base URL"):
        OpenAIBackend("a-model", base_url=url)


def test_a_key_that_is_invalid_in_a_header_is_reported_without_it():
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as raised:
        OpenAIBackend("a-model", api_key="sk-\nsecret")
    assert "secret" not in str(raised.value)


def test_images_are_sent_as_urls(server):
    parts = [
        {"type": "image", "image": "data:image/png;base64,AA=="},
        {"type": "text", "text": "?"},
    ]
    sent = Request([{"role": "user", "content": parts}], Sampling(), 1)
    lost = Request(
        [{"role": "user", "content": [{"type": "image", "image": "no.png"}]}], Sampling(), 1
    )
    with Driver(OpenAIBackend("a-model", base_url=server.url)) as driver:
        answer, failed = driver.complete([sent, lost])
    _, body = server.last()
    assert body["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "text", "text": "?"},
    ]
    assert answer.text == "seed 1 answers: ?"
    assert (failed.reason, failed.retryable, failed.fatal) == ("bad-image", False, False)


def test_a_request_of_megabytes_and_one_that_is_not_valid_text(server):
    large, broken = complete(server, "Word " * 400_000, "a lone surrogate: \ud800")
    assert large.prompt_tokens == 400_000
    assert (broken.reason, broken.fatal) == ("bad-request", False)


# Responses


def test_a_completion(server):
    assert complete_one(server, "Say hello") == Completion(
        "seed 1 answers: Say hello", "stop", 2, 5, "a-model"
    )


@pytest.mark.parametrize(
    ("fault", "text", "finish"),
    [
        ("empty", "", "stop"),
        ("null", "", "stop"),
        ("length", "seed 1 ", "length"),
        ("filtered", "", "content_filter"),
        ("refusal", "I will not.", "content_filter"),
    ],
)
def test_the_finish_reason_of_an_incomplete_text(server, fault, text, finish):
    answer = complete_one(server, f"[fault:{fault}]")
    assert (answer.text[: len(text)], answer.finish_reason) == (text, finish)


def test_a_revision_of_the_model_or_no_name_is_accepted(server):
    revision, unnamed = complete(server, "[fault:revision]", "[fault:no-model]")
    assert (revision.model, unnamed.model) == ("a-model-2024-08-06", "")


@pytest.mark.parametrize(
    ("requested", "served", "same"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4", "gpt-4-0613", True),
        ("gpt-4", "gpt-4.1", False),
        ("gpt-4", "gpt-4-32k", False),
        ("llama3", "llama3:latest", True),
        ("mistral-large-latest", "mistral-large-2411", True),
        ("mistral-large-latest", "mistral-small-2503", False),
        ("meta-llama/Llama-3-70B", "/models/llama-3-70b/", True),
        ("llama-3.1-8b", "llama-3.1-8b-instruct", False),
        ("llama-3", "llama-3-70b-instruct", False),
        ("a-model", "a", False),
    ],
)
def test_which_names_are_the_same_model(requested, served, same):
    assert same_model(requested, served) is same


# Faults: fault → reason and flags


FAULTS = {
    "429": ("rate-limited", "retryable overloaded"),
    "quota": ("config", "fatal"),
    "400": ("bad-request", ""),
    "401": ("config", "fatal"),
    "402": ("config", "fatal"),
    "403": ("config", "fatal"),
    "404": ("config", "fatal"),
    "408": ("server-error", "retryable"),
    "413": ("too-long", ""),
    "422": ("bad-request", ""),
    "500": ("server-error", "retryable"),
    "502": ("server-error", "retryable"),
    "503": ("server-error", "retryable overloaded"),
    "504": ("server-error", "retryable"),
    "529": ("server-error", "retryable overloaded"),
    "307": ("config", "fatal"),
    "filter": ("refused", ""),
    "too-long": ("too-long", ""),
    "no-seed": ("config", "fatal"),
    "no-max-tokens": ("config", "fatal"),
    "cut": ("connection", "retryable"),
    "cut-headers": ("connection", "retryable"),
    "cut-body": ("connection", "retryable"),
    "hang": ("timeout", "retryable"),
    "invalid-json": ("malformed-response", "retryable"),
    "truncated-json": ("malformed-response", "retryable"),
    "wrong-shape": ("malformed-response", "retryable"),
    "abort": ("malformed-response", "retryable"),
    "error-200": ("server-error", "retryable overloaded"),
    "wrong-model": ("wrong-model", "retryable"),
}


def test_each_fault_has_its_reason_and_flags(server):
    prompts = [f"[fault:{fault}]" for fault in FAULTS]
    answers = complete(server, *prompts, "and this", timeout=1.0)
    found = {}
    for fault, answer in zip(FAULTS, answers[:-1], strict=True):
        flags = [name for name in ("retryable", "overloaded", "fatal") if getattr(answer, name)]
        found[fault] = (answer.reason, " ".join(flags))
        assert answer.message
    assert found == FAULTS
    assert answers[-1].text == "seed 1 answers: and this"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("404", "'a-model'"),
        ("500", "the server answered 500: The server had an error"),
        ("502", "the server answered 502: Bad Gateway"),
        ("307", "http://elsewhere.invalid/v1, which is not followed"),
        ("no-seed", """--extra-body '{"seed":null}'"""),
        ("no-max-tokens", """'{"max_tokens":null,"max_completion_tokens":2048}'"""),
        ("wrong-model", "answered with 'another-model' where 'a-model' was asked for"),
        ("abort", "it finished with 'abort'"),
        ("wrong-shape", "'message' is missing"),
    ],
)
def test_a_failure_s_message_says_what_to_do(server, fault, sentence):
    failed = complete_one(server, f"[fault:{fault}]")
    assert sentence in failed.message
    assert "key=1" not in repr(failed)


def test_a_failure_s_evidence_has_the_response(server):
    failed = complete_one(server, "[fault:invalid-json]")
    assert failed.evidence == {"status": 200, "response": "upstream connect error"}


def test_missing_structured_output_is_reported_only_if_it_was_requested(server):
    with Driver(OpenAIBackend("a-model", base_url=server.url)) as driver:
        with_schema, without = driver.complete(
            [request("[fault:no-schema]", schema=SCHEMA), request("[fault:no-schema]")]
        )
    assert with_schema.fatal and "--no-structured" in with_schema.message
    assert (without.reason, without.fatal) == ("bad-request", False)


def test_retry_after_is_returned(server):
    faults = ("429", "429-seconds", "429-ms", "429-date", "503", "529")
    waits = [
        answer.retry_after for answer in complete(server, *[f"[fault:{name}]" for name in faults])
    ]
    assert waits[:3] == [0.0, 7.0, 0.25]
    assert 30 < waits[3] <= 60
    assert waits[4:] == [0.0, None]


def test_without_a_server_the_connection_fails():
    with AnsweringServer() as gone:
        url = gone.url
    with Driver(OpenAIBackend("a-model", base_url=url)) as driver:
        (failed,) = driver.complete([request("Hello")])
    assert (failed.reason, failed.retryable) == ("connection", True)
    assert "Connection refused" in failed.message or "Connect call failed" in failed.message


# Known error responses of servers


def error(message, **fields):
    return {"error": {"message": message, "type": "invalid_request_error", **fields}}


ERROR_RESPONSES = [
    (400, error("This model's maximum context length is 4097 tokens"), "too-long"),
    (500, error("the request is large", type="exceed_context_size_error"), "too-long"),
    (400, {"object": "error", "message": "please reduce the length of the messages"}, "too-long"),
    (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096"}, "too-long"),
    (400, [error("The input exceeds the maximum number of tokens allowed")], "too-long"),
    (400, error("prompt is too long: 210 tokens > 200 maximum"), "too-long"),
    (400, error("it trips the content management policy", code="content_filter"), "refused"),
    (403, error("Input was flagged by moderation"), "refused"),
    (400, error("Unrecognized request argument supplied: top_k"), "config"),
    (400, error("Unsupported value", param="temperature"), "config"),
    (422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}, "config"),
    (422, {"message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}}, "config"),
    (400, error("it does not support parameters: {'seed': 12345}"), "config"),
    (
        400,
        error("max_tokens=600 cannot be greater than max_model_len", param="max_tokens"),
        "config",
    ),
    (
        400,
        error("of max_tokens 9 and 8 input tokens, the context length", param="max_tokens"),
        "too-long",
    ),
    (400, error("Input should be a number", param="body.temperature"), "config"),
    # Words of a quoted prompt are not a complaint about a parameter.
    (400, error("Invalid content: please stop at the seed"), "bad-request"),
    (400, error("Unknown role 'seed'", param="messages[0].role"), "bad-request"),
    (
        422,
        {"detail": [{"loc": ["body", "messages", 0], "msg": "Unexpected 'seed'"}]},
        "bad-request",
    ),
    (400, error("Invalid input: stop this"), "bad-request"),
    (400, {"echo": {"seed": "invalid"}}, "bad-request"),
    (451, error("Not here"), "bad-request"),
    (405, {"detail": "Method Not Allowed"}, "config"),
    (400, {"detail": "Could not parse"}, "bad-request"),
    (400, {"errors": {"input": "the context window is too small"}}, "too-long"),
]


@pytest.mark.parametrize(("status", "response", "reason"), ERROR_RESPONSES)
def test_known_error_responses(status, response, reason):
    sent = {
        "seed": 1,
        "top_k": 5,
        "max_tokens": 600,
        "temperature": 0.5,
        "stop": ["#"],
        "messages": [],
        "model": "m",
    }
    failed = failure_from_status(status, {}, orjson.dumps(response), sent, "m")
    assert (failed.reason, failed.fatal) == (reason, reason == "config")


def test_an_error_with_a_successful_status_is_a_failure():
    failed = parse_completion(b'{"error": "the model is loading"}', "m")
    assert (failed.reason, failed.retryable) == ("server-error", True)
    assert "the model is loading" in failed.message
    failed = parse_completion(b'{"error": {"message": "too many", "code": 429}}', "m")
    assert (failed.reason, failed.overloaded) == ("rate-limited", True)


KEYS = re.findall(
    r"\w+",
    "error message detail loc msg param code type choices finish_reason content refusal usage "
    "model logprobs token logprob top_logprobs prompt_tokens text",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 600) | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
)


@given(
    JSON | st.fixed_dictionaries({"choices": st.lists(st.fixed_dictionaries({"message": JSON}))})
)
def test_no_json_response_raises(value):
    raw = orjson.dumps(value)
    answer = parse_completion(raw, "m")
    if isinstance(answer, Completion):  # only a refusal is possible with these keys
        assert answer.finish_reason == "content_filter"
    for status in (302, 400, 422, 429, 500):
        assert failure_from_status(status, {}, raw, {"seed": 1}, "m").message


@given(st.binary(max_size=60), st.integers(300, 599), st.text(max_size=9))
def test_no_bytes_and_no_header_raise(raw, status, wait):
    assert isinstance(parse_completion(raw, "m"), FailedRequest)
    failed = failure_from_status(status, {"retry-after": wait}, raw, {}, "m")
    assert failed.retry_after is None or failed.retry_after >= 0


# Secrets


def test_the_key_is_only_in_its_header(server):
    backend = OpenAIBackend("a-model", base_url=server.url, api_key=KEY)
    with Driver(backend) as driver:
        (failed,) = driver.complete([request("[fault:401]")])
    headers, _ = server.last()
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "Incorrect API key provided: [secret]" in failed.message
    shown = repr(failed) + repr(backend.identity()) + repr(backend) + repr(backend.server)
    assert KEY not in shown


def test_secrets_in_a_url_are_sent_but_not_shown(server):
    url = server.url.replace("://", "://me:pass%2Fword@") + "?api-key=hidden-key&version=3"
    backend = OpenAIBackend("a-model", base_url=url, api_key=KEY)
    with Driver(backend) as driver:
        (failed,) = driver.complete([request("[fault:401]")])
    headers, _ = server.last()
    assert headers["authorization"] == "Basic bWU6cGFzcy93b3Jk"
    assert backend.identity()["base_url"] == server.url
    shown = repr(failed) + repr(backend.identity()) + repr(backend.server)
    for secret in ("pass%2Fword", "pass/word", "bWU6cGFzcy93b3Jk", "hidden-key", KEY):
        assert secret not in shown


# Proxies


def test_a_proxy_is_used_except_for_no_proxy_hosts(server, monkeypatch):
    proxy = server.url.replace("://", "://me:word@").removesuffix("/v1")
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with Driver(OpenAIBackend("a-model", base_url="http://model.invalid/v1")) as driver:
        (answer,) = driver.complete([request("Hello")])
    assert answer.text == "seed 1 answers: Hello"
    assert server.last()[0]["host"] == "model.invalid"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    complete_one(server, "Hello")
    assert server.last()[0]["host"].startswith("127.0.0.1:")


def test_an_unsupported_proxy_is_reported(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://localhost:1080")
    with pytest.raises(UsageError, match=r"socks5.*NO_PROXY"):
        OpenAIBackend("a-model", base_url="http://model.invalid/v1")


# The thread


def test_every_ticket_gets_its_own_answer_over_few_connections():
    requests = [request(f"Prompt {n % 20}", seed=n % 7) for n in range(3000)]
    with AnsweringServer("--jitter", "0.02") as answering:
        backend = OpenAIBackend("a-model", base_url=answering.url)
        with Driver(backend) as driver:
            answers = driver.complete(requests, max_in_flight=128)
        stats = answering.stats()
    expected = [f"seed {n % 7} answers: Prompt {n % 20}" for n in range(3000)]
    assert [answer.text for answer in answers] == expected
    assert stats["completions"] == 3000
    assert stats["connections"] <= 128 + 1  # one for the statistics


def test_bad_requests_fail_alone_among_many():
    requests = [request(f"Prompt {n}") for n in range(2000)]
    with AnsweringServer(
        "--faults", "0.3", "--fault-kinds", "500,cut-body,too-long,429"
    ) as answering:
        with Driver(OpenAIBackend("a-model", base_url=answering.url)) as driver:
            answers = driver.complete(requests)
        faults = answering.stats()["faults"]
    reasons = Counter(a.reason for a in answers if isinstance(a, FailedRequest))
    assert reasons == {
        "server-error": faults["500"],
        "connection": faults["cut-body"],
        "too-long": faults["too-long"],
        "rate-limited": faults["429"],
    }
    for n, answer in enumerate(answers):
        if isinstance(answer, Completion):
            assert answer.text == f"seed 1 answers: Prompt {n}"


def test_outcomes_are_delivered_without_a_wait(server):
    delivered = threading.Event()
    backend = OpenAIBackend("a-model", base_url=server.url)
    backend.open(lambda answers: delivered.set())
    try:
        backend.submit([(7, request("Hello"))])
        assert delivered.wait(30)
        backend.wait(None)  # returns for the earlier delivery
    finally:
        backend.close()


def test_wake_ends_the_current_or_next_wait(server):
    backend = OpenAIBackend("a-model", base_url=server.url)
    with Driver(backend):
        backend.wake()
        backend.wait(None)
        backend.wait(0.01)  # times out
        waiting = threading.Thread(target=backend.wait, args=(None,))
        waiting.start()
        backend.wake()
        waiting.join(30)
        assert not waiting.is_alive()


def test_an_error_in_deliver_is_raised_by_wait(server):
    def full(answers):
        raise OSError(28, "No space left on device")

    backend = OpenAIBackend("a-model", base_url=server.url)
    backend.open(full)
    try:
        backend.submit([(1, request("Hello"))])
        with pytest.raises(OSError, match="No space left"):
            backend.wait(30)
    finally:
        backend.close()


def test_close_drops_what_is_in_flight_and_may_be_called_twice():
    delivered = []
    with AnsweringServer() as answering:
        backend = OpenAIBackend("a-model", base_url=answering.url)
        backend.open(delivered.extend)
        backend.submit([(n, request(f"[fault:hang] {n}")) for n in range(20)])
        while answering.stats()["in_flight"] < 20:
            time.sleep(0.01)
        backend.close()
        backend.close()
        while answering.stats()["in_flight"]:  # until the server sees the connections close
            time.sleep(0.01)
    gc.collect()  # an unclosed resource warns, and a warning is an error
    assert delivered == []
    assert "openai" not in {thread.name for thread in threading.enumerate()}


SCRIPT = """
import sys
from seqit.llm.providers.openai.backend import OpenAIBackend
from seqit.llm.request import Request, Sampling

backend = OpenAIBackend("m", base_url=sys.argv[1])
backend.open(print)
request = Request([{"role": "user", "content": "[fault:hang]"}], Sampling(), 1)
backend.submit([(n, request) for n in range(9)])
backend.wait(0.2)
if sys.argv[2] == "close":
    backend.close()
"""


@pytest.mark.parametrize("end", ["close", "leave"])
def test_a_process_exits_without_output(server, end):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, server.url, end],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
