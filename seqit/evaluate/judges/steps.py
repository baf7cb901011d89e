"""Steps: each task of a chain by itself, done, misplaced or omitted."""

import re
from functools import cache
from typing import Any

import orjson

from seqit.evaluate.judges.candidate import Candidate, instruction_of, numbered
from seqit.evaluate.judges.metric import AddScore, JudgeContext, ask_judge, ask_text
from seqit.evaluate.judges.output_form import JudgeField, JudgeOutput, JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt, prompts_version
from seqit.llm.model_call import CompletionFailed, ModelCall, ParseError
from seqit.records.record import Record
from seqit.records.text.reasoning import UNCLOSED, without_reasoning

DONE, CHOICES = "done", ("done", "misplaced", "omitted")
MOST_TASKS = 20

TASKS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"tasks": {"type": "array", "items": {"type": "string"}}},
    "required": ["tasks"],
    "additionalProperties": False,
}
_IN_JSON = 'Answer with one JSON object that has the key "tasks" (a list of texts), and no more.'
_IN_LINES = "Answer with a numbered list, one task a line, and nothing else:\n1. …\n2. …"
_LINE = re.compile(r"(\d{1,2})[.)]\s+(\S.*)")
_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)


class Steps:
    """Asks for every step; with `whole` the answer to all of them is the following, too.

    The steps are the item's own. Where it has none, the judge first lists the tasks that it sees
    in the instruction, without the answer: the same list for every model's answer.
    """

    metric = "step"

    def __init__(self, whole: bool = True) -> None:
        self._whole = whole

    def ask(self, bench: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask which steps an answer carries out."""
        chain = candidate.chain or (yield from _listed(bench, candidate.item))
        texts = {"instruction": instruction_of(candidate.item), "tasks": numbered(chain)}
        texts["answer"] = candidate.answer
        verdict, _ = yield from ask_judge(
            bench, candidate, "steps", form_of(len(chain)), texts, words={"count": str(len(chain))}
        )

        def mark(candidate: Candidate) -> None:
            self._mark(bench, candidate, chain, verdict)

        return mark

    def _mark(
        self, bench: JudgeContext, candidate: Candidate, chain: list[str], verdict: JudgeOutput
    ) -> None:
        judge, version = bench.model.name, prompts_version("steps", "tasks")
        listed = {} if candidate.chain else {"listed": True}
        found = [verdict.values[f"step_{n}"] for n in range(1, len(chain) + 1)]
        for position, (task, said) in enumerate(zip(chain, found, strict=True), 1):
            evidence = {"prompt": version, "verdict": said, "task": task, **listed}
            value = int(said == DONE)
            more = {"position": position, "chain": len(chain), "evidence": evidence}
            candidate.score(self.metric, judge, value, **more, **bench.about)
        if self._whole:
            evidence = {"prompt": version, "from": "steps", **listed}
            more = {"chain": len(chain), "reason": verdict.reason, "evidence": evidence}
            value = int(all(said == DONE for said in found))
            candidate.score("following", judge, value, **more, **bench.about)

    def unscored(self, bench: JudgeContext, candidate: Candidate, why: CompletionFailed) -> None:
        """Add to the candidate, step by step where they are known, that there is no verdict."""
        chain, judge = len(candidate.chain), bench.model.name
        for position in range(1, chain + 1) if chain else [0]:
            more = {"position": position, "chain": chain, **bench.about}
            candidate.unscored(self.metric, judge, why, **more)
        if self._whole:
            candidate.unscored("following", judge, why, chain=chain, **bench.about)


@cache
def form_of(count: int) -> JudgeOutputForm:
    """Return the form of a verdict over so many steps."""
    return JudgeOutputForm(
        tuple(JudgeField(f"step_{n}", f"Step {n}", CHOICES) for n in range(1, count + 1))
    )


def _listed(bench: JudgeContext, item: Record) -> ModelCall[list[str]]:
    """Ask for the tasks of an instruction."""
    structured = bench.model.structured
    prompt = load_prompt("tasks")
    messages = prompt.messages(
        {"instruction": instruction_of(item)},
        _IN_JSON if structured else _IN_LINES,
        images=item.get("images", ()),
    )
    return (
        yield from ask_text(
            bench, "tasks", messages, read_tasks, key=item["id"], item=item, schema=TASKS_SCHEMA
        )
    )


def read_tasks(text: str) -> list[str]:
    """Return the tasks of a list: as JSON, or in lines numbered from 1 with nothing between."""
    answer = without_reasoning(text.removeprefix("\ufeff"))
    if answer is None:
        raise ParseError(UNCLOSED, "truncated")
    answer = answer.strip()
    fenced = _FENCE.fullmatch(answer)
    answer = fenced[1].strip() if fenced else answer
    tasks = _from_json(answer) if answer.startswith("{") else _from_lines(answer)
    if not 0 < len(tasks) <= MOST_TASKS:
        raise ParseError(f"it lists {len(tasks)} tasks; an instruction has 1 to {MOST_TASKS}")
    return tasks


def _from_json(text: str) -> list[str]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ParseError("the list is not one whole JSON object") from None
    tasks = value.get("tasks") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(tasks, list) or not all(isinstance(t, str) and t.strip() for t in tasks):
        raise ParseError('the JSON object must have the one key "tasks", a list of texts')
    return [task.strip() for task in tasks]


def _from_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [_LINE.fullmatch(line) for line in lines]
    tasks = [match[2].strip() for match in found if match]
    numbers = [int(match[1]) for match in found if match]
    if len(tasks) < len(lines) or numbers != list(range(1, len(lines) + 1)):
        raise ParseError("the tasks are not a list numbered from 1, one task a line")
    return tasks
