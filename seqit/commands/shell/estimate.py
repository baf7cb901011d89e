"""--dry-run: an estimate of a run's requests, tokens and cost; no request is sent."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from seqit.commands.shell.command import say
from seqit.commands.shell.job import Job
from seqit.commands.shell.model_options import ModelOptions

if TYPE_CHECKING:
    from seqit.augment.prompt import Prompt
    from seqit.llm.request import Message
    from seqit.llm.scheduling.prices import Price

KEPT_SHARES = (0.168, 0.63, 0.935, 0.99)
"""Share of records kept in iteration 1, 2, …: the paper's, on Alpaca."""
REASONING_TOKENS, ANSWER_TOKENS = 80, 400
"""Tokens of a short reasoning, and of an answer (the paper's have 300 to 430)."""


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """One kind of request: how many per row, and its tokens without the row's text.

    echo: how often the completion repeats the row's text.
    """

    name: str
    share: float
    prompt: str = ""  # file in seqit/augment/prompts
    completion: int = REASONING_TOKENS
    echo: float = 0.0


class StageTotal(NamedTuple):
    """The requests and tokens of one stage over all rows."""

    name: str
    requests: float
    prompt_tokens: float
    completion_tokens: float


def stages_of(method: str, given: dict[str, Any]) -> Iterator[StageEstimate]:
    """Yield the stages of a method, with the average number of requests per row."""
    rounds = given.get("iterations", 4 if method == "seqeval" else 1)
    if method == "seq-instruct":
        yield from _seq_instruct(rounds, given)
    elif method == "evol-instruct":
        yield StageEstimate("evolve", rounds, "evol_constrain", 40, 2.0)
        yield StageEstimate("judge", rounds, "evol_judge", 10)
        yield StageEstimate("respond", rounds, "", ANSWER_TOKENS)
    elif method == "seqeval":
        yield StageEstimate("rewrite", rounds, "prefix", REASONING_TOKENS + 40, 2.0)
    elif method == "regenerate":
        yield StageEstimate("respond", 1, "", ANSWER_TOKENS)
    else:
        yield StageEstimate(method, 1, method, 20, 1.2)


def _seq_instruct(iterations: int, given: dict[str, Any]) -> Iterator[StageEstimate]:
    share = 1.0
    stages = {"classify": 0.0, "rewrite": 0.0}
    for number in range(iterations):
        stages["classify"] += share
        share *= 1 - KEPT_SHARES[min(number, len(KEPT_SHARES) - 1)]
        stages["rewrite"] += share
    yield StageEstimate("classify", stages["classify"], "classify")
    if given.get("stop_after") == "classify":
        return
    chains = stages["rewrite"]
    yield StageEstimate("rewrite", chains, "prefix", REASONING_TOKENS + 40, 2.0)
    if not given.get("no_refine"):
        yield StageEstimate("refine", chains, "refine", REASONING_TOKENS)
    if given.get("stop_after") != "rewrite":
        yield StageEstimate("respond", chains, "", ANSWER_TOKENS)


def estimate(
    job: Job, method: str, given: dict[str, Any], teacher: str, model: ModelOptions
) -> None:
    """Read the rows, and print an estimate of the run on standard error."""
    from seqit.augment.prompt import load_prompt
    from seqit.llm.chat import prompt_messages
    from seqit.llm.scheduling.budget import CHARACTERS_PER_TOKEN
    from seqit.records.run_stats import RunStats

    rows, row_tokens = 0, 0.0
    for row in job.read_records(job.check(), RunStats("augment")):
        rows += 1
        row_tokens += estimate_tokens(prompt_messages(row.value))
    totals: list[StageTotal] = []
    for stage in stages_of(method, given):
        template = (
            _prompt_length(load_prompt(stage.prompt)) / CHARACTERS_PER_TOKEN
            if stage.prompt
            else 0.0
        )
        prompt = stage.share * (rows * template + row_tokens)
        completion = stage.share * (rows * stage.completion + row_tokens * stage.echo)
        totals.append(StageTotal(stage.name, stage.share * rows, prompt, completion))
    print_estimate(job, rows, teacher, model, totals)
    sys.stderr.write(
        "  Assumes 4 characters per token, the paper's shares of kept records and answers of 400\n"
        "  tokens; retries are extra, and what the cache has already is free.\n"
    )


def estimate_tokens(messages: "list[Message]") -> float:
    """Return the approximate number of tokens of a chat."""
    from seqit.llm.scheduling.budget import CHARACTERS_PER_TOKEN, TOKENS_PER_IMAGE

    characters = images = 0
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        characters += sum(len(str(part.get("text", ""))) for part in parts)
        images += sum(part["type"] == "image" for part in parts)
    return characters / CHARACTERS_PER_TOKEN + images * TOKENS_PER_IMAGE


def print_estimate(
    job: Job, rows: int, name: str, model: ModelOptions, totals: list[StageTotal]
) -> None:
    """Print the estimate for the model KIND:MODEL and this many rows, with its cost if known."""
    say(job.context, f"an estimate for {rows:,} rows and {name}; no request was sent")
    if len(totals) > 1:
        _, *columns = zip(*totals, strict=True)
        totals = [*totals, StageTotal("all", *map(sum, columns))]
    _print_table(totals, model.price(name))


def _prompt_length(prompt: "Prompt") -> int:
    """Return the characters of a prompt with its examples, without the row's text."""
    values = sum(len(value) for example in prompt.examples for value in example.values())
    return len(prompt.task) + len(prompt.given) * (len(prompt.examples) + 1) + values


def _print_table(totals: list[StageTotal], price: "Price | None") -> None:
    table = [["stage", "requests", "prompt tokens", "completion tokens"]]
    table += [[total.name, *(f"{number:,.0f}" for number in total[1:])] for total in totals]
    if price:
        table[0].append("US$")
        for cells, total in zip(table[1:], totals, strict=True):
            cells.append(f"{price.cost(total.prompt_tokens, total.completion_tokens):,.2f}")
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for name, *numbers in table:
        cells = [name.ljust(widths[0])]
        cells += [each.rjust(width) for each, width in zip(numbers, widths[1:], strict=True)]
        sys.stderr.write("  " + "  ".join(cells) + "\n")
