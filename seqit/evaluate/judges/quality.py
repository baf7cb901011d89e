"""Quality, 1 to 5: how well an answer does what was asked."""

import math
from typing import Any, NamedTuple

from seqit.evaluate.judges.candidate import Candidate
from seqit.evaluate.judges.metric import (
    AddScore,
    JudgeContext,
    complete_judgement,
    instruction_texts,
)
from seqit.evaluate.judges.output_form import JudgeField, JudgeOutput, JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.llm.request import Completion

SCALE = ("1", "2", "3", "4", "5")
FORM = JudgeOutputForm((JudgeField("score", "Score", SCALE),))
WEIGHTED = "quality_weighted"
"""The metric: the mean of the scale under the judge's probabilities for the score's token."""

_TOP_LOGPROBS = 20  # the maximum of OpenAI and vLLM
_MIN_MASS = 0.5  # probability of all scores together; with less, another token was likelier


class Quality:
    """Asks the judge for a score and its reason."""

    metric = "quality"

    def judge(self, context: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask for the score of the answer."""
        texts = {**instruction_texts(context, candidate), "answer": candidate.answer}
        logprobs = _TOP_LOGPROBS if context.weighted else 0
        output, completion = yield from complete_judgement(
            context, candidate, self.metric, FORM, texts, logprobs=logprobs
        )

        def add_scores(candidate: Candidate) -> None:
            _add_scores(context, candidate, output, completion)

        return add_scores

    def add_unscored(
        self, context: JudgeContext, candidate: Candidate, failure: CompletionFailed
    ) -> None:
        """Add a score row without a value for each metric."""
        for metric in (self.metric, WEIGHTED) if context.weighted else (self.metric,):
            candidate.add_unscored(metric, context.model.name, failure, **context.score_fields)


def _add_scores(
    context: JudgeContext, candidate: Candidate, output: JudgeOutput, completion: Completion
) -> None:
    judge, version = context.model.name, {"prompt": load_prompt("quality").version}
    vote = context.score_fields
    value, reason = int(output.values["score"]), output.reason
    candidate.add_score("quality", judge, value, reason=reason, evidence=version, **vote)
    if not context.weighted:
        return
    probabilities = score_probabilities(completion, output.offset)
    if probabilities is None:
        message = "the backend gave no log probabilities for the token of the score"
        failure = CompletionFailed("quality", "no-logprobs", message)
        candidate.add_unscored(WEIGHTED, judge, failure, **vote)
        return
    mean = sum(int(score) * probability for score, probability in probabilities.items())
    rounded = {score: round(probability, 6) for score, probability in probabilities.items()}
    evidence = {**version, "chances": rounded}
    candidate.add_score(WEIGHTED, judge, round(mean, 6), evidence=evidence, **vote)


class _Token(NamedTuple):
    start: int  # offset in the completion's text
    logprob: dict[str, Any]  # an entry of Completion.logprobs


def score_probabilities(completion: Completion, offset: int) -> dict[str, float] | None:
    """Return score → probability for the token at `offset` in the completion's text.

    Only alternatives that are scores of the scale count; their probabilities are normalized to a
    sum of 1. None if the backend returned no log probabilities, if the tokens do not join to the
    text, or if most of the probability belongs to tokens that are not scores.
    """
    token = _token_at(completion, offset)
    if token is None:
        return None
    own, column = token.logprob["token"], offset - token.start
    before, after = own[:column], own[column + 1 :]
    probabilities: dict[str, float] = {}
    for text, logprob in token.logprob.get("top", {}).items():
        core = text.removeprefix(before).removesuffix(after) if before or after else text.strip()
        if core in SCALE:
            probabilities[core] = probabilities.get(core, 0.0) + math.exp(logprob)
    mass = sum(probabilities.values())
    if mass < _MIN_MASS:
        return None
    return {score: probabilities[score] / mass for score in SCALE if score in probabilities}


def _token_at(completion: Completion, offset: int) -> _Token | None:
    all_but_last = "".join(logprob["token"] for logprob in completion.logprobs[:-1])
    if all_but_last != completion.text[: len(all_but_last)]:
        return None
    start = 0
    for logprob in completion.logprobs:
        if start <= offset < start + len(logprob["token"]):
            return _Token(start, logprob)
        start += len(logprob["token"])
    return None
