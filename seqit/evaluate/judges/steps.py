"""Steps: whether each task of a chain is done, misplaced or omitted."""

import re
from functools import cache
from typing import Any

import orjson

from seqit.evaluate.judges.candidate import Candidate, full_instruction, numbered_list
from seqit.evaluate.judges.metric import (
    AddScore,
    JudgeContext,
    complete_for_item,
    complete_judgement,
)
from seqit.evaluate.judges.output_form import JudgeField, JudgeOutput, JudgeOutputForm
from seqit.evaluate.judges.prompt import load_prompt, prompts_version
from seqit.llm.model_call import CompletionFailed, ModelCall, ParseError
from seqit.records.record import Record
from seqit.records.text.reasoning import UNCLOSED_REASONING, strip_reasoning

DONE, CHOICES = "done", ("done", "misplaced", "omitted")
MAX_TASKS = 20

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
    """Scores every step; `with_following` derives the following score from the steps too.

    The steps are the item's own. If it has none, the judge first lists the tasks of the
    instruction without seeing the answer, so that the list is the same for every model.
    """

    metric = "step"

    def __init__(self, with_following: bool = True) -> None:
        self._with_following = with_following

    def judge(self, context: JudgeContext, candidate: Candidate) -> ModelCall[AddScore]:
        """Ask which steps the answer carries out."""
        chain = candidate.chain or (yield from _list_tasks(context, candidate.item))
        texts = {"instruction": full_instruction(candidate.item), "tasks": numbered_list(chain)}
        texts["answer"] = candidate.answer
        form, unframed = form_for(len(chain)), {"count": str(len(chain))}
        output, _ = yield from complete_judgement(
            context, candidate, "steps", form, texts, unframed=unframed
        )

        def add_scores(candidate: Candidate) -> None:
            self._add_scores(context, candidate, chain, output)

        return add_scores

    def _add_scores(
        self, context: JudgeContext, candidate: Candidate, chain: list[str], output: JudgeOutput
    ) -> None:
        judge, version = context.model.name, prompts_version("steps", "tasks")
        listed = {} if candidate.chain else {"listed": True}
        choices = [output.values[f"step_{n}"] for n in range(1, len(chain) + 1)]
        for position, (task, choice) in enumerate(zip(chain, choices, strict=True), 1):
            evidence = {"prompt": version, "verdict": choice, "task": task, **listed}
            value = int(choice == DONE)
            fields = {"position": position, "chain": len(chain), "evidence": evidence}
            candidate.add_score(self.metric, judge, value, **fields, **context.score_fields)
        if self._with_following:
            evidence = {"prompt": version, "from": "steps", **listed}
            fields = {"chain": len(chain), "reason": output.reason, "evidence": evidence}
            value = int(all(choice == DONE for choice in choices))
            candidate.add_score("following", judge, value, **fields, **context.score_fields)

    def add_unscored(
        self, context: JudgeContext, candidate: Candidate, failure: CompletionFailed
    ) -> None:
        """Add score rows without a value: one for each step if the steps are known, else one."""
        chain, judge = len(candidate.chain), context.model.name
        for position in range(1, chain + 1) if chain else [0]:
            fields = {"position": position, "chain": chain, **context.score_fields}
            candidate.add_unscored(self.metric, judge, failure, **fields)
        if self._with_following:
            fields = {"chain": chain, **context.score_fields}
            candidate.add_unscored("following", judge, failure, **fields)


@cache
def form_for(count: int) -> JudgeOutputForm:
    """Return the output form for this number of steps."""
    return JudgeOutputForm(
        tuple(JudgeField(f"step_{n}", f"Step {n}", CHOICES) for n in range(1, count + 1))
    )


def _list_tasks(context: JudgeContext, item: Record) -> ModelCall[list[str]]:
    """Ask the judge for the tasks of an instruction."""
    structured = context.model.structured
    messages = load_prompt("tasks").render(
        {"instruction": full_instruction(item)},
        _IN_JSON if structured else _IN_LINES,
        images=item.get("images", ()),
    )
    return (
        yield from complete_for_item(
            context, "tasks", messages, parse_tasks, key=item["id"], item=item, schema=TASKS_SCHEMA
        )
    )


def parse_tasks(text: str) -> list[str]:
    """Parse a list of tasks: JSON, or lines numbered from 1 and nothing else; raises ParseError."""
    answer = strip_reasoning(text.removeprefix("\ufeff"))
    if answer is None:
        raise ParseError(UNCLOSED_REASONING, "truncated")
    answer = answer.strip()
    fenced = _FENCE.fullmatch(answer)
    answer = fenced[1].strip() if fenced else answer
    tasks = _from_json(answer) if answer.startswith("{") else _from_lines(answer)
    if not 0 < len(tasks) <= MAX_TASKS:
        raise ParseError(f"it lists {len(tasks)} tasks; an instruction has 1 to {MAX_TASKS}")
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
    matches = [_LINE.fullmatch(line) for line in lines]
    tasks = [match[2].strip() for match in matches if match]
    numbers = [int(match[1]) for match in matches if match]
    if len(tasks) < len(lines) or numbers != list(range(1, len(lines) + 1)):
        raise ParseError("the tasks are not a list numbered from 1, one task a line")
    return tasks
