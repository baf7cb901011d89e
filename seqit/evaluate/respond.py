"""Generate responses: a model answers each item, one or more times."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from seqit.checks.placeholder import EDGE_CHARACTERS, placeholder_kind
from seqit.evaluate.items import FewShotExamples, benchmark_of, item_chat, item_problem, lineage_of
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.llm.request import Completion, FailedRequest, Message, Request
from seqit.records.formats.chat import prompt_text
from seqit.records.identity import rng_for
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.text.reasoning import strip_reasoning
from seqit.records.validation import shorten

STAGE = "respond"
_MAX_ATTEMPTS = 5  # enough to tell an empty answer from a server that sometimes returns nothing


class _Sample(NamedTuple):
    """One answer to generate: the item's row, and the index of the sample."""

    row: Row
    sample: int


def respond(
    rows: Iterator[Row],
    stats: RunStats,
    *,
    model: ModelClient,
    seed: int,
    samples: int = 1,
    label: str = "",
    benchmark: str = "",
    shots: FewShotExamples | None = None,
    training: str = "",
) -> Iterator[Row]:
    """Yield `samples` responses to every item, in input order; samples without an answer fail.

    label: the model's name in the responses; default: the name of `model`. benchmark: the
    benchmark of the items, overriding what they say themselves. training: hash of the training
    record. `stats` counts the answers that were cut off or empty.
    """
    name = label or model.name
    finish_reasons: Counter[str] = Counter()
    stats.results["answers"] = finish_reasons

    def work(task: _Sample) -> ModelCall[Completion]:
        record: Record = task.row.value
        chat = item_chat(record, shots)
        return (yield from _complete_answer(model, record, chat, task.sample, seed))

    for (row, sample), answer in model.run(_samples_of(rows, stats, samples), work):
        if isinstance(answer, CompletionFailed):
            stats.fail(row, answer.stage, answer.reason, str(answer), **answer.evidence)
            continue
        response = _build_response(row.value, name, sample, answer, benchmark)
        if training:
            response["training"] = training
        finish_reasons[answer.finish_reason] += 1
        finish_reasons["empty"] += not response["output"].strip()
        yield row.with_value(response)


def _samples_of(rows: Iterator[Row], stats: RunStats, samples: int) -> Iterator[_Sample]:
    for row in rows:
        if problem := item_problem(row.value):
            stats.reject(row, "item", "placeholder", problem)
            continue
        stats.added += samples - 1
        for sample in range(samples):
            yield _Sample(row, sample)


def _complete_answer(
    model: ModelClient, record: Record, chat: list[Message], sample: int, seed: int
) -> ModelCall[Completion]:
    """Generate one answer; raises CompletionFailed if there is none or it cannot be used.

    A truncated answer is the model's answer. So is an empty one, if the last attempt is empty
    too: then the server is unlikely to be the cause.
    """
    tried: list[Request] = []
    problem, text = ("empty", "the completion is empty"), ""
    for attempt in range(_MAX_ATTEMPTS):
        rng = rng_for(
            seed, record["id"], record["lineage"]["iteration"], f"{STAGE} {sample} {attempt}"
        )
        request = Request(
            chat,
            model.sampling,
            seed=rng.getrandbits(31),
            record_id=record["id"],
            iteration=record["lineage"]["iteration"],
            stage=STAGE,
            attempt=attempt,
        )
        answer = yield request
        if isinstance(answer, FailedRequest):
            raise CompletionFailed(STAGE, answer.reason, answer.message, dict(answer.evidence))
        tried.append(request)
        text = answer.text
        if answer.finish_reason == "content_filter":
            problem = ("refused", "the provider's content filter withheld the completion")
        elif _is_failed_call(text, prompt_text(record)):
            problem = ("placeholder", f"{shorten(text)!r} stands where the answer should be")
        elif text.strip() or answer.finish_reason == "length" or attempt == _MAX_ATTEMPTS - 1:
            return answer
    reason, message = problem
    raise CompletionFailed(STAGE, reason, message, {"completion": text}, tuple(tried))


def _is_failed_call(text: str, prompt: str) -> bool:
    """Return whether the answer is a server's error message; a program may print "Error"."""
    core = text.strip()
    failed = placeholder_kind(core) in ("failed-call", "unfilled-slot")
    return failed and core.strip(EDGE_CHARACTERS).casefold() != "error" and core not in prompt


def _build_response(
    record: Record, model: str, sample: int, answer: Completion, benchmark: str
) -> dict[str, Any]:
    output = strip_reasoning(answer.text)
    if output is None:  # reasoning that never ends: there is no answer after it
        output = ""
    elif output != answer.text:
        output = output.strip()
    response: dict[str, Any] = {"id": record["id"], "model": model}
    if name := benchmark or benchmark_of(record):
        response["benchmark"] = name
    response |= {"sample": sample, "output": output, "finish": answer.finish_reason}
    response |= {"item": record, "lineage": lineage_of(record)}
    if answer.prompt_tokens or answer.completion_tokens:
        response["prompt_tokens"] = answer.prompt_tokens
        response["output_tokens"] = answer.completion_tokens
    return response


def summary_lines(stats: RunStats) -> list[str]:
    """Return the lines of the run report about truncated and empty answers."""
    finish_reasons: Counter[str] = stats.results["answers"]
    parts = []
    if truncated := finish_reasons["length"]:
        parts.append(f"{truncated:,} cut off at the limit of new tokens (--max-new-tokens)")
    if empty := finish_reasons["empty"]:
        parts.append(f"{empty:,} empty")
    return [f"of the answers {' and '.join(parts)}"] if parts else []
