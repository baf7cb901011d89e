"""Responses: a model answers items, one or more times each."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from seqit.checks.placeholder import EDGES, placeholder_kind
from seqit.evaluate.items import Shots, asked_of, benchmark_of, lineage_of, problem_of
from seqit.llm.client import ModelClient
from seqit.llm.model_call import CompletionFailed, ModelCall
from seqit.llm.request import Completion, FailedRequest, Message, Request
from seqit.records.formats.chat import question_of
from seqit.records.identity import rng_for
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats
from seqit.records.text.reasoning import without_reasoning
from seqit.records.validation import shorten

STAGE = "respond"
_ATTEMPTS = 5  # a server whose answers are sometimes empty is caught by as many


class _Asked(NamedTuple):
    """One answer that is wanted: of which row, and which of its samples."""

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
    shots: Shots | None = None,
    training: str = "",
) -> Iterator[Row]:
    """Yield `samples` responses to every item, in input order; what has no answer fails.

    label: the model's name in the responses; by default its own. benchmark: what the items belong
    to, where they do not tell. The account counts the answers that were cut off or empty.
    """
    name = label or model.name
    ends: Counter[str] = Counter()
    stats.results["answers"] = ends

    def work(asked: _Asked) -> ModelCall[Completion]:
        record: Record = asked.row.value
        chat = asked_of(record, shots)
        return (yield from _answer(model, record, chat, asked.sample, seed))

    for (row, sample), answer in model.run(_wanted(rows, stats, samples), work):
        if isinstance(answer, CompletionFailed):
            stats.fail(row, answer.stage, answer.reason, str(answer), **answer.evidence)
            continue
        response = _response(row.value, name, sample, answer, benchmark)
        if training:
            response["training"] = training
        ends[answer.finish_reason] += 1
        ends["empty"] += not response["output"].strip()
        yield row.changed(response)


def _wanted(rows: Iterator[Row], stats: RunStats, samples: int) -> Iterator[_Asked]:
    for row in rows:
        if problem := problem_of(row.value):
            stats.reject(row, "item", "placeholder", problem)
            continue
        stats.added += samples - 1
        for sample in range(samples):
            yield _Asked(row, sample)


def _answer(
    model: ModelClient, record: Record, chat: list[Message], sample: int, seed: int
) -> ModelCall[Completion]:
    """Ask for one answer; raises CompletionFailed where none came, or what came is no answer.

    An answer that was cut off is what the model said. An empty one is too, once it was asked
    often enough to know that no server's fault is behind it.
    """
    tried: list[Request] = []
    problem, said = ("empty", "the completion is empty"), ""
    for attempt in range(_ATTEMPTS):
        lot = rng_for(
            seed, record["id"], record["lineage"]["iteration"], f"{STAGE} {sample} {attempt}"
        )
        request = Request(
            chat,
            model.sampling,
            seed=lot.getrandbits(31),
            record_id=record["id"],
            iteration=record["lineage"]["iteration"],
            stage=STAGE,
            attempt=attempt,
        )
        answer = yield request
        if isinstance(answer, FailedRequest):
            raise CompletionFailed(STAGE, answer.reason, answer.message, dict(answer.evidence))
        tried.append(request)
        said = answer.text
        if answer.finish_reason == "content_filter":
            problem = ("refused", "the provider's content filter withheld the completion")
        elif _is_failed_call(answer.text, question_of(record)):
            problem = ("placeholder", f"{shorten(answer.text)!r} stands where the answer should be")
        elif answer.text.strip() or answer.finish_reason == "length" or attempt == _ATTEMPTS - 1:
            return answer
    reason, message = problem
    raise CompletionFailed(STAGE, reason, message, {"completion": said}, tuple(tried))


def _is_failed_call(text: str, given: str) -> bool:
    """Tell whether a server's error stands as the answer; "Error" may be what a program prints."""
    core = text.strip()
    failed = placeholder_kind(core) in ("failed-call", "unfilled-slot")
    return failed and core.strip(EDGES).casefold() != "error" and core not in given


def _response(
    record: Record, model: str, sample: int, answer: Completion, benchmark: str
) -> dict[str, Any]:
    said = without_reasoning(answer.text)
    if said is None:  # reasoning that never ends leaves nothing said
        said = ""
    elif said != answer.text:
        said = said.strip()
    response: dict[str, Any] = {"id": record["id"], "model": model}
    if name := benchmark or benchmark_of(record):
        response["benchmark"] = name
    response |= {"sample": sample, "output": said, "finish": answer.finish_reason}
    response |= {"item": record, "lineage": lineage_of(record)}
    if answer.prompt_tokens or answer.completion_tokens:
        response["prompt_tokens"] = answer.prompt_tokens
        response["output_tokens"] = answer.completion_tokens
    return response


def closing_lines(stats: RunStats) -> list[str]:
    """Return what the closing account says of the answers."""
    ends: Counter[str] = stats.results["answers"]
    parts = []
    if cut := ends["length"]:
        parts.append(f"{cut:,} cut off at the limit of new tokens (--max-new-tokens)")
    if empty := ends["empty"]:
        parts.append(f"{empty:,} empty")
    return [f"of the answers {' and '.join(parts)}"] if parts else []
