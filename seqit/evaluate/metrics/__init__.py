"""The scorers by the name of their benchmark, and which one an item asks for."""

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
"""Other names of benchmarks, and whose scorer is theirs."""


def find(name: str) -> str | None:
    """Return the scorer of a benchmark: by its name, its alias, or the part before a language."""
    plain = name.casefold().replace("_", "-")
    plain = ALIASES.get(plain, plain)
    if plain in SCORERS:
        return plain
    family = plain.split("-")[0]
    family = ALIASES.get(family, family)
    return family if family in SCORERS else None


def named(name: str) -> str:
    """Return the scorer of this name; raises UsageError."""
    if found := find(name):
        return found
    hint = did_you_mean(name, [*SCORERS, *ALIASES])
    raise UsageError(f"there is no scorer {name!r}{hint}; there are {', '.join(SCORERS)}")


def load(name: str) -> Scorer:
    """Return a scorer of SCORERS other than CODE."""
    return cast(Scorer, import_module(f"seqit.evaluate.metrics.{name}").SCORER)


def guess(response: Mapping[str, Any]) -> str:
    """Return the scorer that a response asks for; raises Unscorable.

    That is its own benchmark's, or that of the format from which its item was read. A question on
    an image with the answers of several people is VQA's, one with a single answer GQA's.
    """
    item: Record = response["item"]
    benchmark = response.get("benchmark", "")
    if found := find(benchmark):
        return found
    read_as = item.get("source", {}).get("format", "")
    if read_as == "vqa":
        return "vqa" if len(item.get("metadata", {}).get("answers") or ()) > 1 else "gqa"
    if found := find(read_as):
        return found
    if any("check" in step for step in item.get("steps", ())):
        return "checks"
    said = f"benchmark {benchmark!r} and format {read_as!r}" if benchmark else f"{read_as!r}"
    message = f"no scorer fits the item ({said}); name one with --benchmark, or use seqit judge"
    raise Unscorable("no-scorer", message)
