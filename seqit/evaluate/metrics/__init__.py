"""Reference metrics: one module for each scorer, and the registry of scorers by benchmark name.

A module defines SCORER (see base.py) and is imported when it is first used. Judges are in
evaluate/judges.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from seqit.errors import UsageError
from seqit.evaluate.metrics.base import Scorer, Unscorable
from seqit.records.record import Record
from seqit.records.validation import did_you_mean

CODE = "humaneval"
"""The one benchmark whose answers are run."""

SCORERS = ("gsm8k", "mgsm", CODE, "xquad", "choices", "vqa", "gqa", "checks")

ALIASES = {
    "mmlu": "choices",
    "arc": "choices",
    "arc-challenge": "choices",
    "arc-easy": "choices",
    "commonsense-qa": "choices",
    "commonsenseqa": "choices",
    "multiple-choice": "choices",
    "squad": "xquad",
    "mlqa": "xquad",
    "vqav2": "vqa",
    "ifeval": "checks",
    "seqeval": "checks",
}
"""Other names of benchmarks → the scorer that they use."""


def find_scorer(name: str) -> str | None:
    """Return the scorer of a benchmark by its name, its alias, or the part before a language.

    None if there is none.
    """
    plain = name.casefold().replace("_", "-")
    plain = ALIASES.get(plain, plain)
    if plain in SCORERS:
        return plain
    family = plain.split("-")[0]
    family = ALIASES.get(family, family)
    return family if family in SCORERS else None


def resolve_scorer(name: str) -> str:
    """Return the scorer of a benchmark as find_scorer does; raises UsageError if there is none."""
    if found := find_scorer(name):
        return found
    hint = did_you_mean(name, [*SCORERS, *ALIASES])
    raise UsageError(f"there is no scorer {name!r}{hint}; there are {', '.join(SCORERS)}")


def load_scorer(name: str) -> Scorer:
    """Return the scorer of this name, one of SCORERS except CODE."""
    return cast(Scorer, import_module(f"seqit.evaluate.metrics.{name}").SCORER)


def scorer_for(response: Mapping[str, Any]) -> str:
    """Return the name of the scorer for a response; raises Unscorable if none fits.

    The response's own benchmark decides, or else the format from which its item was read. A
    question on an image with answers of several people is scored as VQA, one with a single
    answer as GQA.
    """
    item: Record = response["item"]
    benchmark = response.get("benchmark", "")
    if found := find_scorer(benchmark):
        return found
    read_as = item.get("source", {}).get("format", "")
    if read_as == "vqa":
        return "vqa" if len(item.get("metadata", {}).get("answers") or ()) > 1 else "gqa"
    if found := find_scorer(read_as):
        return found
    if any("check" in step for step in item.get("steps", ())):
        return "checks"
    origin = f"benchmark {benchmark!r} and format {read_as!r}" if benchmark else f"{read_as!r}"
    message = f"no scorer fits the item ({origin}); name one with --benchmark, or use seqit judge"
    raise Unscorable("no-scorer", message)
