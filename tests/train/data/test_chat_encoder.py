"""The loss mask covers exactly the assistant's text and its end token, for every template."""

import unicodedata

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.chat_templates import CHATML, FAMILIES, IM, STYLES, Family, make_tokenizer

from seqit.errors import SeqitError
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.train.data.chat_encoder import TextEncoder
from seqit.train.data.conversation import UntrainableRow, conversation_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

# SentencePiece tokenizers insert spaces next to the control tokens of these families.
UNSUPPORTED = {"deepseek": ("pieces", "first"), "thinking": ("pieces",), "harmony": ("pieces",)}
UNSUPPORTED["phi-3"] = ("pieces",)
PAIRS = [(n, style) for n in FAMILIES for style in STYLES if style not in UNSUPPORTED.get(n, ())]
ALL_PAIRS = pytest.mark.parametrize(("name", "style"), PAIRS, ids=["-".join(p) for p in PAIRS])
_encoders: dict[tuple, TextEncoder] = {}


def encoder(name, style, loss="assistant"):
    key = (name, style, loss)
    if key not in _encoders:
        tokenizer = make_tokenizer(FAMILIES[name], style)
        _encoders[key] = TextEncoder(tokenizer, ChatTemplate(None, None), loss, name)
    return _encoders[key]


def encoder_of(template, special=IM, end="<|im_end|>", **more):
    family = Family(template, str, special, end=end)
    return TextEncoder(
        make_tokenizer(family, "bytes"), ChatTemplate(None, None), "assistant", "this model", **more
    )


def record(output, instruction="What is it?", **more):
    return {"id": "a", "instruction": instruction, "input": "", "output": output, **more}


def supervised(text_encoder, encoded):
    """Return the text of each supervised run of tokens, decoded after the token before it."""
    runs, ids, loss_mask = [], encoded.ids, encoded.loss_mask
    start = None
    for index in range(len(ids) + 1):
        is_supervised = index < len(ids) and loss_mask[index]
        if is_supervised and start is None:
            start = index
        if not is_supervised and start is not None:
            before = ids[start - 1 : start]
            runs.append(
                text_encoder.decode(before + ids[start:index])[len(text_encoder.decode(before)) :]
            )
            start = None
    return runs


def rendered(name, style, answers):
    """Return the answers as the family's template and the tokenizer's style render them."""
    texts = [FAMILIES[name].rendered(answer) for answer in answers]
    if style == "nfc":
        texts = [unicodedata.normalize("NFC", text) for text in texts]
    if style == "pieces" and name in ("mistral", "mistral-last"):
        texts = [f" {text}" for text in texts]  # it puts a space after every control token
    return texts


pieces = st.sampled_from(
    [
        *("Yes.", "The Rhine", " ", "  ", "\n", "\n\n", "\t", "é", "e\u0301", "漢字", "🌍", "👩‍🚀"),
        *("USER:", "ASSISTANT:", "[INST]x", "<<SYS>>", "### user:", "<|user|x", "<think", "| >"),
        *("a\u00a0b", "ﬁ", "\u202e", "1234567", "def f():\n    return 1\n", "'s", "<", ">", "▁"),
    ]
)
texts = st.one_of(
    st.lists(pieces, min_size=1, max_size=8).map("".join),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40),
)
words = texts.filter(lambda text: text.strip())


@st.composite
def records(draw):
    made = record(draw(words), draw(words))
    if draw(st.booleans()):
        made["input"] = draw(texts)
    if draw(st.booleans()):
        made["system"] = draw(texts)
    if history := draw(st.lists(st.tuples(texts, words), max_size=3)):
        made["history"] = [list(turn) for turn in history]
    return made


def is_sound(style, row):
    """Return True if the tokenizer decodes to the same text."""
    if style in ("pieces", "first"):
        return "▁" not in str(row)  # their symbol for a space
    return True


@ALL_PAIRS
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(row=records())
def test_the_loss_is_on_the_assistants_text_and_its_end_token(name, style, row):
    family = FAMILIES[name]
    if name == "thinking":
        assume("think" not in str(row))
    assume(is_sound(style, row))
    text_encoder = encoder(name, style)
    try:
        encoded = text_encoder.encode(row)
    except UntrainableRow as error:
        # The alphabet of this test contains control tokens of some families.
        assert error.reason == "control-token"
        return
    assert encoded.turns_left_out == family.turns_left_out(row)
    answers = [answer for _, answer in row.get("history", ())][encoded.turns_left_out :]
    assert supervised(text_encoder, encoded) == rendered(name, style, [*answers, row["output"]])


@ALL_PAIRS
def test_the_tokens_before_an_answer_are_those_of_the_prompt_at_inference(name, style):
    text_encoder = encoder(name, style)
    row = record("\n\n  It is.", "Say\n\n", system="Be kind.")
    encoded = text_encoder.encode(row)
    turns = text_encoder._to_content(
        text_encoder._template.adapt_messages(conversation_of(row)[:-1])
    )
    prompt = text_encoder.tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_dict=False
    )
    assert encoded.ids[: encoded.loss_mask.index(True)] == prompt


def test_there_is_one_begin_token():
    ids = encoder("llama-3", "bytes").encode(record("Yes.")).ids
    begin = encoder("llama-3", "bytes").tokenizer.bos_token_id
    assert (ids[0], ids.count(begin)) == (begin, 1)


def test_only_the_last_turn_with_loss_last():
    text_encoder = encoder("chatml", "words", "last")
    encoded = text_encoder.encode(record("Two.", history=[["Q", "One."]]))
    assert supervised(text_encoder, encoded) == ["Two.<|im_end|>"]
    assert encoded.turns_left_out == 0


def test_thoughts_are_supervised_if_they_are_rendered():
    text_encoder = encoder("thinking", "words")
    row = record(
        "<think>\nHm.\n</think>\n\nTwo.", history=[["Q", "<think>\nOh.\n</think>\n\nOne."]]
    )
    encoded = text_encoder.encode(row)
    assert supervised(text_encoder, encoded) == ["<think>\nHm.\n</think>\n\nTwo.<|im_end|>"]
    assert encoded.turns_left_out == 1
    assert "Oh." not in text_encoder.decode(encoded.ids)


@pytest.mark.parametrize(
    ("name", "place", "text"),
    [
        ("chatml", "output", "Close it with <|im_end|>."),
        ("chatml", "instruction", "<|im_end|>\n<|im_start|>assistant\nYes."),
        ("chatml", "system", "Be kind.<|im_start|>"),
        ("chatml", "input", "</s>"),
        ("llama-3", "output", "<|eot_id|>"),
        ("llama-2", "output", "HTML strikes with <s>this</s>."),
        ("phi-3", "output", "<|user|>"),
        ("deepseek", "instruction", "Hi<｜Assistant｜>Yes."),  # not marked as special
    ],
)
def test_a_text_that_contains_a_control_token_is_rejected(name, place, text):
    with pytest.raises(UntrainableRow, match="reads as a control token") as caught:
        encoder(name, "bytes").encode({**record("Yes."), place: text})
    assert caught.value.reason == "control-token"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (record(""), "output"),
        (record(" \n"), "output"),
        (record("Yes.", history=[["Q", "A"], ["Q", " "]]), "history[1][1]"),
    ],
)
def test_a_blank_answer_is_rejected(row, field):
    with pytest.raises(UntrainableRow) as caught:
        encoder("chatml", "bytes").encode(row)
    assert (caught.value.reason, caught.value.field) == ("no-answer", field)


def test_images_are_rejected():
    with pytest.raises(UntrainableRow, match="takes no images") as caught:
        encoder("chatml", "bytes").encode(record("Yes.", images=["a.png"]))
    assert caught.value.reason == "images"


def test_a_row_that_the_template_rejects():
    odd = "{% if messages | length > 4 %}{{ raise_exception('too many') }}{% endif %}" + CHATML
    with pytest.raises(UntrainableRow, match="the chat template rejects it: too many"):
        encoder_of(odd).encode(record("Yes.", history=[["a", "b"], ["a", "b"]]))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template.*--template FILE"),
        ("{{ raise_exception('no') }}", "rejects it: no; name another: --template FILE"),
        ("{% for m in messages %}{{ m.nothing.more }}{% endfor %}", "rejects it"),
        (CHATML.replace("<|im_end|>", ""), "would not learn to stop.*eos_token"),
        (CHATML[: CHATML.index("{% if add_gen")], "before an answer, but not in the prompt"),
        (
            CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif"),
            "answers are not rendered after it",
        ),
    ],
)
def test_templates_that_cannot_be_used_for_training(template, message):
    with pytest.raises(SeqitError, match=message):
        encoder_of(template)


def test_turns_without_an_end_token_are_left_out():
    ends_last = CHATML.replace(
        "<|im_end|>", "{% if m.role == 'assistant' and loop.last %}<|im_end|>{% endif %}"
    )
    text_encoder = encoder_of(ends_last)
    encoded = text_encoder.encode(record("Two.", history=[["Q", "One."]]))
    assert (supervised(text_encoder, encoded), encoded.turns_left_out) == (["Two.<|im_end|>"], 1)


def test_a_tokenizer_without_offsets_is_an_error():
    class Slow:
        is_fast = False

    with pytest.raises(SeqitError, match=r"Slow.*is not a fast tokenizer"):
        TextEncoder(Slow(), ChatTemplate(None, None), "assistant", "this model")


def test_a_template_file_replaces_the_models_template(tmp_path):
    file = tmp_path / "t.jinja"
    file.write_text("{{ bos_token }}" + CHATML)
    tokenizer = make_tokenizer(FAMILIES["chatml"], "bytes")
    given, own = (
        TextEncoder(tokenizer, ChatTemplate(name, None), "assistant", "m")
        for name in (str(file), None)
    )
    assert given.encode(record("Yes.")).ids == [
        tokenizer.bos_token_id,
        *own.encode(record("Yes.")).ids,
    ]
    assert given.identity() != own.identity()


def test_a_batch_is_encoded_like_single_rows():
    text_encoder = encoder("llama-2", "pieces")
    rows = [record("Yes."), record(" "), record("\n\nNo.", history=[["a", "b"]]), record("</s>")]
    for row, encoded in zip(rows, text_encoder.encode_all(rows), strict=True):
        if isinstance(encoded, UntrainableRow):
            with pytest.raises(UntrainableRow, match=str(encoded)):
                text_encoder.encode(row)
        else:
            assert encoded == text_encoder.encode(row)
