"""Tiny random vision-language models with their processors, built by the tests.

transformers, tokenizers and Pillow are imported inside the functions; tests that call them skip if
they are not installed.
"""

import json
from pathlib import Path
from typing import Any

from support.tiny_model import BOS, END, make_tokenizer

IMAGE = "<image>"
SIDE, PATCH = 32, 16
"""Size of an image and of a patch in pixels: four patches per image."""
QUERIES = 4
INITIALIZER_RANGE = 0.2
"""Standard deviation of the random weights: large enough that the image decides the answer."""

# The content of a turn is a text, or a list of text and image parts.
PARTS = """{% if message.content is string %}{{ message.content }}{% else %}\
{% for part in message.content %}{% if part.type == 'image' %}IMAGE_HERE{% else %}\
{{ part.text }}{% endif %}{% endfor %}{% endif %}"""
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>"
    + PARTS
    + "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def draw_images(folder: Path, colours: tuple[str, ...] = ("red", "green", "blue")) -> list[str]:
    """Write one image per colour, in different sizes, and return their paths."""
    from PIL import Image

    paths = []
    for number, colour in enumerate(colours):
        path = folder / f"{colour}.png"
        Image.new("RGB", (40 + 8 * number, 32), colour).save(path)
        paths.append(str(path))
    return paths


def make_llava(folder: Path) -> Path:
    """Write a LLaVA with 2 vision and 2 language layers, and its processor."""
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    tokenizer = _tokenizer(folder, [IMAGE])
    images = LlavaImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("IMAGE_HERE", IMAGE),
    )
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
            initializer_range=INITIALIZER_RANGE,
            initializer_factor=8.0,
        ).to_dict(),
        text_config=_llama(tokenizer).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        dtype="float32",
    )
    _save(LlavaForConditionalGeneration(config), folder, tokenizer)
    return folder


def make_instructblip(folder: Path) -> Path:
    """Write an InstructBLIP with a Llama, like the one with Vicuna, and its processor."""
    import torch
    from transformers import (
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipProcessor,
        InstructBlipQFormerConfig,
        InstructBlipVisionConfig,
    )
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    tokenizer = _tokenizer(folder, [IMAGE])
    qformer_tokenizer = _qformer_tokenizer(folder / "qformer")
    processor = InstructBlipProcessor(
        BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        tokenizer,
        qformer_tokenizer,
        num_query_tokens=QUERIES,
    )
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    vision = InstructBlipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        initializer_range=INITIALIZER_RANGE,
    )
    qformer = InstructBlipQFormerConfig(
        vocab_size=len(qformer_tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        encoder_hidden_size=32,
        max_position_embeddings=64,
        cross_attention_frequency=1,
        hidden_dropout_prob=0.0,  # so that the number of ranks does not change the result
        attention_probs_dropout_prob=0.0,
        initializer_range=INITIALIZER_RANGE,
    )
    config = InstructBlipConfig(
        vision_config=vision.to_dict(),
        qformer_config=qformer.to_dict(),
        text_config=_llama(tokenizer).to_dict(),
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        dtype="float32",
    )
    model = InstructBlipForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens)  # with zeros, all queries would be the same
    torch.nn.init.normal_(model.language_projection.weight)
    _save(model, folder, tokenizer)
    return folder


def make_qwen(folder: Path) -> Path:
    """Write a Qwen2-VL: tokens per image depend on its size, and positions have three axes."""
    import torch
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    special = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = _tokenizer(folder, special)
    start, end, image, video = tokenizer.convert_tokens_to_ids(special)
    images = Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, size={"shortest_edge": 16 * 16, "longest_edge": 64 * 64}
    )
    images.save_pretrained(folder)
    image_text = "<|vision_start|><|image_pad|><|vision_end|>"
    tokenizer.chat_template = TEMPLATE.replace("IMAGE_HERE", image_text)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10_000.0,
            "mrope_section": [4, 6, 6],
        },
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "patch_size": 8}
    config = Qwen2VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        dtype="float32",
    )
    _save(Qwen2VLForConditionalGeneration(config), folder, tokenizer)
    return folder


def qwen_processor(folder: str) -> Any:
    """Return the processor of a model from `make_qwen`, for images only.

    transformers' own also supports videos, which requires torchvision.
    """
    from transformers import AutoTokenizer, Qwen2VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.processing_utils import ProcessorMixin

    class Images(Qwen2VLProcessor):
        def __init__(self, image_processor: Any, tokenizer: Any) -> None:
            self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
            self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
            self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
            ProcessorMixin.__init__(self, image_processor, tokenizer)

    images = Qwen2VLImageProcessorPil.from_pretrained(folder)
    return Images(images, AutoTokenizer.from_pretrained(folder))


def _tokenizer(folder: Path, special: list[str]) -> Any:
    from transformers import AutoTokenizer

    make_tokenizer(folder, None)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(special, special_tokens=True)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _qformer_tokenizer(folder: Path) -> Any:
    """Return the separate tokenizer of the Q-Former, which is BERT's in the published models."""
    from transformers import AutoTokenizer

    make_tokenizer(folder, None)
    tokenizer = AutoTokenizer.from_pretrained(folder, pad_token=END)
    return tokenizer


def _llama(tokenizer: Any) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=INITIALIZER_RANGE,
        bos_token_id=tokenizer.convert_tokens_to_ids(BOS),
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
    )


def _save(model: Any, folder: Path, tokenizer: Any) -> None:
    model.save_pretrained(folder)
    settings = {"eos_token_id": tokenizer.eos_token_id}
    (folder / "generation_config.json").write_text(json.dumps(settings))
