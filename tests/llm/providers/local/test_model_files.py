"""The local backends without their libraries: templates, models, options, errors."""

import inspect
import json

import pytest

from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local import libraries, transformers, vllm
from seqit.llm.providers.local.chat_template import (
    TOP_K,
    ChatTemplate,
    check_length,
    plain_text,
    resolve_sampling,
)
from seqit.llm.providers.local.model_files import (
    MAX_WHOLE_SIZE,
    SLICE_SIZE,
    find_model,
    fingerprint,
)
from seqit.llm.request import Sampling

BACKENDS = [
    (vllm, vllm.VLLMBackend, "vllm"),
    (transformers, transformers.TransformersBackend, "train"),
]


@pytest.mark.parametrize(("module", "backend", "extra"), BACKENDS)
def test_options_are_the_arguments_of_the_class(module, backend, extra):
    parameters = dict(inspect.signature(backend).parameters)
    parameters.pop("model")
    assert set(module.OPTIONS) == set(parameters)
    for name, parameter in parameters.items():
        if parameter.default is not None:
            assert type(parameter.default) is module.OPTIONS[name], name
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(("module", "backend", "extra"), BACKENDS)
def test_a_missing_library_is_reported_with_how_to_install_it(
    module, backend, extra, monkeypatch, tmp_path
):
    monkeypatch.setattr(libraries, "packages_distributions", dict)
    instance = backend(str(tmp_path))
    for act in (instance.identity, lambda: instance.open(print)):
        with pytest.raises(SeqitError, match=rf"pip install 'seqit\[{extra}\]'"):
            act()
    instance.close()


# --- templates --------------------------------------------------------------------------------


def strict(turns):
    """Render like a template that takes system messages."""
    return "".join(f"<{turn['role']}>{plain_text(turn['content'])}" for turn in turns)


def refusing(turns):
    if turns[0]["role"] == "system":
        raise ValueError("System role not supported")
    return strict(turns)


def dropping(turns):
    return strict([turn for turn in turns if turn["role"] != "system"])


def chat(system, user="Go."):
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def test_a_system_message_is_unchanged_if_the_template_uses_it():
    template = ChatTemplate(None, None)
    template.probe(strict, "m")
    assert template.adapt_messages(chat("Be brief.")) == chat("Be brief.")
    assert template.adapt_messages(chat("")) == template.adapt_messages(chat("\n ")) == chat("")[1:]
    assert template.adapt_messages(chat("x")[1:]) == chat("x")[1:]


@pytest.mark.parametrize("render", [refusing, dropping])
def test_a_system_message_starts_the_first_turn_if_the_template_drops_it(render):
    template = ChatTemplate(None, None)
    template.probe(render, "m")
    assert template.adapt_messages(chat("Be brief.")) == [
        {"role": "user", "content": "Be brief.\n\nGo."}
    ]
    image = {"type": "image", "image": "a.png"}
    (turn,) = template.adapt_messages(chat("Be brief.", [image, {"type": "text", "text": "Go."}]))
    words = [{"type": "text", "text": text} for text in ("Be brief.\n\n", "Go.")]
    assert turn["content"] == [words[0], image, words[1]]
    only = template.adapt_messages(chat("Be brief.")[:1])
    assert only == [{"role": "user", "content": "Be brief."}]


def test_a_template_that_does_not_work_is_refused():
    def broken(turns):
        raise ValueError("no chat template")

    with pytest.raises(SeqitError, match=r"/models/base has no working chat template \(no chat"):
        ChatTemplate(None, None).probe(broken, "/models/base")


def test_the_options_of_a_template_are_a_json_object(tmp_path):
    assert ChatTemplate(None, '{"enable_thinking": false}').options == {"enable_thinking": False}
    for text in ("[]", "{", "thinking"):
        with pytest.raises(UsageError, match="JSON object"):
            ChatTemplate(None, text)
    with pytest.raises(UsageError, match="cannot be read"):
        ChatTemplate(str(tmp_path / "absent.jinja"), None)


def test_missing_sampling_settings_get_defaults():
    assert resolve_sampling(Sampling()) == (1.0, 0.9, TOP_K)
    assert resolve_sampling(Sampling(temperature=None, top_p=None)) == (1.0, 1.0, TOP_K)
    assert resolve_sampling(Sampling(temperature=0, top_k=0)) == (0, 0.9, 0)
    assert resolve_sampling(Sampling(top_k=-1)).top_k == 0
    for wrong in ({"temperature": -0.1}, {"top_p": 0}, {"top_p": 1.1}, {"max_new_tokens": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            resolve_sampling(Sampling(**wrong))


def test_prompt_and_answer_must_fit_into_the_limit():
    assert check_length(100, 28, 128) is None
    failed = check_length(101, 28, 128)
    assert failed.reason == "too-long" and not failed.retryable and not failed.fatal
    assert "101" in failed.message and "28" in failed.message and "128" in failed.message


# --- models -----------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "tokenizer.json").write_text("{}")
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(MAX_WHOLE_SIZE + 5 * SLICE_SIZE)  # a sparse file
    return folder


def test_the_fingerprint_does_not_depend_on_the_path(model, tmp_path):
    before = fingerprint(model)
    moved = tmp_path / "elsewhere"
    model.rename(moved)
    (moved / "README.md").write_text("Not the model.")
    (moved / "config.json").touch()
    assert fingerprint(moved) == before
    found = find_model(str(moved), None)
    assert found.is_folder and found.revision == before
    assert found.label == f"{moved}@{before[:12]}" and found.folder() == str(moved)


@pytest.mark.parametrize("change", ["settings", "tokenizer", "weights", "end", "size", "more"])
def test_the_fingerprint_changes_with_the_content(model, change):
    before = fingerprint(model)
    weights = model / "model.safetensors"
    if change == "settings":
        (model / "config.json").write_text(json.dumps({"model_type": "mistral"}))
    elif change == "tokenizer":
        (model / "tokenizer.json").write_text('{"a": 1}')
    elif change == "more":
        (model / "chat_template.jinja").write_text("{{ messages }}")
    else:
        size = weights.stat().st_size
        with weights.open("r+b") as file:
            if change == "size":
                file.truncate(size + 1)
            elif change == "end":
                file.seek(-1, 2)
                file.write(b"\1")
            else:  # a changed range anywhere is detected
                file.seek(size // 3)
                file.write(b"\1" * (size // 200))
    assert fingerprint(model) != before


def test_a_folder_without_a_model_is_reported(tmp_path):
    with pytest.raises(SeqitError, match=r"without config\.json"):
        find_model(str(tmp_path), None)
    with pytest.raises(SeqitError, match=r"without adapter_config\.json"):
        find_model(str(tmp_path), None, "adapter_config.json")
