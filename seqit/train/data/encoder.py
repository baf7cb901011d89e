"""Which encoder a model's rows need, and what it is made of: tokenizer and template."""

import dataclasses
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.model_files import find_model, installed_version
from seqit.train.data.chat_encoder import Encoder, TextEncoder
from seqit.train.data.vision import vision_encoder, vision_kind
from seqit.train.libraries import silence_training_libraries
from seqit.train.recipe import TrainRecipe


def resolve_model(recipe: TrainRecipe) -> TrainRecipe:
    """Return the recipe as the model allows it: rows of a model that sees are not packed."""
    if vision_kind(settings_folder(recipe)) == "text":
        return recipe
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, packing=False))


def encoder_of(recipe: TrainRecipe) -> Encoder:
    """Return the encoder of a recipe's model; raises SeqitError where it has none that works."""
    is_text = vision_kind(settings_folder(recipe)) == "text"
    return text_encoder(recipe) if is_text else vision_encoder(recipe)


def settings_folder(recipe: TrainRecipe) -> str:
    """Return the folder of a model's settings and tokenizer, fetched without its weights.

    Raises SeqitError where there is no such model.
    """
    found = find_model(recipe.model, recipe.revision)
    if found.is_folder:
        return found.model
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.jinja", "*.model", "*.txt"]
    return snapshot_download(found.model, revision=found.revision, allow_patterns=wanted)


def load_tokenizer(recipe: TrainRecipe) -> tuple[Any, ChatTemplate]:
    """Return the model's tokenizer with the template that is trained with, to be saved with it.

    Raises SeqitError where transformers or the model is missing.
    """
    for module in ("torch", "transformers"):
        installed_version(module, "train")
    silence_training_libraries()
    from transformers import AutoTokenizer

    template = ChatTemplate(recipe.template, None)
    folder = settings_folder(recipe)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise SeqitError(f"transformers finds no tokenizer in {folder}: {error}") from error
    if template.text is not None:
        tokenizer.chat_template = template.text
    return tokenizer, template


def text_encoder(recipe: TrainRecipe) -> TextEncoder:
    """Return the encoder of a recipe's model for rows of text; raises SeqitError."""
    tokenizer, template = load_tokenizer(recipe)
    return TextEncoder(tokenizer, template, recipe.data.loss, recipe.model)
