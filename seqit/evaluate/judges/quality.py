"""Quality, 1 to 5: how well an answer does what was asked."""

import math
from typing import Any, NamedTuple

from seqit.evaluate.judges.candidate import Candidate
from seqit.evaluate.judges.metric import AddScore, JudgeContext, ask_judge, material
from seqit.evaluate.judges.output_form import JudgeField, JudgeOutput, JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.llm.request import Completion

SCALE = ("1", "2", "3", "4", "5")
FORM = JudgeOutputForm((JudgeField("score", "Score", SCALE),))
WEIGHTED = "quality_weighted"
"""The mean of the scale under the judge's own chances for the score's token."""

_ALTERNATIVES = 20  # the most that OpenAI and vLLM give
_LEAST_MASS = 0.5  # of the alternatives that are scores: with less, another token was likelier


class Quality:
    """Asks for a score and its reason."""

    metric = "quality"

    def ask(self, bench: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask for the score of an answer."""
        texts = {**material(bench, candidate), "answer": candidate.answer}
        verdict, said = yield from ask_judge(
            bench, candidate, self.metric, FORM, texts,
            logprobs=_ALTERNATIVES if bench.weighted else 0,
        )  # fmt: skip

        def mark(candidate: Candidate) -> None:
            _mark(bench, candidate, verdict, said)

        return mark

    def unscored(self, bench: JudgeContext, candidate: Candidate, why: CompletionFailed) -> None:
        """Add to the candidate that there is no score."""
        for metric in (self.metric, WEIGHTED) if bench.weighted else (self.metric,):
            candidate.unscored(metric, bench.model.name, why, **bench.about)


def _mark(
    bench: JudgeContext, candidate: Candidate, verdict: JudgeOutput, said: Completion
) -> None:
    judge, version = bench.model.name, {"prompt": load_prompt("quality").version}
    value = int(verdict.values["score"])
    reason = verdict.reason
    candidate.score("quality", judge, value, reason=reason, evidence=version, **bench.about)
    if not bench.weighted:
        return
    weights = chances(said, verdict.place)
    if weights is None:
        message = "the backend gave no log probabilities for the token of the score"
        why = CompletionFailed("quality", "no-logprobs", message)
        candidate.unscored(WEIGHTED, judge, why, **bench.about)
        return
    mean = sum(int(score) * rng for score, rng in weights.items())
    evidence = {**version, "chances": {score: round(c, 6) for score, c in weights.items()}}
    candidate.score(WEIGHTED, judge, round(mean, 6), evidence=evidence, **bench.about)


class _Token(NamedTuple):
    start: int
    item: dict[str, Any]


def chances(said: Completion, place: int) -> dict[str, float] | None:
    """Return score → probability at the token that stands at `place` in the completion's text.

    Taken are the alternatives that are scores of the scale; their chances are made to add up to
    1. None where the backend gave none, where the tokens do not make up the text, or where most of
    the probability is with tokens that are no score.
    """
    token = _token_at(said, place)
    if token is None:
        return None
    own, column = token.item["token"], place - token.start
    before, after = own[:column], own[column + 1 :]
    found: dict[str, float] = {}
    for text, logprob in token.item.get("top", {}).items():
        core = text.removeprefix(before).removesuffix(after) if before or after else text.strip()
        if core in SCALE:
            found[core] = found.get(core, 0.0) + math.exp(logprob)
    mass = sum(found.values())
    if mass < _LEAST_MASS:
        return None
    return {score: found[score] / mass for score in SCALE if score in found}


def _token_at(said: Completion, place: int) -> _Token | None:
    text, start = said.text, 0
    if "".join(each["token"] for each in said.logprobs[:-1]) != text[: _length(said.logprobs[:-1])]:
        return None
    for each in said.logprobs:
        if start <= place < start + len(each["token"]):
            return _Token(start, each)
        start += len(each["token"])
    return None


def _length(tokens: list[dict[str, Any]]) -> int:
    return sum(len(each["token"]) for each in tokens)
