"""The error message for an unknown option.

The tables below map options of other tools (--lr, --max-tokens, --output-dir) to seqit's.
Otherwise a near misspelling is named, or the only option that begins so: an option with a similar
name and another meaning would mislead.
"""

import re
from collections.abc import Sequence

MIN_SIMILARITY, MIN_LETTERS = 0.8, 4

COMMON_SYNONYMS = {
    "--config": "--recipe",
    "--debug": "--traceback",
    "--in": "SOURCE",
    "--input": "SOURCE",
    "--input-file": "SOURCE",
    "--jobs": "--workers",
    "--model-name": "--model",
    "--num-proc": "--workers",
    "--num-workers": "--workers",
    "--out": "--output",
    "--out-file": "--output",
    "--output-dir": "--output",
    "--output-file": "--output",
    "--output-path": "--output",
    "--random-seed": "--seed",
    "--silent": "--quiet",
    "--threads": "--workers",
    "--verbose": "--traceback for where an error was raised; progress is shown without an option",
}
_MODEL = {
    "--api-base": "--base-url",
    "--api-key": "OPENAI_API_KEY in the environment",
    "--batch": "--batch-api",
    "--batch-size": "--max-concurrency",
    "--budget": "--max-cost",
    "--concurrency": "--max-concurrency",
    "--endpoint": "--base-url",
    "--engine": "--engine-arg",
    "--max-completion-tokens": "--max-new-tokens",
    "--max-retries": "--retries",
    "--max-tokens": "--max-new-tokens for one completion, --max-total-tokens for the whole run",
    "--max-workers": "--max-concurrency",
    "--model-args": "--engine-arg",
    "--num-concurrent": "--max-concurrency",
    "--parallel": "--max-concurrency",
    "--request-timeout": "--timeout",
    "--tensor-parallel-size": "--engine-arg tensor_parallel_size=N",
    "--url": "--base-url",
    "--workers": "--max-concurrency",
}
SYNONYMS: dict[str, dict[str, str]] = {
    "import": {
        "--dataset": "--name",
        "--lang": "--languages",
        "--list-formats": "--list",
        "--type": "--format",
    },
    "augment": _MODEL
    | {
        "--language-from": "--from",
        "--languages": "--from",
        "--list-steps": "--list",
        "--model": "--teacher",
        "--num-evolutions": "--iterations",
        "--others": "--on-inapplicable",
        "--per-row": "--languages-per-row",
        "--rounds": "--iterations",
        "--row-language": "--language",
        "--share": "--fraction",
        "--source-language": "--from",
        "--source-languages": "--from",
        "--target-language": "--into",
        "--thaw": "--retry-kept",
        "--to": "--into",
        "--until": "--stop-after",
    },
    "filter": {
        "--dedup": "--rule near-duplicate",
        "--exclude": "--without",
        "--max-length": "--rule length:field=output,max_words=N",
        "--min-length": "--rule length:field=output,min_words=N",
        "--rules": "--rule, once for each rule",
        "--skip": "--without",
        "--table": "--rule-stats",
        "--threshold": "--rule near-duplicate:threshold=0.8",
        "--where": "--keep",
    },
    "mix": {
        "--n": "--rows",
        "--num-rows": "--rows",
        "--plan": "--dry-run",
        "--probabilities": "FILE=0.4, a weight beside each source",
        "--ratio": "FILE=0.4, a weight beside each source",
        "--shard-size": "--shard-rows",
        "--split": "--held-out",
        "--temperature": "--mix-temperature",
        "--test-size": "--held-out",
        "--weights": "FILE=0.4, a weight beside each source",
    },
    "train": {
        "--attn-implementation": "--attention",
        "--batch": "--batch-size",
        "--bf16": "--dtype bfloat16",
        "--block-size": "--length",
        "--bs": "--batch-size",
        "--cutoff-len": "--length",
        "--dataset": "--data",
        "--ds-config": "--deepspeed",
        "--eval-file": "--eval",
        "--eval-steps": "--eval-every",
        "--fp16": "--dtype bfloat16",
        "--grad-accum": "--batch-size, from which it follows",
        "--gradient-accumulation-steps": "--batch-size, from which it follows",
        "--gradient-checkpointing": "--checkpointing",
        "--hold-out": "--held-out",
        "--keep": "--save-total-limit",
        "--load-in-4bit": "--bits 4",
        "--load-in-8bit": "--bits 8",
        "--logging-steps": "--log-every",
        "--lora-r": "--lora-rank",
        "--lora-target-modules": "--lora-targets",
        "--lr": "--learning-rate",
        "--lr-scheduler": "--schedule",
        "--lr-scheduler-type": "--schedule",
        "--max-length": "--length",
        "--max-seq-len": "--length",
        "--max-seq-length": "--length",
        "--micro-batch-size": "--micro-batch",
        "--model-name-or-path": "--model",
        "--nnodes": "--nodes",
        "--nproc": "--ranks",
        "--nproc-per-node": "--ranks",
        "--num-epochs": "--epochs",
        "--num-gpus": "--ranks",
        "--num-processes": "--ranks",
        "--num-train-epochs": "--epochs",
        "--per-device-train-batch-size": "--micro-batch",
        "--quantization": "--bits",
        "--rdzv-endpoint": "--rendezvous",
        "--report-to": "--wandb or --tensorboard",
        "--resume-from-checkpoint": "--resume",
        "--save-steps": "--checkpoint-every",
        "--seq-len": "--length",
        "--val-size": "--held-out",
        "--wandb-project": "--wandb",
        "--warmup-ratio": "--warmup",
        "--warmup-steps": "--warmup",
        "--zero-stage": "--zero",
    },
    "respond": _MODEL
    | {
        "--few-shot": "--num-fewshot",
        "--fewshot": "--num-fewshot",
        "--n": "--samples",
        "--name": "--label",
        "--num-generations": "--samples",
        "--num-return-sequences": "--samples",
        "--shots-count": "--num-fewshot",
        "--stop-sequences": "--stop",
        "--teacher": "--model",
    },
    "judge": _MODEL
    | {
        "--baseline": "--against",
        "--metric": "--metrics",
        "--model": "--judge",
        "--n": "--votes",
        "--reference": "--against",
    },
    "score": {
        "--k": "--pass-at",
        "--metric": "--benchmark",
        "--task": "--benchmark",
        "--tasks": "--benchmark",
        "--timeout": "--cpu-timeout",
    },
    "bench": {
        "--confirm-run-unsafe-code": "--allow-code-execution",
        "--engine": "--engine-arg",
        "--few-shot": "--num-fewshot",
        "--fewshot": "--num-fewshot",
        "--include-path": "--include",
        "--max-samples": "--limit",
        "--model-args": "--engine-arg",
        "--name": "--label",
        "--shots": "--num-fewshot",
    },
    "compare": {
        "--bootstrap": "--interval bootstrap",
        "--confidence": "--level",
        "--metric": "--metrics",
        "--model": "--label",
        "--plot": "--figure",
    },
    "export": {"--fields": "--columns", "--keep": "--columns", "--type": "--format"},
    "sql": {"--query": "QUERY, the first argument", "--views": "--tables"},
    "merge": {"--adapter": "DIR, the argument", "--base-model": "--base"},
    "cache": {"--all": "the action clear", "--days": "--older-than"},
}
"""Options of other tools and earlier names, and what to write instead, by command."""


def explain_unknown_option(name: str, command: str, known: Sequence[str]) -> str:
    """Return the message for an unknown option, with a suggestion if there is one."""
    name = name.partition("=")[0]
    written = re.sub("_", "-", name.lower())
    if written in known:
        return f"{name} is written {written}"
    if replacement := _replacement(written, command, known):
        return f"there is no option {name} in seqit {command}: use {replacement}"
    near = _misspelt(written, known)
    hint = f"did you mean {near}?" if near else f"seqit {command} --help lists them"
    return f"there is no option {name} in seqit {command}; {hint}"


def _replacement(name: str, command: str, known: Sequence[str]) -> str | None:
    """Return what the tables say of the option, if the command has the option that they name."""
    own = SYNONYMS.get(command, {})
    if replacement := own.get(name):
        return replacement
    replacement = COMMON_SYNONYMS.get(name, "")
    if replacement == "SOURCE" or replacement.partition(" ")[0] in known:
        return replacement
    return own.get(replacement)


def _misspelt(name: str, known: Sequence[str]) -> str | None:
    """Return the option that the name is a misspelling or the beginning of.

    The dashes are not compared: they would make short names similar.
    """
    import difflib  # not at the start of every command

    options = {option.lstrip("-"): option for option in known if option.startswith("--")}
    word = name.lstrip("-")
    if len(word) < MIN_LETTERS:
        return None
    begins_so = [option for option in options if option.startswith(word)]
    near = difflib.get_close_matches(word, options, n=1, cutoff=MIN_SIMILARITY)
    found = near or (begins_so if len(begins_so) == 1 else [])
    return options[found[0]] if found else None
