"""The transformers backend with a tiny random model on the CPU."""

from collections import Counter
from importlib.util import find_spec

import pytest
from support.local_backend import Session, mixed_requests, request
from support.tiny_model import (
    BOS,
    END,
    TEMPLATE,
    TEMPLATE_WITHOUT_SYSTEM,
    generate_greedily,
    make_model,
)

from seqit.errors import SeqitError, UsageError
from seqit.llm.request import Completion, FailedRequest, Request, Sampling

if not all(map(find_spec, ("torch", "transformers", "accelerate", "peft", "bitsandbytes"))):
    pytest.skip(
        "seqit[train] is not installed; bin/test runs this in .venv-train", allow_module_level=True
    )

from seqit.llm.providers.local import transformers as backend_module
from seqit.llm.providers.local.generation import Sampler, StopTracker, cut_at_stop
from seqit.llm.providers.local.transformers import TransformersBackend

# Ignore deprecations within the libraries.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import torch

    torch.set_num_threads(1)  # more do not help a model this small
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def session(folder):
    session = Session(TransformersBackend(str(folder), batch_size=8))
    yield session
    session.backend.close()
    session.backend.close()  # no error


def test_the_template_is_applied_once_and_its_tokens_are_the_prompt(session, folder, tokenizer):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Nenne drei Städte."},
        {"role": "assistant", "content": "A, B, C"},
        {"role": "user", "content": "And three rivers? 三条河流"},
    ]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer(tokenizer.decode(ids)).input_ids.count(tokenizer.bos_token_id) == 2
    (answer,) = session.complete([Request(messages, Sampling(temperature=0, max_new_tokens=16), 0)])
    assert answer.prompt_tokens == len(ids)
    generated = generate_greedily(folder, ids, 16)
    assert END not in tokenizer.decode(generated)
    assert answer.text == tokenizer.decode(generated, skip_special_tokens=True)
    assert answer.finish_reason == "length" and answer.completion_tokens == 16


def test_completions_do_not_depend_on_the_batch_or_the_order(session, folder):
    requests = mixed_requests(60)
    together = session.complete(requests)
    backwards = session.complete(requests[::-1])[::-1]
    assert together == backwards
    alone = Session(TransformersBackend(str(folder), batch_size=1)).complete(requests[:20])
    assert alone == together[:20]
    assert len({answer.text for answer in together}) > 50


def test_the_seed_decides_the_completion(session):
    same = session.complete([request("Name a river.", seed=7) for _ in range(3)])
    others = session.complete([request("Name a river.", seed=seed) for seed in range(20)])
    assert len({answer.text for answer in same}) == 1
    assert len({answer.text for answer in others}) == 20


def test_many_requests_with_slots_refilled(session):
    requests = mixed_requests(200)
    answers = session.complete_refilled(requests, session.backend.capacity)
    assert all(isinstance(answer, Completion) for answer in answers)
    reasons = Counter(answer.finish_reason for answer in answers)
    assert set(reasons) == {"stop", "length"} and min(reasons.values()) >= 5, reasons
    for sent, answer in zip(requests, answers, strict=True):
        most = sent.sampling.max_new_tokens
        assert 1 <= answer.completion_tokens <= most
        assert answer.finish_reason == "stop" or answer.completion_tokens == most
        assert END not in answer.text and BOS not in answer.text


def test_prompts_of_similar_length_share_a_batch(folder):
    session = Session(TransformersBackend(str(folder), batch_size=4))
    short, long = [request("a", max_new_tokens=2)] * 4, [request("a" * 90, max_new_tokens=2)] * 4
    pairs = [each for pair in zip(short, long, strict=True) for each in pair]
    session.complete(pairs)
    assert session.deliveries == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_a_prompt_that_is_too_long_fails_alone(session):
    fine = request("List three rivers.")
    before, failed, after = session.complete([fine, request("x " * 2_000), fine])
    assert before == after and isinstance(before, Completion)
    assert (
        isinstance(failed, FailedRequest) and failed.reason == "too-long" and not failed.retryable
    )
    assert failed.evidence["limit"] == 512 and failed.evidence["prompt_tokens"] > 512
    (failed,) = session.complete([request("short", max_new_tokens=512)])
    assert failed.reason == "too-long"
    (fits,) = session.complete([request("short", max_new_tokens=490, stop=("a", "e", "i"))])
    assert isinstance(fits, Completion)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (Request([{"role": "tool", "content": "x"}], Sampling(), 0), "no such role"),
        (
            Request(
                [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}], Sampling(), 0
            ),
            "no images",
        ),
        (request("x", temperature=-1.0), "temperature"),
        (request("x", top_p=0.0), "top_p"),
    ],
)
def test_a_bad_request_fails_alone(session, bad, message):
    fine = request("List three rivers.")
    before, failed, after = session.complete([fine, bad, fine])
    assert before == after and isinstance(before, Completion)
    assert failed.reason == "bad-request" and message in failed.message


def test_a_stop_string_ends_the_completion_before_it(session):
    free = session.complete(
        [request("Tell me.", seed=seed, max_new_tokens=40) for seed in range(8)]
    )
    for seed, answer in enumerate(free):
        stop = answer.text[10:12]
        (ended,) = session.complete(
            [request("Tell me.", seed=seed, max_new_tokens=40, stop=(stop,))]
        )
        assert ended.text == answer.text[: answer.text.index(stop)]
        assert ended.finish_reason == "stop"
        assert ended.completion_tokens < answer.completion_tokens


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
    first = answer.logprobs[0]
    five = expected.topk(5).values.tolist()
    values = sorted(first["top"].values(), reverse=True)  # fewer if two tokens have the same text
    assert 2 <= len(values) <= 5 and values[0] == pytest.approx(five[0])
    assert all(any(value == pytest.approx(each) for each in five) for value in values)
    likeliest = tokenizer.decode([int(expected.argmax())])
    assert first["top"][likeliest] == max(first["top"].values())
    assert first["logprob"] <= max(first["top"].values())
    for place in answer.logprobs:
        if place["token"] in place["top"] and "\ufffd" not in place["token"]:
            assert place["top"][place["token"]] == place["logprob"]


def test_a_batch_that_does_not_fit_into_memory_is_halved(folder, monkeypatch):
    import torch

    generate, sizes = backend_module.generate, []

    def limited(model, tokenizer, ends, label, prompts):
        sizes.append(len(prompts))
        if len(prompts) > 2 or max(len(prompt.ids) for prompt in prompts) > 200:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")
        return generate(model, tokenizer, ends, label, prompts)

    requests = mixed_requests(12)
    expected = Session(TransformersBackend(str(folder), batch_size=8)).complete(requests)
    monkeypatch.setattr(backend_module, "generate", limited)
    session = Session(TransformersBackend(str(folder), batch_size=8))
    assert session.complete(requests) == expected
    assert sizes[:3] == [8, 4, 2] and set(sizes[3:]) <= {1, 2, 4}
    assert session.backend.capacity == 8
    fine, failed = session.complete([requests[0], request("y " * 220)])
    assert fine == expected[0]
    assert failed.reason == "too-long" and "2 GiB" in failed.message


def test_an_error_of_the_model_fails_every_request_of_the_batch(folder, monkeypatch):
    def broken(*_):
        raise RuntimeError("device-side assert")

    monkeypatch.setattr(backend_module, "generate", broken)
    answers = Session(TransformersBackend(str(folder))).complete(mixed_requests(3))
    assert [answer.reason for answer in answers] == ["server-error"] * 3
    assert all(answer.fatal and "device-side" in answer.message for answer in answers)


# --- templates --------------------------------------------------------------------------------


def test_an_empty_system_message_is_not_sent(session):
    without, empty, filled = session.complete(
        [request("Go.", system=system) for system in (None, " ", "Be brief.")]
    )
    assert without == empty
    assert filled.prompt_tokens > empty.prompt_tokens


def test_a_template_without_system_messages_gets_the_text_in_the_first_turn(folder, tmp_path):
    file = tmp_path / "template.jinja"
    dropping = TEMPLATE.replace("for message in messages", "for message in messages[-1:]")
    for template in (TEMPLATE_WITHOUT_SYSTEM, dropping):
        file.write_text(template)
        session = Session(TransformersBackend(str(folder), chat_template=str(file)))
        folded, joined = session.complete(
            [request("Go.", system="Be brief."), request("Be brief.\n\nGo.")]
        )
        assert folded == joined and isinstance(folded, Completion)


def test_a_model_without_template_is_refused_unless_one_is_given(folder, tmp_path):
    bare = make_model(tmp_path / "bare", template=None)
    with pytest.raises(SeqitError, match="chat_template=FILE"):
        Session(TransformersBackend(str(bare)))
    file = tmp_path / "template.jinja"
    file.write_text(TEMPLATE)
    requests = [request("List three rivers.", seed=1)]
    named = Session(TransformersBackend(str(bare), chat_template=str(file))).complete(requests)
    own = Session(TransformersBackend(str(folder))).complete(requests)
    assert [answer.text for answer in named] == [answer.text for answer in own]


def test_variables_are_passed_to_the_template(folder, tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text("{% if loud %}LOUD LOUD LOUD{% endif %}" + TEMPLATE)
    counts = []
    for options in (None, '{"loud": true}'):
        backend = TransformersBackend(
            str(folder), chat_template=str(file), chat_template_kwargs=options
        )
        (answer,) = Session(backend).complete([request("Go.")])
        counts.append(answer.prompt_tokens)
    assert counts[1] > counts[0]


# --- identity ---------------------------------------------------------------------------------


def test_identity_contains_every_setting_that_decides_a_completion(folder, tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text(TEMPLATE)
    other = make_model(tmp_path / "other")
    weights = other / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1  # one bit of one number
    weights.write_bytes(data)
    plain = TransformersBackend(str(folder))
    identities = [
        plain.identity(),
        TransformersBackend(str(other)).identity(),
        TransformersBackend(str(folder), dtype="bfloat16").identity(),
        TransformersBackend(str(folder), load_in_4bit=True).identity(),
        TransformersBackend(str(folder), chat_template=str(file)).identity(),
        TransformersBackend(str(folder), chat_template_kwargs='{"a": 1}').identity(),
        TransformersBackend(str(folder), attn_implementation="eager").identity(),
    ]
    assert all(a != b for at, a in enumerate(identities) for b in identities[:at])
    assert identities[1]["revision"] != identities[0]["revision"]
    session = Session(plain)
    assert (
        plain.identity()
        == identities[0]
        == TransformersBackend(str(folder), batch_size=2).identity()
    )
    (answer,) = session.complete([request("Go.")])
    assert answer.model == f"{folder}@{identities[0]['revision'][:12]}"


def test_an_adapter_changes_the_completions(folder, tmp_path, session):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    requests = mixed_requests(10)
    adapted = TransformersBackend(str(folder), lora=str(tmp_path / "adapter"))
    texts = [answer.text for answer in Session(adapted).complete(requests)]
    assert texts != [answer.text for answer in session.complete(requests)]
    assert adapted.identity()["adapter"][0] == str(tmp_path / "adapter")


@pytest.mark.parametrize("option", ["load_in_4bit", "load_in_8bit"])
def test_quantized_weights_generate(folder, option):
    session = Session(TransformersBackend(str(folder), **{option: True}))
    linear = session.backend._model.model.layers[0].mlp.up_proj
    assert "bitsandbytes" in type(linear).__module__
    answers = session.complete([request("List three rivers.", seed=seed) for seed in range(4)])
    assert all(isinstance(answer, Completion) and answer.text for answer in answers)


def test_loading_errors_are_reported(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SeqitError, match=r"without config\.json"):
        TransformersBackend(str(tmp_path / "empty")).identity()
    broken = make_model(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(SeqitError, match="cannot load"):
        Session(TransformersBackend(str(broken)))
    with pytest.raises(UsageError, match="exclude each other"):
        TransformersBackend("m", load_in_4bit=True, load_in_8bit=True)
    with pytest.raises(UsageError, match="JSON object"):
        TransformersBackend("m", chat_template_kwargs="[1]")
    with pytest.raises(UsageError, match="cannot be read"):
        TransformersBackend("m", chat_template=str(tmp_path / "absent"))


def test_a_missing_model_is_reported(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SeqitError, match="is not a folder"):
        TransformersBackend("seqit-nobody/no-such-model").identity()


# --- sampling and stopping --------------------------------------------------------------------


def sampler_logits(logits, requests):
    """Return the sampler's noisy logits for rows of the same logits."""
    import torch

    rows = torch.tensor([logits] * len(requests))
    return Sampler(requests, torch.device("cpu"))(None, rows)


def test_tokens_are_sampled_with_the_softmax_probabilities():
    import torch

    logits = [2.0, 1.0, 0.0, -1.0]
    count = 4_000
    requests = [
        request("", seed=seed, top_p=1.0, top_k=0, temperature=0.7) for seed in range(count)
    ]
    tokens = Counter(sampler_logits(logits, requests).argmax(-1).tolist())
    probabilities = (torch.tensor(logits) / 0.7).softmax(-1).tolist()
    for token, probability in enumerate(probabilities):
        sigma = (probability * (1 - probability) / count) ** 0.5
        assert abs(tokens[token] / count - probability) < 5 * sigma


@pytest.mark.parametrize("top_k", [0, 1, 3, 50, 1_000])
@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.9, 1.0])
def test_top_k_and_top_p_keep_the_same_tokens_as_the_library(top_k, top_p):
    import torch
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    torch.manual_seed(top_k)
    logits = (torch.randn(400) * 2).tolist()
    expected = TemperatureLogitsWarper(0.8)(None, torch.tensor([logits]))
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)
    first = request("", temperature=0.8, top_k=top_k, top_p=top_p)
    others = [request("", top_k=7, top_p=0.3), request("", temperature=0)]
    noisy = sampler_logits(logits, [first, *others])[0]
    assert (noisy > -float("inf")).tolist() == (expected[0] > -float("inf")).tolist()


def test_a_row_s_sample_does_not_depend_on_other_rows():
    import torch

    torch.manual_seed(0)
    logits = torch.randn(400).tolist()
    requests = [request("", seed=seed, temperature=0.3 * seed) for seed in range(5)]
    together = sampler_logits(logits, requests)
    for row, each in enumerate(requests):
        assert torch.equal(sampler_logits(logits, [each])[0], together[row])
    assert int(together[0].argmax()) == int(torch.tensor(logits).argmax())  # greedy: no noise


def test_a_stop_string_is_found_across_tokens_and_characters(tokenizer):
    import torch

    text = "Städte: 三条河流 und 🏙️ so"
    tokens = tokenizer(text, add_special_tokens=False).input_ids
    for stop in ("ä", "条河", "🏙️", ": 三", "so", "Städte: 三条河流"):
        stop_tracker = StopTracker(
            [request("", stop=(stop,), max_new_tokens=99)], tokenizer, frozenset()
        )
        for length in range(1, len(tokens) + 1):
            if bool(stop_tracker(torch.tensor([tokens[:length]]), None)[0]):
                break
        output = tokenizer.decode(stop_tracker.tokens[0])
        assert stop in output and stop not in tokenizer.decode(stop_tracker.tokens[0][:-1])
        assert cut_at_stop(output, (stop,)) == text[: text.index(stop)]
