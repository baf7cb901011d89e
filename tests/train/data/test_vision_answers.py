"""The transformers backend gives a vision model the same input as its training."""

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")

from PIL import Image
from support.local_backend import Session
from support.tiny_vision import draw_images, make_instructblip, make_llava

from seqit.errors import UsageError
from seqit.llm.chat import prompt_messages
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.transformers import TransformersBackend
from seqit.llm.request import Request, Sampling
from seqit.records.normalize import normalize
from seqit.train.data.dataset import Example
from seqit.train.data.vision import auto_class_for, load_processor
from seqit.train.data.vision_chat import ChatVisionEncoder
from seqit.train.data.vision_instructblip import InstructBlipEncoder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ENCODERS = {"llava": ChatVisionEncoder, "instructblip": InstructBlipEncoder}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    makers = {"llava": make_llava, "instructblip": make_instructblip}
    return {kind: str(make(tmp_path_factory.mktemp(kind))) for kind, make in makers.items()}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return draw_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(params=sorted(ENCODERS))
def kind(request):
    return request.param


def make_request(record, count=12):
    return Request(prompt_messages(record), Sampling(temperature=0, max_new_tokens=count), 0)


def rows(images):
    texts = ("Which colour?", "Say which colour the whole of this picture has, in one word.")
    return [
        normalize({"instruction": text, "output": "red", "images": [image], "system": "Be brief."})
        for text in texts
        for image in images
    ]


def training_input(folder, kind, record):
    """Return the ids of the prompt, and the tensors of the whole row, as in training."""
    import numpy as np

    encoder = ENCODERS[kind](load_processor(folder), ChatTemplate(None, None), "assistant", "tiny")
    encoded = encoder.encode_all([record])[0]
    end = encoded.loss_mask.index(True)
    example = Example(
        np.asarray(encoded.ids, np.int32),
        np.asarray(encoded.loss_mask),
        "",
        tuple(record["images"]),
    )
    return encoded.ids[:end], encoder.collate([[example]]).tensors


def test_the_answer_is_generated_from_the_training_input(kind, folders, images):
    import torch

    session = Session(TransformersBackend(folders[kind], batch_size=4))
    model = auto_class_for(folders[kind]).from_pretrained(folders[kind]).eval()
    answers = session.complete([make_request(record) for record in rows(images)])
    for record, answer in zip(rows(images), answers, strict=True):
        ids, tensors = training_input(folders[kind], kind, record)
        image_tensors = {
            key: value
            for key, value in tensors.items()
            if key.startswith(("pixel", "qformer", "image"))
        }
        with torch.inference_mode():
            made = model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                **image_tensors,
                max_new_tokens=12,
                do_sample=False,
                pad_token_id=0,
            )[0].tolist()
        new = made[len(ids) :] if made[: len(ids)] == ids else made
        tokenizer = load_processor(folders[kind]).tokenizer
        assert answer.prompt_tokens == len(ids)
        assert answer.text == tokenizer.decode(new, skip_special_tokens=True)
    assert len({answer.text for answer in answers}) > 1  # images or questions have an effect


def test_answers_do_not_depend_on_the_batch(kind, folders, images):
    requests = [make_request(record) for record in rows(images)]
    batched = Session(TransformersBackend(folders[kind], batch_size=6)).complete(requests)
    single = Session(TransformersBackend(folders[kind], batch_size=1)).complete(requests)
    assert batched == single


def test_a_llava_is_also_asked_without_an_image(folders, images):
    session = Session(TransformersBackend(folders["llava"], batch_size=2))
    text = normalize({"instruction": "Name a river.", "output": "The Rhine."})
    both = session.complete([make_request(text), make_request(rows(images)[0])])
    assert both == [session.complete([make_request(each)])[0] for each in (text, rows(images)[0])]


@pytest.mark.parametrize(
    ("count", "message"), [(0, "one image and one turn"), (2, "one image and one turn")]
)
def test_an_instructblip_takes_one_image(count, message, folders, images):
    record = {"instruction": "Which colour?", "output": "red", "images": images[:count]}
    (answer,) = Session(TransformersBackend(folders["instructblip"])).complete(
        [make_request(normalize(record))]
    )
    assert answer.reason == "bad-request" and message in answer.message


def test_a_missing_image_is_named(kind, folders, images, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "gone.png")
    record = {"instruction": "Which?", "output": "red", "images": [str(tmp_path / "gone.png")]}
    (tmp_path / "gone.png").unlink()
    session = Session(TransformersBackend(folders[kind]))
    gone, there = session.complete([make_request(normalize(record)), make_request(rows(images)[0])])
    assert gone.reason == "bad-image" and "gone.png" in gone.message
    assert there.text


def test_an_instructblip_takes_no_template(folders, tmp_path):
    (tmp_path / "t.jinja").write_text("{{ messages[0].content }}")
    backend = TransformersBackend(folders["instructblip"], chat_template=str(tmp_path / "t.jinja"))
    with pytest.raises(UsageError, match="has no chat_template"):
        backend.open(lambda answers: None)
