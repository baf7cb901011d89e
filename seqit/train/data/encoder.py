"""Build the encoder of a model from its settings: tokenizer, chat template and processor."""

import dataclasses
from typing import Any

from seqit.errors import SeqitError
from seqit.llm.providers.local.chat_template import ChatTemplate
from seqit.llm.providers.local.libraries import installed_version
from seqit.llm.providers.local.model_files import find_model
from seqit.llm.providers.local.vision import is_vision_model
from seqit.train.data.chat_encoder import Encoder, TextEncoder
from seqit.train.data.vision import vision_encoder
from seqit.train.libraries import silence_training_libraries
from seqit.train.recipe import TrainRecipe


def resolve_recipe(recipe: TrainRecipe) -> TrainRecipe:
    """Return the recipe without options that its model does not support: packing with images."""
    if not is_vision_model(fetch_model_settings(recipe)):
        return recipe
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, packing=False))


def encoder_for(recipe: TrainRecipe) -> Encoder:
    """Return the encoder of a recipe's model; raises SeqitError if it cannot be built."""
    is_vision = is_vision_model(fetch_model_settings(recipe))
    return vision_encoder(recipe) if is_vision else text_encoder(recipe)


def fetch_model_settings(recipe: TrainRecipe) -> str:
    """Return the folder of a model's configuration and tokenizer, downloaded without its weights.

    Raises SeqitError if the model is not found.
    """
    found = find_model(recipe.model, recipe.revision)
    if found.is_folder:
        return found.model
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.jinja", "*.model", "*.txt"]
    return snapshot_download(found.model, revision=found.revision, allow_patterns=patterns)


def load_tokenizer(recipe: TrainRecipe) -> tuple[Any, ChatTemplate]:
    """Return the model's tokenizer and the chat template for training.

    Raises SeqitError if transformers is not installed or the tokenizer cannot be loaded.
    """
    for module in ("torch", "transformers"):
        installed_version(module, "train")
    silence_training_libraries()
    from transformers import AutoTokenizer

    template = ChatTemplate(recipe.template, None)
    folder = fetch_model_settings(recipe)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:
        raise SeqitError(f"transformers cannot load a tokenizer from {folder}: {error}") from error
    if template.text is not None:
        tokenizer.chat_template = template.text
    return tokenizer, template


def text_encoder(recipe: TrainRecipe) -> TextEncoder:
    """Return the text encoder of a recipe's model; raises SeqitError."""
    tokenizer, template = load_tokenizer(recipe)
    return TextEncoder(tokenizer, template, recipe.data.loss, recipe.model)
