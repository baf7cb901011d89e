"""The judges of `seqit judge`: the options that select them, and the judge objects."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from seqit.commands.shell.command import say
from seqit.commands.shell.job import Job
from seqit.commands.shell.model_options import ModelOptions
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.evaluate.judges.candidate import Judge
    from seqit.llm.client import ModelClient
    from seqit.llm.scheduling.scheduler import Scheduler

VOTE_TEMPERATURE = 1.0
"""The default temperature of several votes."""


class JudgePlan(NamedTuple):
    """Which judges measure which metrics, and how."""

    names: tuple[str, ...]
    metrics: tuple[str, ...]
    against: str | None
    votes: int
    weighted: bool
    references: bool

    @property
    def models(self) -> list[str]:
        """The names of the judges that are language models."""
        return [name for name in self.names if _kind(name) not in ("builtin", "reward")]


def _kind(name: str) -> str:
    return name.partition(":")[0]


def check_plan(plan: JudgePlan, model: ModelOptions) -> None:
    """Raise UsageError for options that exclude each other."""
    names, models = plan.names, plan.models
    if len(set(names)) < len(names):
        raise UsageError("a judge is named twice; --votes N asks each judge N times")
    if any(_kind(name) == "builtin" != name for name in names):
        raise UsageError("builtin is a program and takes no model: write --judge builtin")
    if "reward" in names or "reward:" in names:
        raise UsageError("reward needs a model: write --judge reward:PATH")
    if plan.against and len(models) < len(names):
        raise UsageError("--against is for language models: builtin and reward score one answer")
    if not models and model.names:
        raise UsageError(f"{model.names[0]} is for a language model; name one with --judge")
    if model.given["record"] and len(models) > 1:
        raise UsageError("--record writes the completions of one judge; name one judge")
    if plan.weighted and (plan.against or "quality" not in plan.metrics):
        raise UsageError("--weighted is for the metric quality")
    if plan.votes > 1 and model.given["temperature"] == 0:
        raise UsageError(f"{plan.votes} greedy votes are one vote; give a --temperature above 0")


def open_judge(
    stack: contextlib.ExitStack, name: str, plan: JudgePlan, model: ModelOptions, job: Job
) -> "tuple[ModelClient, Scheduler]":
    """Open a language model with the options that its backend has."""
    others = {_kind(each) for each in plan.names} - {_kind(name)}
    options = model.of_kind(_kind(name), others)
    client, scheduler = stack.enter_context(options.open(name, partial(say, job.context)))
    if plan.votes > 1 and client.sampling.temperature == 0:
        client = replace(client, sampling=replace(client.sampling, temperature=VOTE_TEMPERATURE))
    return client, scheduler


def build_judges(plan: JudgePlan, models: "Sequence[ModelClient]", seed: int) -> "list[Judge]":
    """Return the judges in the order of the command line; `models`: the opened clients."""
    from seqit.evaluate.judges.program import ProgramJudge
    from seqit.evaluate.judges.reward import RewardJudge
    from seqit.evaluate.judges.run import ModelJudge, judge_metrics

    metrics = judge_metrics(plan.metrics, pairwise=plan.against is not None)
    clients = iter(models)
    judges: list[Judge] = []
    for name in plan.names:
        if _kind(name) == "builtin":
            judges.append(ProgramJudge())
        elif _kind(name) == "reward":
            judges.append(RewardJudge(name.removeprefix("reward:")))
        else:
            judges.append(
                ModelJudge(
                    next(clients),
                    metrics,
                    seed=seed,
                    votes=plan.votes,
                    references=plan.references,
                    weighted=plan.weighted,
                )
            )
    return judges
