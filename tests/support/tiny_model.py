"""A tiny random Llama with a tokenizer trained here, for tests of backends that run models.

transformers and tokenizers are imported in the functions that use them; the tests that call these
are skipped without the libraries.
"""

import json
from pathlib import Path

VOCAB_SIZE = 400  # the 256 bytes, the special tokens, and merges trained below
BOS, END = "<|begin|>", "<|end|>"

# Rejects unknown roles and adds a BOS token, as the templates of real models do.
TEMPLATE = """{{ bos_token }}{% for message in messages %}\
{% if message.role not in ['system', 'user', 'assistant'] %}\
{{ raise_exception('no such role: ' + message.role) }}{% endif %}\
<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% endif %}"""

# Rejects system messages, as the templates of some real models do.
TEMPLATE_WITHOUT_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + TEMPLATE
)

CORPUS = (
    "List three rivers of Europe, then say which of them is the longest.",
    "Translate the question into English, then answer it in one sentence.",
    "Describe the picture first; then tell how many children play in the garden.",
    "Nenne drei Städte und schreibe zu jeder einen kurzen Satz.",
    '{"option": "prefix", "steps": ["Repeat the text.", "Sum up the text."], "sure": true}',
)


def make_tokenizer(folder: Path, template: str | None = TEMPLATE) -> None:
    """Train a byte-level tokenizer; like Llama's, it puts BOS before every encoded text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = [BOS, END, "<|system|>", "<|user|>", "<|assistant|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=END, pad_token=None
    )
    wrapped.chat_template = template
    wrapped.save_pretrained(folder)


def make_model(folder: Path, *, template: str | None = TEMPLATE, length: int = 512) -> Path:
    """Write a random model of 2 layers and its tokenizer into `folder`; returns the folder.

    `length`: tokens of prompt and answer together. The head size is 64, vLLM's minimum.
    """
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    make_tokenizer(folder, template)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=length,
        initializer_range=0.1,  # large enough that greedy answers differ by prompt
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    # Sampling settings of the model, which a backend must ignore.
    settings = {"eos_token_id": tokenizer.eos_token_id, "repetition_penalty": 5.0, "top_k": 1}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


def generate_greedily(folder: Path, ids: list[int], count: int) -> list[int]:
    """Return the model's greedy continuation of `ids`, computed from its logits."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    generated: list[int] = []
    with torch.inference_mode():
        for _ in range(count):
            generated.append(int(model(torch.tensor([ids + generated])).logits[0, -1].argmax()))
    return generated
