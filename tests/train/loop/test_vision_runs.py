"""`seqit train` on rows with and without images, from the rows to a model that answers."""

import json
import os

import pytest

pytest.importorskip("deepspeed", reason="seqit[train] is not installed")
pytest.importorskip("peft", reason="seqit[train] is not installed")

from PIL import Image
from support.tiny_vision import draw_images, make_instructblip, make_llava

from seqit.train.data.vision import auto_class_for, load_processor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

COLOURS = ("red", "green", "blue", "yellow")
ENV = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HOME": os.environ.get("HOME", "/")}
HIGH_RATE = (
    "--learning-rate",
    "5e-3",
    "--schedule",
    "constant",
    "--batch-size",
    "2",
    "--warmup",
    "0",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    makers = {"llava": make_llava, "instructblip": make_instructblip}
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in makers.items()}


@pytest.fixture(scope="module")
def rows(tmp_path_factory, seqit):
    """A file of rows from `seqit augment --method caption`, and one row without image."""
    folder = tmp_path_factory.mktemp("rows")
    seeds = [
        {"instruction": "Which colour is it?", "output": c, "images": [path], "captions": [c * 2]}
        for c, path in zip(COLOURS, draw_images(folder, COLOURS), strict=True)
    ]
    lines = "".join(json.dumps(seed) + "\n" for seed in seeds)
    chained = seqit("augment", "--method", "caption", stdin=lines.encode())
    assert chained.code == 0, chained.err
    text = b'{"instruction": "Name a river.", "output": "The Rhine."}\n'
    (folder / "sit.jsonl").write_bytes(chained.out + seqit("import", stdin=text).out)
    return folder / "sit.jsonl"


def losses(out):
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_llava_learns_to_describe_and_to_answer(models, rows, tmp_path, seqit):
    out = tmp_path / "out"
    line = (
        "train",
        rows,
        "--model",
        models["llava"],
        "--output",
        out,
        "--epochs",
        "40",
        *HIGH_RATE,
    )
    ran = seqit(*line, "--schedule", "linear", **ENV)
    assert (ran.code, ran.out) == (0, b""), ran.err
    assert "images: 4" in ran.err
    curve = losses(out)
    # So low that rounding on another machine does not change the generated tokens.
    assert len(curve) == 120 and max(curve[-3:]) < 0.02 < 1 < curve[0], curve
    processor, model = (
        load_processor(str(out)),
        auto_class_for(str(out)).from_pretrained(out).eval(),
    )
    for row in map(json.loads, rows.read_text().splitlines()):
        images = [Image.open(path).convert("RGB") for path in row.get("images", [])]
        parts = [*({"type": "image"} for _ in images), {"type": "text", "text": row["instruction"]}]
        chat = [{"role": "user", "content": parts}]
        text = processor.apply_chat_template(chat, add_generation_prompt=True)
        prompt = processor(
            text=[text], images=images or None, add_special_tokens=False, return_tensors="pt"
        )
        generated = model.generate(**prompt, max_new_tokens=60, do_sample=False, pad_token_id=0)
        new = generated[0, prompt["input_ids"].shape[1] :]
        assert processor.decode(new, skip_special_tokens=True) == row["output"]
    card = (out / "README.md").read_text()
    assert "AutoProcessor" in card and "full fine-tuning" in card


@pytest.mark.parametrize("kind", ["llava", "instructblip"])
def test_two_ranks_with_zero_3_have_the_losses_of_one(kind, models, rows, tmp_path, seqit):
    """In some steps only one of the ranks has an image."""
    curves = []
    for name, more in (("one", ("--ranks", 1)), ("two", ("--ranks", 2, "--zero", 3))):
        out = tmp_path / name
        line = (
            "train",
            rows,
            "--model",
            models[kind],
            "--output",
            out,
            "--epochs",
            "2",
            *HIGH_RATE,
        )
        ran = seqit(*line, *more, **ENV)
        assert ran.code == 0, ran.err
        curves.append(losses(out))
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    assert len(set(curves[0])) > 3


def test_adapters_of_a_llava_are_merged_into_it(models, rows, tmp_path, seqit):
    import torch

    out = tmp_path / "out"
    line = ("train", rows, "--model", models["llava"], "--output", out, "--epochs", "6", *HIGH_RATE)
    ran = seqit(*line, "--lora-rank", "8", **ENV)
    assert ran.code == 0, ran.err
    curve = losses(out)
    assert curve[-1] < curve[0] * 0.8, curve
    assert not (out / "model.safetensors").exists()
    merged = seqit("merge", out, "-o", tmp_path / "merged", **ENV)
    assert merged.code == 0, merged.err
    before = dict(
        auto_class_for(str(models["llava"])).from_pretrained(models["llava"]).named_parameters()
    )
    after = dict(
        auto_class_for(str(out.parent / "merged"))
        .from_pretrained(tmp_path / "merged")
        .named_parameters()
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert len(changed) == 14 and all("language_model" in name for name in changed)
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "LoRA of rank 8, merged into the base" in card
    assert (tmp_path / "merged" / "training.json").is_file()


@pytest.mark.parametrize("kind", ["llava", "instructblip"])
def test_a_corrupt_image_stops_the_run_before_it_starts(kind, models, rows, tmp_path, seqit):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    row = {"instruction": "Look.", "output": "I see.", "images": [str(broken)]}
    made = seqit("import", stdin=json.dumps(row).encode())
    (tmp_path / "rows.jsonl").write_bytes(rows.read_bytes() + made.out)
    out, rejects = tmp_path / "out", tmp_path / "rejects.jsonl"
    line = ("train", tmp_path / "rows.jsonl", "--model", models[kind], "--output", out)
    ran = seqit(*line, "--rejects", rejects, **ENV)
    assert ran.code == 1
    assert "1 rows failed, so nothing is trained" in ran.err or "1 row failed" in ran.err
    (reject,) = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert reject["reason"] == "images" and str(broken) in reject["message"]
    assert (reject["line"], reject["outcome"]) == (6, "failed")
    assert str(broken) in ran.err and "rows.jsonl:6" in ran.err
    assert "Traceback" not in ran.err
    assert not (out / "metrics.jsonl").exists()
