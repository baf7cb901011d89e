"""Measure tokens/s of `seqit train` and of trl's SFTTrainer, on the same rows and model.

    .venv-train/bin/python bench/train.py [--rows 160] [--width 128] [--layers 2] [--runs 3]

Needs trl and seqit[train]. The model is a Llama of random weights, the rows those of
bench/generate.py. Runs alternate, each in a separate process, and both take eight rows per step,
which is trl's default. All other settings are each one's defaults: seqit packs at length 2048, trl
pads. Loading, tokenising and the first step are not counted; tokens are those of rows, not padding.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

BENCH = Path(__file__).parent
ROWS_PER_STEP = 8
VOCABULARY = 4096  # tokens

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_model(folder: Path, rows: list[dict[str, str]], width: int, layers: int) -> None:
    """Write a random Llama, and a tokenizer trained on the rows."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((row["output"] for row in rows), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>"
    )
    wrapped.chat_template = TEMPLATE
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=width * 7 // 2,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        max_position_embeddings=2048,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def rate(tokens: list[int], ends: list[float]) -> float:
    """Return tokens/s from the end of the first step to the end of the last."""
    return sum(tokens[1:]) / (ends[-1] - ends[0])


def trl(work: Path, out: Path) -> float:
    """Train with SFTTrainer, one epoch."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: object, **__: object) -> None:
            ends.append(time.perf_counter())

    lines = (work / "rows.jsonl").read_text().splitlines()
    chats = []
    for row in map(json.loads, lines):
        prompt = "\n\n".join(filter(None, (row["instruction"], row["input"])))
        chats.append(
            [{"role": "user", "content": prompt}, {"role": "assistant", "content": row["output"]}]
        )
    on_gpu = torch.cuda.is_available()
    settings = {} if on_gpu else {"use_cpu": True, "bf16": False, "optim": "adamw_torch"}
    config = SFTConfig(
        str(out),
        num_train_epochs=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        model_init_kwargs={"dtype": "bfloat16" if on_gpu else "float32"},
        **settings,
    )
    trainer = SFTTrainer(
        str(work / "model"),
        args=config,
        train_dataset=Dataset.from_dict({"messages": chats}),
        callbacks=[Clock()],
    )
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    trainer.train()
    mean = statistics.fmean(lengths) * len(lengths) / len(ends)
    return rate([round(mean)] * len(ends), ends)


def ours(work: Path, out: Path, *options: str) -> float:
    """Train with seqit, one epoch."""
    command = [sys.executable, "-m", "seqit", "train", work / "records.jsonl", "-q", "--ranks", "1"]
    command += [
        "--model",
        work / "model",
        "--output",
        out,
        "--batch-size",
        ROWS_PER_STEP,
        "--epochs",
        "1",
    ]
    subprocess.run([str(word) for word in (*command, *options)], check=True)
    with (out / "metrics.jsonl").open() as file:
        rows = [row for row in map(json.loads, file) if "loss" in row]
    totals = [0, *(row["tokens"] for row in rows)]
    tokens = [after - before for before, after in pairwise(totals)]
    seconds = [n / row["tokens_per_second"] for n, row in zip(tokens, rows, strict=True)]
    return sum(tokens[1:]) / sum(seconds[1:])


CONTENDERS = {
    "seqit": ours,
    "seqit --no-packing": lambda work, out: ours(
        work, out, "--no-packing", "--micro-batch", str(ROWS_PER_STEP)
    ),
    "trl SFTTrainer": trl,
}


def main() -> None:
    """Alternate the contenders, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=160)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("NAME", "WORK", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, work, out = options.one
        print(CONTENDERS[name](Path(work), Path(out)))
        return
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        generated = subprocess.run(
            [sys.executable, BENCH / "generate.py", str(options.rows)],
            capture_output=True,
            check=True,
        )
        (work / "rows.jsonl").write_bytes(generated.stdout)
        rows = [json.loads(line) for line in generated.stdout.splitlines()]
        command = [sys.executable, "-m", "seqit", "import", "-q", "--format", "alpaca"]
        command += [str(work / "rows.jsonl"), "-o", str(work / "records.jsonl")]
        subprocess.run(command, check=True)
        make_model(work / "model", rows, options.width, options.layers)
        for turn in range(options.runs):
            for name in CONTENDERS:
                out = work / f"{turn}-{name.replace(' ', '')}"
                done = subprocess.run(
                    [sys.executable, __file__, "--one", name, str(work), str(out)],
                    stdout=subprocess.PIPE,
                    check=True,
                    text=True,
                )
                rates[name].append(float(done.stdout.splitlines()[-1]))
                print(f"{name}: {rates[name][-1]:,.0f} tokens/s", file=sys.stderr)
    for name, measured in rates.items():
        pairs = zip(measured, rates["trl SFTTrainer"], strict=True)
        ratio = statistics.median(rate / trl_rate for rate, trl_rate in pairs)
        print(f"{name:20} {statistics.median(measured):10,.0f} tokens/s {ratio:6.2f} x trl")


if __name__ == "__main__":
    main()
