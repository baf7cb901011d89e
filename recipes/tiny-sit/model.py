"""Create a small Llama with random weights, and a tokenizer trained on its training texts.

    python model.py SEED DIR < records.jsonl

The tokenizer is a byte-level BPE in which a word is the same token at every position: at the start
of a text, a line, a quotation or a bracket, the normalizer adds the space that other words have,
and the decoder removes it. SEED only affects the weights.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path

MAX_VOCABULARY = 1024  # tokens
MAX_LENGTH = 256  # of prompt and answer
OPENING = '\n"['  # no space between these and the next word
BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tokenizer(texts: Iterable[str], folder: Path) -> None:
    """Train a tokenizer on the texts, and write it with its chat template."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    spaced = [normalizers.Replace(char, f"{char} ") for char in OPENING]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(" "), *spaced])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    closed = [decoders.Replace(f"{char} ", char) for char in OPENING]
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Fuse(), decoders.Strip(" ", left=1), *closed]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_VOCABULARY,
        special_tokens=[BEGIN, END, PAD, "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=PAD
    )
    wrapped.chat_template = TEMPLATE
    wrapped.save_pretrained(folder)


def make_model(seed: int, folder: Path) -> None:
    """Write a Llama of half a million random weights, for the tokenizer in the folder."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=288,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        # These help a model this small to learn attention early: large weights, biases, low theta.
        initializer_range=0.1,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    LlamaForCausalLM(config).save_pretrained(folder)


if __name__ == "__main__":
    target = Path(sys.argv[2])
    rows = map(json.loads, sys.stdin)
    make_tokenizer((f"{r['instruction']}\n{r['input']}\n{r['output']}" for r in rows), target)
    make_model(int(sys.argv[1]), target)
