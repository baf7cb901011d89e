"""What the transformers backend shows a vision model is what the model was trained on."""

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")

from PIL import Image
from support.local_backend import Session
from support.tiny_vision import draw_images, make_instructblip, make_llava

from seqit.errors import UsageError
from seqit.llm.chat import chat_of
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.transformers import TransformersBackend
from seqit.llm.request import Request, Sampling
from seqit.records.normalize import normalize
from seqit.train.data.dataset import Example
from seqit.train.data.vision import class_of, load_processor
from seqit.train.data.vision_chat import ChatVision
from seqit.train.data.vision_instructblip import InstructBlip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

ENCODERS = {"llava": ChatVision, "instructblip": InstructBlip}


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


def asked(record, count=12):
    return Request(chat_of(record), Sampling(temperature=0, max_new_tokens=count), 0)


def rows(images):
    texts = ("Which colour?", "Say which colour the whole of this picture has, in one word.")
    return [
        normalize({"instruction": text, "output": "red", "images": [image], "system": "Be brief."})
        for text in texts
        for image in images
    ]


def taught(folder, kind, record):
    """Return the prompt's tensors as training has them, and how many of its ids are the prompt."""
    import numpy as np

    encoder = ENCODERS[kind](load_processor(folder), ChatTemplate(None, None), "assistant", "tiny")
    encoded = encoder.encode_all([record])[0]
    end = encoded.targets.index(True)
    example = Example(
        np.asarray(encoded.ids, np.int32), np.asarray(encoded.targets), "", tuple(record["images"])
    )
    return encoded.ids[:end], encoder.collate([[example]]).tensors


def test_it_says_what_the_model_says_to_what_it_was_trained_on(kind, folders, images):
    import torch

    session = Session(TransformersBackend(folders[kind], batch_size=4))
    model = class_of(folders[kind]).from_pretrained(folders[kind]).eval()
    answers = session.ask([asked(record) for record in rows(images)])
    for record, answer in zip(rows(images), answers, strict=True):
        ids, tensors = taught(folders[kind], kind, record)
        more = {
            key: value
            for key, value in tensors.items()
            if key.startswith(("pixel", "qformer", "image"))
        }
        with torch.inference_mode():
            made = model.generate(
                input_ids=torch.tensor([ids]),
                attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                **more,
                max_new_tokens=12,
                do_sample=False,
                pad_token_id=0,
            )[0].tolist()
        new = made[len(ids) :] if made[: len(ids)] == ids else made
        tokenizer = load_processor(folders[kind]).tokenizer
        assert answer.prompt_tokens == len(ids)
        assert answer.text == tokenizer.decode(new, skip_special_tokens=True)
    assert len({answer.text for answer in answers}) > 1  # what is seen or asked decides


def test_the_batch_decides_nothing(kind, folders, images):
    requests = [asked(record) for record in rows(images)]
    together = Session(TransformersBackend(folders[kind], batch_size=6)).ask(requests)
    alone = Session(TransformersBackend(folders[kind], batch_size=1)).ask(requests)
    assert together == alone


def test_a_llava_is_also_asked_without_an_image(folders, images):
    session = Session(TransformersBackend(folders["llava"], batch_size=2))
    text = normalize({"instruction": "Name a river.", "output": "The Rhine."})
    both = session.ask([asked(text), asked(rows(images)[0])])
    assert both == [session.ask([asked(each)])[0] for each in (text, rows(images)[0])]


@pytest.mark.parametrize(
    ("count", "said"), [(0, "one image and one turn"), (2, "one image and one turn")]
)
def test_an_instructblip_takes_one_image(count, said, folders, images):
    record = {"instruction": "Which colour?", "output": "red", "images": images[:count]}
    (answer,) = Session(TransformersBackend(folders["instructblip"])).ask(
        [asked(normalize(record))]
    )
    assert answer.reason == "bad-request" and said in answer.message


def test_an_image_that_is_not_there_is_named(kind, folders, images, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "gone.png")
    record = {"instruction": "Which?", "output": "red", "images": [str(tmp_path / "gone.png")]}
    (tmp_path / "gone.png").unlink()
    session = Session(TransformersBackend(folders[kind]))
    gone, there = session.ask([asked(normalize(record)), asked(rows(images)[0])])
    assert gone.reason == "bad-image" and "gone.png" in gone.message
    assert there.text


def test_an_instructblip_takes_no_template(folders, tmp_path):
    (tmp_path / "t.jinja").write_text("{{ messages[0].content }}")
    backend = TransformersBackend(folders["instructblip"], chat_template=str(tmp_path / "t.jinja"))
    with pytest.raises(UsageError, match="takes no chat_template"):
        backend.open(lambda answers: None)
