"""Chat templates and tokenizers like those of well-known model families, written for these tests.

Each template has a function that returns the text the model has to generate for an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

SPECIAL = ("<s>", "</s>", "<unk>")


@dataclass(frozen=True)
class Family:
    """A chat template, its tokens, and how it renders an answer.

    rendered: maps an answer to its supervised text. special: control tokens; added: tokens that
    are not marked as such; stripping: tokens that also match the whitespace after them.
    """

    template: str
    rendered: Callable[[str], str]
    special: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    stripping: tuple[str, ...] = ()
    end: str = "</s>"
    turns_left_out: Callable[[dict], int] = field(default=lambda record: 0)


CHATML = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

GENERATION = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}
{% else %}{{ m.content }}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

LLAMA3 = """{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>

{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}\
<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""

LLAMA2 = """{% if messages[0].role == 'system' %}\
{% set note = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}\
{% set turns = messages[1:] %}{% else %}{% set note = '' %}{% set turns = messages %}{% endif %}\
{% for m in turns %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('user and assistant must take turns') }}{% endif %}\
{% if m.role == 'user' %}{{ bos_token }}[INST] {% if loop.first %}{{ note }}{% endif %}\
{{ m.content | trim }}\
 [/INST]{% else %} {{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"""

MISTRAL = """{{ bos_token }}{% for m in messages %}\
{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]\
{% elif m.role == 'assistant' %} {{ m.content | trim }}{{ eos_token }}\
{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}\
{% endfor %}"""

# Newer versions put the system message into the last turn of the user.
MISTRAL_LAST = """{{ bos_token }}{% if messages[0].role == 'system' %}\
{% set note = messages[0].content %}{% set turns = messages[1:] %}{% else %}\
{% set turns = messages %}{% endif %}\
{% set asked = turns | selectattr('role', 'equalto', 'user') | list | length %}\
{% set count = namespace(user=0) %}{% for m in turns %}{% if m.role == 'user' %}\
{% set count.user = count.user + 1 %}[INST]\
{% if note is defined and count.user == asked %}{{ note }}

{% endif %}{{ m.content }}[/INST]{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"""

GEMMA = """{{ bos_token }}{% if messages[0].role == 'system' %}\
{{ raise_exception('System role not supported') }}{% endif %}{% for m in messages %}\
<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content | trim }}<end_of_turn>
{% endfor %}{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""

ZEPHYR = """{% for m in messages %}<|{{ m.role }}|>
{{ m.content }}{{ eos_token }}
{% if loop.last and add_generation_prompt %}<|assistant|>
{% endif %}{% endfor %}"""

PHI3 = """{% for m in messages %}<|{{ m.role }}|>
{{ m.content }}<|end|>
{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% else %}<|endoftext|>{% endif %}"""

VICUNA = """{% for m in messages %}{% if m.role == 'system' %}{{ m.content }} \
{% elif m.role == 'user' %}USER: {{ m.content }} {% else %}\
ASSISTANT: {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}ASSISTANT:{% endif %}"""

# With a space at the end of the prompt, which many tokenizers join to the next word.
PLAIN = """{% for m in messages %}### {{ m.role }}: {{ m.content }}\
{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}
{% endfor %}{% if add_generation_prompt %}### assistant: {% endif %}"""

DEEPSEEK = """{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}\
{% elif m.role == 'user' %}<｜User｜>{{ m.content }}{% else %}\
<｜Assistant｜>{{ m.content }}<｜end▁of▁sentence｜>{% endif %}{% endfor %}\
{% if add_generation_prompt %}<｜Assistant｜>{% endif %}"""

TULU = """{% for m in messages %}<|{{ m.role }}|>
{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\
{% if not loop.last or m.role != 'assistant' %}
{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% endif %}"""

# Renders thoughts only in the last turn, and missing thoughts as empty ones.
THINKING = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role != 'assistant' %}{{ m.content }}{% else %}\
{% set parts = m.content.split('</think>') %}{% set words = parts[-1].lstrip('\\n') %}\
{% if loop.last %}<think>
{{ parts[0].split('<think>')[-1].strip('\\n') if parts | length > 1 else '' }}
</think>

{% endif %}{{ words }}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

HARMONY = """{% for m in messages %}{% if m.role == 'assistant' %}\
<|start|>assistant<|channel|>final<|message|>{{ m.content }}\
{{ '<|return|>' if loop.last else '<|end|>' }}{% else %}\
<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}\
{% if add_generation_prompt %}<|start|>assistant{% endif %}"""


def _with_thoughts(text: str) -> str:
    parts = text.split("</think>")
    thoughts = parts[0].split("<think>")[-1].strip("\n") if len(parts) > 1 else ""
    return f"<think>\n{thoughts}\n</think>\n\n{parts[-1].lstrip(chr(10))}<|im_end|>"


def _history_length(record: dict) -> int:
    return len(record.get("history", ()))


IM = ("<|im_start|>", "<|im_end|>")
FAMILIES = {
    "chatml": Family(CHATML, lambda text: f"{text}<|im_end|>", IM, end="<|im_end|>"),
    "generation": Family(GENERATION, lambda text: f"{text}<|im_end|>", IM, end="<|im_end|>"),
    "llama-3": Family(
        LLAMA3,
        lambda text: f"{text.strip()}<|eot_id|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        end="<|eot_id|>",
    ),
    "llama-2": Family(LLAMA2, lambda text: f" {text.strip()} </s>"),
    "mistral": Family(MISTRAL, lambda text: f" {text.strip()}</s>", ("[INST]", "[/INST]")),
    "mistral-last": Family(
        MISTRAL_LAST,
        lambda text: f"{text}</s>",
        ("[INST]", "[/INST]"),
        turns_left_out=lambda record: (
            _history_length(record) if record.get("system", "").strip() else 0
        ),
    ),
    "gemma": Family(
        GEMMA,
        lambda text: f"{text.strip()}<end_of_turn>",
        ("<start_of_turn>", "<end_of_turn>"),
        end="<end_of_turn>",
    ),
    "zephyr": Family(ZEPHYR, lambda text: f"{text}</s>"),
    "phi-3": Family(
        PHI3,
        lambda text: f"{text}<|end|>",
        ("<|endoftext|>",),
        stripping=("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        end="<|end|>",
    ),
    "vicuna": Family(VICUNA, lambda text: f" {text}</s>"),
    "plain": Family(PLAIN, lambda text: f"{text}</s>"),
    "deepseek": Family(
        DEEPSEEK,
        lambda text: f"{text}<｜end▁of▁sentence｜>",
        ("<｜end▁of▁sentence｜>",),
        added=("<｜User｜>", "<｜Assistant｜>"),
        end="<｜end▁of▁sentence｜>",
    ),
    "tulu": Family(TULU, lambda text: f"{text}</s>"),
    "thinking": Family(
        THINKING,
        _with_thoughts,
        IM,
        ("<think>", "</think>"),
        end="<|im_end|>",
        turns_left_out=_history_length,
    ),
    "harmony": Family(
        HARMONY,
        lambda text: f"<|channel|>final<|message|>{text}<|return|>",
        ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"),
        end="<|return|>",
        turns_left_out=_history_length,
    ),
}

CORPUS = (
    "List three rivers of Europe, then say which of them is the longest.\n\n",
    "  Describe the picture first;\n then tell how many children play in the garden.\n\n\n",
    "Nenne drei Städte und schreibe zu jeder einen kurzen Satz.   \n   ",
    "def add(a, b):\n    return a + b\n\n\nUSER: ASSISTANT: ### user: [INST] [/INST] <<SYS>>\n",
    "請先翻譯這句話，再回答問題。 Сначала переведи вопрос, потом ответь.\n\n",
)

LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def make_tokenizer(family: Family, style: str, corpus=CORPUS * 3, size: int = 500):
    """Return a tokenizer trained on a small corpus.

    style: "bytes" (byte-level, like GPT-2's), "words" (with Llama 3's pre-tokenizer, which joins
    line breaks), "nfc" (the same after NFC normalization), "pieces" (SentencePiece, with a space
    before every text, like Llama 2's) or "first" (a space before the first text only).
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, trainers
    from tokenizers import pre_tokenizers as pre
    from transformers import PreTrainedTokenizerFast

    if style in ("pieces", "first"):
        tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
        space = "▁"
        if style == "pieces":
            steps = [normalizers.Prepend(space), normalizers.Replace(" ", space)]
            tokenizer.normalizer = normalizers.Sequence(steps)
        else:
            tokenizer.pre_tokenizer = pre.Metaspace(
                replacement=space, prepend_scheme="first", split=False
            )
        tokenizer.decoder = decoders.Sequence(
            [
                decoders.Replace(space, " "),
                decoders.ByteFallback(),
                decoders.Fuse(),
                decoders.Strip(" ", 1, 0),
            ]
        )
        byte_tokens = [f"<0x{number:02X}>" for number in range(256)]
        trainer = trainers.BpeTrainer(
            vocab_size=size + 200,
            special_tokens=["<unk>", "<s>", "</s>", *byte_tokens],
            show_progress=False,
            max_token_length=6,
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        level = pre.ByteLevel(add_prefix_space=False, use_regex=style == "bytes")
        words = pre.Split(Regex(LLAMA3_WORDS), "isolated")
        tokenizer.pre_tokenizer = level if style == "bytes" else pre.Sequence([words, level])
        tokenizer.decoder = decoders.ByteLevel()
        if style == "nfc":
            tokenizer.normalizer = normalizers.NFC()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre.ByteLevel.alphabet(),
            show_progress=False,
        )
    pre_tokenizer = tokenizer.pre_tokenizer
    if style in ("pieces", "first"):  # trained on single words, but applied to whole texts
        tokenizer.pre_tokenizer = pre.Metaspace(replacement="▁", prepend_scheme="never")
    tokenizer.train_from_iterator(corpus, trainer)
    if style == "pieces":
        tokenizer.pre_tokenizer = None
    elif style == "first":
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in family.special]
        + [AddedToken(t, special=True, normalized=False, rstrip=True) for t in family.stripping]
    )
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in family.added])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token=family.end, unk_token="<unk>"
    )
    wrapped.chat_template = family.template
    return wrapped


STYLES = ("bytes", "words", "nfc", "pieces", "first")
