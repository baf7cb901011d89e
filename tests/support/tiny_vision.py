"""Tiny random vision-language models with their processors, made on the spot.

transformers, tokenizers and Pillow are imported where they are used; the tests that call this
skip where they are absent.
"""

import json
from pathlib import Path
from typing import Any

from support.tiny_model import BOS, END, make_tokenizer

IMAGE = "<image>"
SIDE, PATCH = 32, 16
"""Pixels of an image's side and of a patch's: four patches an image."""
QUERIES = 4
SPREAD = 0.2
"""Of random weights: far enough from 0 that what is seen decides what is said."""

# What a turn holds is a text, or a list of parts with images among them.
PARTS = """{% if message.content is string %}{{ message.content }}{% else %}\
{% for part in message.content %}{% if part.type == 'image' %}IMAGE_HERE{% else %}\
{{ part.text }}{% endif %}{% endfor %}{% endif %}"""
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>"
    + PARTS
    + "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def draw_images(folder: Path, colours: tuple[str, ...] = ("red", "green", "blue")) -> list[str]:
    """Write one image a colour, of different sizes; return their paths."""
    from PIL import Image

    paths = []
    for number, colour in enumerate(colours):
        path = folder / f"{colour}.png"
        Image.new("RGB", (40 + 8 * number, 32), colour).save(path)
        paths.append(str(path))
    return paths


def make_llava(folder: Path) -> Path:
    """Write a LLaVA of 2 layers each for eye and language, and its processor."""
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
            initializer_range=SPREAD,
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
    """Write an InstructBLIP over a Llama, as that over Vicuna is, and its processor."""
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
    asker = _asker(folder / "asker")
    processor = InstructBlipProcessor(
        BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        tokenizer,
        asker,
        num_query_tokens=QUERIES,
    )
    processor.save_pretrained(folder)
    torch.manual_seed(0)
    eye = InstructBlipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        initializer_range=SPREAD,
    )
    queries = InstructBlipQFormerConfig(
        vocab_size=len(asker),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        encoder_hidden_size=32,
        max_position_embeddings=64,
        cross_attention_frequency=1,
        hidden_dropout_prob=0.0,  # so that any number of ranks computes the same
        attention_probs_dropout_prob=0.0,
        initializer_range=SPREAD,
    )
    config = InstructBlipConfig(
        vision_config=eye.to_dict(),
        qformer_config=queries.to_dict(),
        text_config=_llama(tokenizer).to_dict(),
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        dtype="float32",
    )
    model = InstructBlipForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens)  # of zeros all queries would see the same
    torch.nn.init.normal_(model.language_projection.weight)
    _save(model, folder, tokenizer)
    return folder


def make_qwen(folder: Path) -> Path:
    """Write a Qwen2-VL; as many tokens an image as its size asks for, places of three axes."""
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
    shown = "<|vision_start|><|image_pad|><|vision_end|>"
    tokenizer.chat_template = TEMPLATE.replace("IMAGE_HERE", shown)
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
    eye = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "patch_size": 8}
    config = Qwen2VLConfig(
        text_config=text,
        vision_config=eye,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        dtype="float32",
    )
    _save(Qwen2VLForConditionalGeneration(config), folder, tokenizer)
    return folder


def qwen_processor(folder: str) -> Any:
    """Return the processor of what `make_qwen` wrote, for images alone.

    transformers' own takes videos too, and needs torchvision for them.
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


def _asker(folder: Path) -> Any:
    """Return the Q-Former's tokenizer: one of its own, as BERT's is in the published models."""
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
        initializer_range=SPREAD,
        bos_token_id=tokenizer.convert_tokens_to_ids(BOS),
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
    )


def _save(model: Any, folder: Path, tokenizer: Any) -> None:
    model.save_pretrained(folder)
    settings = {"eos_token_id": tokenizer.eos_token_id}
    (folder / "generation_config.json").write_text(json.dumps(settings))
