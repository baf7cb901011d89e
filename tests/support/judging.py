"""Items, responses and judges with known judgements, for the tests of respond and judge."""

import json
import re

from support.scripted import scripted_model

from seqit.evaluate.judges.run import JudgeTallies, ModelJudge, judge_metrics, judge_responses
from seqit.records.identity import with_id
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema

_TEXT = re.compile(r"<(\w+)-([a-z]{6})>\n(.*?)\n</\1-\2>", re.DOTALL)
_LINES = {"score": "Score", "followed": "Followed", "better": "Better"}


def item(number=0, **parts):
    """Return a benchmark item: a chain of two steps with a reference."""
    parts = {
        "instruction": f"Name {number} rivers. Then say which is the longest.",
        "input": "",
        "output": f"The {number} rivers.\n\nThe longest of {number} is long.",
        "steps": [
            {"instruction": f"Name {number} rivers.", "output": f"The {number} rivers."},
            {
                "instruction": "Say which is the longest.",
                "output": f"The longest of {number} is long.",
            },
        ],
        "lineage": {"root": f"root {number}", "iteration": 1, "operation": "suffix"},
    } | parts
    record = with_id({name: value for name, value in parts.items() if value is not None})
    assert schema("record").is_valid(record), schema("record").problems(record)
    return record


def response(record, output=None, model="a-model", sample=0, **more):
    """Return a response to an item; `output` is by default the reference."""
    names = ("root", "iteration", "operation", "teacher")
    row = {
        "id": record["id"],
        "model": model,
        "sample": sample,
        "output": record["output"] if output is None else output,
        "finish": "stop",
        "item": record,
        "lineage": {n: record["lineage"][n] for n in names if n in record["lineage"]},
    }
    assert schema("response").is_valid(row | more)
    return row | more


def texts_of(messages):
    """Return the framed texts of a judge's prompt by name."""
    content = messages[1]["content"]  # later messages are retries
    if not isinstance(content, str):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    return {name: text for name, _, text in _TEXT.findall(content)}


def choices_of(request):
    """Return the keys that the answer to a request must have."""
    system = request.messages[0]["content"]
    if request.schema:
        return [name for name in request.schema["properties"] if name != "reason"]
    if "numbered list" in system:
        return ["tasks"]
    labels = re.findall(r"^(Score|Followed|Better|Step \d+): ", system, re.MULTILINE)
    return [{v: k for k, v in _LINES.items()}.get(label, label.lower().replace(" ", "_"))
            for label in labels]  # fmt: skip


def judge_output(values, structured=False, reason="So it is."):
    """Return the text of a judgement, as JSON or in lines."""
    if structured:
        return json.dumps({"reason": reason} | values)
    label = {**_LINES, **{f"step_{n}": f"Step {n}" for n in range(1, 30)}}
    return "\n".join([reason, *(f"{label[name]}: {value}" for name, value in values.items())])


def fair_judgement(texts, choices):
    """Judge correctly if the answer is the reference of `item`, or a part of it."""
    answer, tasks = texts.get("answer", ""), texts.get("tasks", "").splitlines()
    parts = [part for part in answer.split("\n\n") if part]
    about = re.search(r"Name (\d+)", texts["instruction"])
    on_topic = about is not None and all(f"{about[1]} " in part for part in parts)
    done = [on_topic and part.startswith(("The longest",)) == (n == 1)
            for n, part in enumerate(parts)]  # fmt: skip
    complete = bool(parts) and len(parts) == max(len(tasks), 2) and all(done)
    if choices == ["score"]:
        return {"score": 5 if complete else 3 if on_topic and parts else 1}
    if choices == ["followed"]:
        return {"followed": "yes" if complete else "no"}
    if choices == ["better"]:
        first, second = len(texts["first"]), len(texts["second"])
        return {"better": "tie" if first == second else "first" if first > second else "second"}
    starts = ("The longest", "The ")
    states = {f"step_{n}": "omitted" for n in range(1, len(choices) + 1)}
    if on_topic:
        for part in parts:
            states["step_2" if part.startswith(starts[0]) else "step_1"] = "done"
    return states


def fair_reply(request):
    """Reply to a judge's request with `fair_judgement`."""
    choices = choices_of(request)
    values = fair_judgement(texts_of(request.messages), choices)
    return judge_output(values, request.schema is not None)


def run(responses, reply=fair_reply, metrics=("quality",), *, structured=False, controls=0,
        baseline=None, seed=0, judges=None, **options):  # fmt: skip
    """Judge responses with a scripted model; return scores, stats, requests, rejects, tallies."""
    rejects = []
    stats = RunStats("judge", rejects.append)
    model = scripted_model(reply, structured)
    tallies = JudgeTallies()
    selected = judge_metrics(metrics, baseline is not None)
    judges = judges or [ModelJudge(model, selected, seed=seed, **options)]
    rows = [Row(each, "rows", n) for n, each in enumerate(responses, 1)]
    scores = [
        row.value
        for row in judge_responses(rows, stats, judges=judges, tallies=tallies, seed=seed,
                                   controls=controls, baseline=baseline)
    ]  # fmt: skip
    stats.read, stats.written = len(rows), len(scores)
    stats.close()
    for score in scores:
        assert schema("score").is_valid(score), schema("score").problems(score)
    return scores, stats, model.runner.requests, rejects, tallies
