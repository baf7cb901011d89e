"""Rows with images, with tiny InstructBLIP, LLaVA and Qwen2-VL models of random weights."""

import numpy as np
import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
pytest.importorskip("peft", reason="seqit[train] is not installed")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.tiny_model import END, make_model
from support.tiny_vision import (
    IMAGE,
    QUERIES,
    TEMPLATE,
    draw_images,
    make_instructblip,
    make_llava,
    make_qwen,
    qwen_processor,
)

from seqit.augment.caption import method as caption
from seqit.errors import SeqitError, UsageError
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.vision import model_kind
from seqit.records.normalize import normalize
from seqit.records.run_stats import Row, RunStats
from seqit.train.data.conversation import UntrainableRow
from seqit.train.data.dataset import Example
from seqit.train.data.vision import auto_class_for, freeze, load_processor, vision_encoder
from seqit.train.data.vision_chat import ChatVisionEncoder
from seqit.train.data.vision_instructblip import InstructBlipEncoder
from seqit.train.recipe import TrainRecipe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

KINDS = ("llava", "instructblip", "qwen")
COLOURS = ("red", "green", "blue", "yellow")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    import torch

    torch.set_num_threads(1)
    makers = {"llava": make_llava, "instructblip": make_instructblip, "qwen": make_qwen}
    return {kind: str(make(tmp_path_factory.mktemp(kind))) for kind, make in makers.items()}


@pytest.fixture(scope="module")
def encoders(folders):
    made = {
        k: vision_encoder(TrainRecipe(model=folders[k], output="o")) for k in KINDS if k != "qwen"
    }
    processor = qwen_processor(folders["qwen"])
    return made | {
        "qwen": ChatVisionEncoder(processor, ChatTemplate(None, None), "assistant", "qwen")
    }


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_images(tmp_path_factory.mktemp("pictures"), COLOURS)


@pytest.fixture(scope="module")
def rows(pictures):
    """Rows that describe an image before the answer, by `seqit augment --method caption`, and one
    row without an image."""
    seeds = [
        normalize(
            {
                "instruction": "Which colour is it?",
                "output": colour,
                "images": [path],
                "captions": [f"A picture all in {colour}."],
            }
        )
        for path, colour in zip(pictures, COLOURS, strict=True)
    ]
    stats = RunStats("augment")
    chained = [row.value for row in caption.augment((Row(s) for s in seeds), stats, seed=0)]
    assert [row["lineage"]["operation"] for row in chained] == ["caption"] * len(COLOURS)
    return [*chained, normalize({"instruction": "Name a river.", "output": "The Rhine."})]


def example(encoder, row):
    encoded = encoder.encode(row)
    images = tuple(row.get("images", ()))
    return Example(np.array(encoded.ids, np.int32), np.array(encoded.loss_mask), row["id"], images)


def supervised(encoder, encoded):
    """Return the supervised text."""
    pairs = zip(encoded.ids, encoded.loss_mask, strict=True)
    return encoder.decode([token for token, is_supervised in pairs if is_supervised])


def load_model(folder):
    return auto_class_for(folder).from_pretrained(folder)


def loss_of(model, micro_batch):
    count = micro_batch.supervised_tokens
    return model(**micro_batch.tensors, use_cache=False, num_items_in_batch=count).loss


# --- encoding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_on_the_answer_and_its_end_and_never_on_an_image(kind, encoders, rows):
    encoder = encoders[kind]
    for row in rows:
        encoded = encoder.encode(row)
        assert supervised(encoder, encoded) == row["output"] + END
        assert row["instruction"] in encoder.decode(encoded.ids)
        assert len(encoded.ids) == len(encoded.loss_mask)


def test_an_image_is_as_many_tokens_as_the_model_takes(encoders, rows):
    for kind, token, count in (("llava", IMAGE, 4), ("instructblip", IMAGE, QUERIES)):
        ids = encoders[kind].encode(rows[0]).ids
        assert ids.count(encoders[kind].tokenizer.convert_tokens_to_ids(token)) == count
        assert token not in encoders[kind].decode(encoders[kind].encode(rows[-1]).ids)
    # Qwen's count depends on the size: 40, 48, 56 and 64 pixels by 32, in squares of 16.
    encoder, token = encoders["qwen"], "<|image_pad|>"
    counts = [encoder.decode(encoder.encode(row).ids).count(token) for row in rows]
    assert counts == [4, 6, 8, 8, 0]


@pytest.mark.parametrize("kind", ["llava", "qwen"])
def test_the_tokens_are_those_of_the_models_own_processor(kind, encoders, folders, rows):
    encoder = encoders[kind]
    processor = encoder._processor
    for row in rows[:-1]:
        content = [{"type": "image"}, {"type": "text", "text": row["instruction"]}]
        chat = [{"role": "user", "content": content}]
        template = encoder.tokenizer.chat_template
        text = processor.apply_chat_template(
            chat, chat_template=template, add_generation_prompt=True
        )
        image = Image.open(row["images"][0])
        processed = processor(text=[text], images=[image], add_special_tokens=False)
        prompt = list(processed["input_ids"][0])
        encoded = encoder.encode(row)
        assert encoded.ids[: len(prompt)] == prompt
        assert encoded.loss_mask.index(True) == len(prompt)


def test_the_tokens_of_instructblip_are_those_of_its_processor(encoders, rows):
    encoder = encoders["instructblip"]
    image = Image.open(rows[0]["images"][0])
    made = encoder._processor(images=image, text=rows[0]["instruction"], return_tensors="pt")
    prompt = made["input_ids"][0].tolist()
    encoded = encoder.encode(rows[0])
    assert encoded.ids[: len(prompt)] == prompt
    micro_batch = encoder.collate([[example(encoder, rows[0])]])
    assert micro_batch.tensors["qformer_input_ids"].tolist() == made["qformer_input_ids"].tolist()
    assert (micro_batch.tensors["pixel_values"] == made["pixel_values"]).all()


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(
    lambda text: text.strip() and "<" not in text
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(question=words, answer=words, turns=st.lists(st.tuples(words, words), max_size=2))
@pytest.mark.parametrize("kind", ["llava", "qwen"])
def test_the_answers_of_any_conversation_are_supervised(
    kind, encoders, pictures, question, answer, turns
):
    row = normalize({"instruction": question, "output": answer, "images": [pictures[0]]})
    row |= {"history": [list(turn) for turn in turns]}
    encoder = encoders[kind]
    answers = [*(turn[1] for turn in turns), row["output"]]
    assert supervised(encoder, encoder.encode(row)) == "".join(text + END for text in answers)


@settings(max_examples=60, deadline=None)
@given(question=words, answer=words)
def test_any_answer_is_supervised_for_instructblip(encoders, pictures, question, answer):
    row = normalize({"instruction": question, "output": answer, "images": [pictures[0]]})
    encoder = encoders["instructblip"]
    assert supervised(encoder, encoder.encode(row)) == row["output"] + END


def test_two_images_are_rendered_in_the_first_turn(encoders, pictures):
    row = normalize({"instruction": "Compare them.", "output": "No.", "images": pictures[:2]})
    row["history"] = [["Look at these.", "I do."]]
    encoder = encoders["qwen"]
    encoded = encoder.encode(row)
    text = encoder.decode(encoded.ids)
    assert text.count("<|vision_start|>") == 2
    assert text.index("<|vision_end|>") < text.index("Look at these.")
    assert supervised(encoder, encoded) == f"I do.{END}No.{END}"


# --- what cannot be trained on -------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["absent", "no image", "cut off", "elsewhere"])
def test_an_image_that_cannot_be_opened_is_reported(kind, fault, encoders, tmp_path):
    path = tmp_path / "broken.png"
    if fault == "no image":
        path.write_text("I am no image.")
    elif fault == "cut off":
        noise = Image.effect_noise((64, 64), 90)
        noise.save(path)
        path.write_bytes(path.read_bytes()[:400])
    name = "https://example.com/a.png" if fault == "elsewhere" else str(path)
    row = normalize({"instruction": "Look.", "output": "I see.", "images": [name]})
    (error,) = encoders[kind].encode_all([row])
    assert isinstance(error, UntrainableRow)
    assert (error.reason, error.field) == ("images", "images")
    assert name in str(error) and "\n" not in str(error)


def test_an_image_that_disappears_during_training_is_reported(encoders, tmp_path):
    (path,) = draw_images(tmp_path, ("red",))
    row = normalize({"instruction": "Look.", "output": "I see.", "images": [path]})
    prepared = example(encoders["llava"], row)
    (tmp_path / "red.png").unlink()
    with pytest.raises(SeqitError, match=rf"row {row['id']}: .*red\.png.* --resume"):
        encoders["llava"].collate([[prepared]])


def test_an_image_that_changes_its_size_is_reported(encoders, tmp_path):
    (path,) = draw_images(tmp_path, ("red",))
    row = normalize({"instruction": "Look.", "output": "I see.", "images": [path]})
    prepared = example(encoders["qwen"], row)
    Image.new("RGB", (64, 64)).save(path)
    with pytest.raises(SeqitError, match=rf"row {row['id']}: .*another size.*red\.png"):
        encoders["qwen"].collate([[prepared]])


@pytest.mark.parametrize(
    ("kind", "text"), [("llava", IMAGE), ("qwen", "<|image_pad|>"), ("instructblip", IMAGE)]
)
def test_a_text_with_an_image_placeholder_is_rejected(kind, text, encoders, pictures):
    for change in ({"instruction": f"What is {text}?"}, {"output": f"It is {text}."}):
        row = normalize(
            {"instruction": "Look.", "output": "I see.", "images": pictures[:1]} | change
        )
        with pytest.raises(UntrainableRow) as caught:
            encoders[kind].encode(row)
        assert caught.value.reason == "control-token"


def test_rows_that_instructblip_does_not_support(encoders, pictures):
    encode = encoders["instructblip"].encode
    row = normalize({"instruction": "Look.", "output": "I see.", "images": pictures[:1]})
    with pytest.raises(UntrainableRow, match="one image per row, not 2"):
        encode(row | {"images": pictures[:2]})
    with pytest.raises(UntrainableRow, match="one turn"):
        encode(row | {"history": [["a", "b"]]})
    with pytest.raises(UntrainableRow, match="no answer"):
        encode(row | {"output": " "})


def test_a_template_that_renders_no_images_is_refused(folders):
    template = ChatTemplate(None, None)
    template.text = TEMPLATE.replace("IMAGE_HERE", "")
    with pytest.raises(SeqitError, match="does not render images"):
        ChatVisionEncoder(load_processor(folders["llava"]), template, "assistant", "m")


def test_instructblip_has_no_chat_template(folders):
    template = ChatTemplate(None, None)
    template.text = "x"
    with pytest.raises(UsageError, match="has no chat template"):
        InstructBlipEncoder(load_processor(folders["instructblip"]), template, "assistant", "m")


def test_a_model_without_a_processor_is_named(tmp_path):
    folder = make_model(tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(SeqitError, match="cannot load an image processor from"):
        load_processor(str(folder))


def test_the_kind_of_a_model_comes_from_its_configuration(folders, tmp_path):
    kinds = {kind: model_kind(folder) for kind, folder in folders.items()}
    vision = "chat-vision"
    assert kinds == {"llava": vision, "qwen": vision, "instructblip": "instructblip"}
    assert model_kind(str(make_model(tmp_path))) == "text"
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(SeqitError, match=r"config\.json cannot be read"):
        model_kind(str(tmp_path))


# --- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_the_sum_of_its_rows(kind, encoders, folders, rows):
    """With rows with and without images, of different lengths, and the blank one."""
    encoder, model = encoders[kind], load_model(folders[kind]).eval()
    examples = [example(encoder, row) for row in rows]
    batch = encoder.collate([[each] for each in examples])
    assert batch.tokens == sum(len(each.ids) for each in examples)
    singles = [encoder.collate([[each]]) for each in examples]
    assert sum(each.supervised_tokens for each in singles) == batch.supervised_tokens
    losses = [loss_of(model, each).item() * each.supervised_tokens for each in singles]
    batch_loss = loss_of(model, batch).item() * batch.supervised_tokens
    assert batch_loss == pytest.approx(sum(losses), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_image_has_the_loss_of_the_language_model(kind, encoders, folders, rows):
    import torch

    encoder, model = encoders[kind], load_model(folders[kind]).eval()
    row = example(encoder, rows[-1])
    micro_batch = encoder.collate([[row]])
    assert len(micro_batch.tensors["input_ids"]) == 2  # with the row of the blank image
    assert micro_batch.supervised_tokens == int(row.loss_mask.sum())
    assert micro_batch.tokens == len(row.ids)
    ids = torch.from_numpy(row.ids.astype(np.int64))[None]
    labels = torch.where(torch.from_numpy(row.loss_mask)[None], ids, -100)
    language_model = model.language_model if kind == "instructblip" else model
    expected = language_model(input_ids=ids, labels=labels).loss
    assert loss_of(model, micro_batch).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_decides_the_answer_and_every_trained_weight_has_a_gradient(
    kind, encoders, folders, rows
):
    encoder, model = encoders[kind], load_model(folders[kind])
    frozen = freeze(model)
    examples = [example(encoder, row) for row in rows]
    blue = examples[2]
    yellow = blue._replace(images=examples[3].images)  # of the same size
    losses = [loss_of(model, encoder.collate([[each]])).item() for each in (blue, yellow)]
    assert abs(losses[0] - losses[1]) > 1e-5
    for batch in ([examples[0]], [examples[-1]]):  # with and without an image
        model.zero_grad(set_to_none=True)
        loss_of(model, encoder.collate([[each] for each in batch])).backward()
        without = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
        assert without == set()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != any(name.startswith(f"{each}.") for each in frozen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tiny_model_trains_and_its_loss_falls(kind, encoders, folders, rows):
    import torch

    torch.manual_seed(0)
    encoder, model = encoders[kind], load_model(folders[kind])
    freeze(model)
    micro_batch = encoder.collate([[example(encoder, row)] for row in rows])
    trainable = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=5e-3)
    losses = []
    for _ in range(40):
        loss = loss_of(model, micro_batch)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # InstructBLIP's language model is frozen and random, so its Q-Former cannot reduce it more.
    assert losses[-1] < losses[0] * (0.9 if kind == "instructblip" else 0.2), losses
