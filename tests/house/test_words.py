"""The project's former private words are gone; what they were replaced with is said here.

A word may still be plain English, or a term of the field, somewhere: those places are listed, each
with its reason. CHANGELOG.md, which tells of renamed options, and data are not searched.
"""

import io
import re
import subprocess
import tokenize

from support.paths import ROOT

ANYWHERE = {
    "account accounts ledger": "RunStats, statistics, OutcomeBuffer",
    "unfit": "CheckFailed",
    "lot lots": "stable_hash, rng_for",
    "told telling": "apply_outcomes, exit_code_for; known",
    "drawer drawing manner manners": "Sampler, Sampling, SamplingDefaults",
    "planter planted opponent opponents": "ControlInjector, control items, BaselineResponses",
    "enclose furnish wire": "enter_namespaces, mount_root, pipe",
    "gate showing": "read_only, tables",
    "wish wishes pour": "MixtureSpec, water_fill",
    "obstacle obstacles thaw": "SkipReason, --retry-kept",
    "portion portions feeder": "StepInput, BatchLoader",
    "learnt foretold": "supervised, predicted",
    "watch decisive": "MetricsLogger, resume_fingerprint",
    "leash screen obituary speaker": "PARENT_FD, TTY_FD, death_message, first_error",
    "eyes adopt spoken settled deal deals": "VISION_TOWERS, normalize, error_boundary, resolve",
}
"""Words that occur in no code, comment, message or page."""

EXCEPT_IN = {
    "account seqit/llm/providers/openai": "the account at a provider",
    "account schemas/older": "an older schema",
    "accounts seqit/filter/rules/masking.py": "bank accounts",
    "accounts tests/support/escapes.py": "the accounts of an operating system",
    "pour seqit/augment/language.py": "a French word",
    "gate seqit/train/model/lora.py": "gate_proj, a layer of Llama",
    "gate tests/train/model/test_lora.py": "gate_proj, a layer of Llama",
    "watch seqit/checks/own_response.py": "verbs of tasks",
    "eyes tests/augment/caption/test_caption.py": "a model's answer",
    "planted tests/evaluate/judges/test_judges.py": "a word that the judge must not be shown",
    "thaw seqit/commands/shell/unknown_option.py": "a word that is answered with --retry-kept",
}

IN_NAMES = {
    "ask asks asking unanswered": "complete, enqueue, CompletionFailed",
    "draw draws drawn chance": "rng_for, stable_hash; sample",
    "reporter": "RejectWriter, RunReport",
    "way ways": "RowState",
    "cell cells": "sandbox worker",
    "wording wordings": "formatting, phrasing",
    "shape": "OutputFormat",
    "leave others": "skip_or_pass, on_inapplicable",
    "frozen": "final",
    "bins": "packed sequences",
    "feed": "Prefetcher, SourceReader",
    "sees quiet together once spread": "is_vision_model, silence_libraries, collate, parallel_map",
    "verdict verdicts": "Rejection, JudgeOutput, TestResult",
    "bench measure": "JudgeContext, JudgeMetric, Metric, RowStats",
}
"""Words in the names of variables, functions, classes and modules."""

PLAIN_ENGLISH = {
    "what a task asks": "asks_for asks_inline asks_several _asks_for_more _ASKS_FOR_COPY "
    "_asks_for_copy",
    "the command, and the folder": "bench BENCH",
    "what a benchmark or mix measures": "measure _measure measure_augment measure_memory "
    "measure_raw measure_rows _MeasureBuffer",
    "bins of a histogram and of bin packing": "bins BINS full_bins",
    "cells of a table": "cell _cell _cell_text _csv_cell cell_text markdown_cell cells cells_of "
    "_row_cells _run_cells",
    "pictures and figures": "draw draw_figure draw_images _draw_panel",
    "the other result of a comparison, neither won nor lost": "n_draws",
    "HTMLParser.feed": "feed",
    "dataclass(frozen=True), frozen weights": "frozen frozen_bytes",
    "one time, not several": "once estimate_once _split_once _ONCE_ANSWERED _ONCE_DONE",
    "the other ones": "others OTHERS",
    "--quiet": "quiet _quiet SEQIT_FILTER_QUIET",
    "the shape of an array or of a text": "shape _shape_problem",
    "spread of numbers": "spread",
    "in one batch, compared with one by one": "together",
    "the paper's word for an answer of its prompts": "verdict verdicts VERDICT VERDICTS "
    "has_verdict parse_verdict _OPTION_VERDICT _YES_NO_VERDICT",
    "the words of a sentence": "wording",
}
"""Names with such a word, by its meaning there."""


def _words(text: str) -> set[str]:
    """Return the words of a text in lower case; those of a compound name stand alone."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text)}


def _listed(table: dict[str, str]) -> set[str]:
    return {word for group in table for word in group.split()}


def _files(*suffixes: str) -> list[str]:
    """Return the project's files whose words count, relative to its root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    data = re.compile(
        r"tests/cases/|examples/\w+\.|CHANGELOG|seqit/examples|tests/house/test_words"
    )
    return [
        name
        for name in listed.splitlines()
        if name.endswith(suffixes) and not data.match(name) and (ROOT / name).is_file()
    ]


def test_the_former_words_are_not_used():
    found = {
        f"{word} {name}"
        for name in _files(".py", ".md", ".sh", ".yaml", ".toml", ".schema.json", "Dockerfile")
        for word in _words((ROOT / name).read_text("utf-8")) & _listed(ANYWHERE)
    }
    unexpected = {each for each in found if not any(map(each.startswith, EXCEPT_IN))}
    assert not unexpected
    assert all(any(each.startswith(listed) for each in found) for listed in EXCEPT_IN)


def test_names_use_the_fields_words():
    found: dict[str, str] = {}
    for name in _files(".py"):
        for token in tokenize.generate_tokens(
            io.StringIO((ROOT / name).read_text("utf-8")).readline
        ):
            is_name = token.type == tokenize.NAME and not token.string.startswith("test_")
            if is_name and _words(token.string) & _listed(IN_NAMES):
                found[token.string] = name
    allowed = {name for names in PLAIN_ENGLISH.values() for name in names.split()}
    assert {name: where for name, where in found.items() if name not in allowed} == {}
    assert allowed <= found.keys()
