"""The error message for an unknown option.

The tables below map options of other tools (--lr, --max-tokens, --output-dir) to seqit's.
Otherwise only a near misspelling is suggested: an option with a similar name and another meaning
would mislead.
"""

import re
from collections.abc import Sequence

MIN_SIMILARITY = 0.8

COMMON_SYNONYMS = {
    "--config": "--recipe",
    "--debug": "--traceback",
    "--input": "SOURCE",
    "--input-file": "SOURCE",
    "--jobs": "--workers",
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
        "--cutoff-len": "--length",
        "--dataset": "--data",
        "--ds-config": "--deepspeed",
        "--eval-file": "--eval",
        "--eval-steps": "--eval-every",
        "--fp16": "--dtype bfloat16",
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
        "--timeout": "--cpu-timeout",
    },
    "bench": {
        "--confirm-run-unsafe-code": "--allow-code-execution",
        "--engine": "--engine-arg",
        "--fewshot": "--num-fewshot",
        "--include-path": "--include",
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
"""Options of other tools or of earlier versions, and what to write instead, by command."""


def explain_unknown_option(name: str, command: str, known: Sequence[str]) -> str:
    """Return the message for an unknown option, with a suggestion if there is one."""
    name = name.partition("=")[0]
    written = re.sub("_", "-", name.lower())
    if written in known:
        return f"{name} is written {written}"
    if replacement := _replacement(written, command, known):
        return f"there is no option {name} in seqit {command}: use {replacement}"
    import difflib  # not at the start of every command

    near = difflib.get_close_matches(written, known, n=1, cutoff=MIN_SIMILARITY)
    hint = f"did you mean {near[0]}?" if near else f"seqit {command} --help lists them"
    return f"there is no option {name} in seqit {command}; {hint}"


def _replacement(name: str, command: str, known: Sequence[str]) -> str | None:
    if replacement := SYNONYMS.get(command, {}).get(name):
        return replacement
    replacement = COMMON_SYNONYMS.get(name)
    return replacement if replacement in known or replacement == "SOURCE" else None
