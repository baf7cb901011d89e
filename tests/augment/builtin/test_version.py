"""The declared version of the builtin teacher: outputs may only change together with it.

golden_version.json holds the version and digests of what each step says and does, and of chains of
several iterations. It is written anew by SEQIT_UPDATE_CASES=1, but only if VERSION was raised, or
if the file was deleted because version_seeds.jsonl or the digests below have changed.
"""

import dataclasses
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from random import Random

import pytest

from seqit.augment.builtin.answer import Answer
from seqit.augment.builtin.compose import OriginalTask, compose
from seqit.augment.builtin.decompose import DECOMPOSE_STEPS, decompose
from seqit.augment.builtin.library import ALL_STEPS, PREFIX_STEPS, possible_clauses
from seqit.augment.builtin.slots import fill_slots
from seqit.augment.builtin.step import render_reply
from seqit.augment.builtin.task import Task
from seqit.augment.builtin.teacher import BuiltinTeacher
from seqit.augment.builtin.version import VERSION
from seqit.augment.seq_instruct.teacher import KeepUnchanged
from seqit.checks import derived, verify
from seqit.llm.client import NoModelRunner

GOLDEN = Path(__file__).parent / "golden_version.json"
UPDATE = "SEQIT_UPDATE_CASES=1 bin/test tests/augment/builtin/test_version.py"

SEEDS = [
    (row["instruction"], row["output"], row["input"], row.get("rationale", ""))
    for row in map(json.loads, GOLDEN.with_name("version_seeds.jsonl").read_text().splitlines())
]
_WORDS = """
add analyze answer arrange ask brainstorm build calculate categorize change check choose classify
combine compare complete compose compute convert correct count create decide define describe
design detect determine develop discuss draft draw edit estimate evaluate explain extract fill
find fix generate give guess help identify imagine implement improve infer invent let list make
match mention name offer order organize outline paraphrase pick plan please predict prepare
present produce propose provide rank rate read recommend remove reorder replace rephrase rewrite
reword select show simplify solve sort specify split state suggest summarize take tell the think
transform translate turn use verify write you
"""
REQUESTS = _WORDS.split()
"""First words of requests, of which the library lower-cases some within a sentence."""
OPERATIONS = ("", "decompose", "prefix", "suffix")


def digest(value):
    """Return eight hexadecimal digits over a value as JSON; the order of keys counts."""
    text = json.dumps(value, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def tasks():
    """Yield the seeds as tasks, and tasks after a number step."""
    yield from (Task(text, content, Answer(answer)) for text, answer, content, _ in SEEDS)
    for number in (*range(20), *range(20, 100, 10), 121, 1206, 999_999, 1_000_000):
        for answer in (f"{number}", f"There are {number} of them."):
            yield Task("How many?", "", Answer(answer, states_number=True))


def answers_to(kind, task, text):
    """Return right and wrong answers to a step, in every reply that it can take."""
    right = [render_reply(fill_slots(template, task), text) for template in (*kind.replies, "{}")]
    if text.isdigit() and int(text) < 1_000_000:
        right.append(derived.number_words(text, {}))
    wrong = ["", "Finch", text[:-1], f"not {text}", f"{text} 7", f"7, {text}", text.swapcase()]
    return [*right, f"The answer is: **{text}**", *wrong]


def decompositions():
    """Yield the steps of each decomposition of each seed."""
    for text, answer, content, rationale in SEEDS:
        core = {"instruction": text, "output": answer}
        for seed in range(12):
            task = Task(text, content, Answer(answer))
            if found := decompose(task, core, rationale, set(), Random(seed)):
                yield [*found.first, *found.before, *found.core, *found.after]


@cache
def decomposition_steps():
    """Return (step, earlier answers) by the step's name; "core" for the task itself."""
    found = {}
    for steps in decompositions():
        for index, step in enumerate(steps):
            earlier = [each["output"] for each in steps[:index]]
            found.setdefault(step.get("name", "core"), []).append((step, earlier))
    return found


def solved(kind):
    """Yield (solution, check, answers to verify, earlier answers) for every seed that fits."""
    if kind in DECOMPOSE_STEPS:
        for step, earlier in decomposition_steps().get(kind.name, []):
            text = step["output"]
            yield text, step["check"], [text, "", text[: len(text) // 3], f"{text} {text}"], earlier
        return
    for task in tasks():
        if kind.applies(task) and (found := kind.solve(task)):
            earlier = [] if kind in PREFIX_STEPS else [task.answer.text]
            yield found.text, found.check, answers_to(kind, task, found.text), earlier


def verified(kind):
    """Return for each answer whether the step's check passes."""
    return [
        [verify(check, answer, earlier) is None for answer in answers]
        for _, check, answers, earlier in solved(kind)
    ]


def step_digests(kind):
    return {
        "phrasings": digest([list(possible_clauses(kind)), kind.replies]),
        "solutions": digest([[text, check] for text, check, _, _ in solved(kind)]),
        "checks": digest(verified(kind)),
    }


@cache
def chains(operation, iterations=6):
    """Return the outcomes of each iteration under several seeds of the run.

    operation: the only one that is sampled; "" for the default shares. Records have fixed ids, so
    that the digests do not depend on how ids are computed.
    """
    teacher = BuiltinTeacher({operation: 1.0}) if operation else BuiltinTeacher()
    outcomes = [[] for _ in range(iterations)]
    for seed in range(8):
        rows = []
        for number, (text, answer, content, rationale) in enumerate(SEEDS):
            row = {"id": f"{number}", "instruction": text, "input": content, "output": answer}
            row["lineage"] = {"root": f"{number}", "iteration": 0, "operation": "seed"}
            rows.append(row | ({"metadata": {"rationale": rationale}} if rationale else {}))
        for found in outcomes:
            parents, rows = rows, []
            ran = NoModelRunner().run(parents, lambda row, seed=seed: teacher.rewrite(row, seed))
            for row, (_, outcome) in zip(parents, ran, strict=True):
                if isinstance(outcome, KeepUnchanged):
                    found.append({"operation": "keep"})
                    continue
                new = {
                    "instruction": outcome.instruction,
                    "output": outcome.output,
                    "steps": outcome.steps,
                }
                found.append({"operation": outcome.operation, **new})
                lineage = row["lineage"] | {"iteration": row["lineage"]["iteration"] + 1}
                rows.append(row | new | {"id": f"{row['id']}.", "lineage": lineage})
    return outcomes


def requests():
    """Return the instructions of requests with one step before and two after them."""
    return [
        compose(OriginalTask(text, False), before, ["double it", "round it"], Random(seed))
        for seed, word in enumerate(REQUESTS)
        for text in (f"{word.title()} a word.", f"{word.title()} two words: why")
        for before in ([], ["count the words"])
    ]


def current():
    """Return the version and the digests as they are now, in the form of the golden file."""
    found = {"version": VERSION, **{kind.name: step_digests(kind) for kind in ALL_STEPS}}
    core = [[step, earlier] for step, earlier in decomposition_steps()["core"]]
    found["decompose"] = {"core steps": digest(core)}
    found["instructions"] = {"requests": digest(requests())}
    for operation in OPERATIONS:
        found[f"chains: {operation or 'default shares'}"] = {
            f"iteration {number}": digest(outcomes)
            for number, outcomes in enumerate(chains(operation), 1)
        }
    return found


def changes(golden, now):
    """Return a line for each step or operation that says or does something else."""
    lines = []
    for name in dict.fromkeys([*golden, *now]):
        old, new = golden.get(name), now.get(name)
        if name == "version" or old == new:
            continue
        if old is None or new is None:
            parts = ["added" if old is None else "removed"]
        else:
            parts = [part for part in new if new[part] != old.get(part)]
        lines.append(f"  {name}: {', '.join(parts)}")
    return lines


def problem(golden, now):
    """Return what is wrong and what to do; "" if the version fits the outputs."""
    if golden["version"] != now["version"]:
        return f"VERSION is {now['version']!r}, {GOLDEN.name} is of {golden['version']!r}: {UPDATE}"
    if not (changed := changes(golden, now)):
        return ""
    return "\n".join((
        f"what the builtin teacher says or does has changed, but VERSION is still {VERSION!r}:",
        *changed,
        f"raise VERSION in seqit/augment/builtin/version.py, then run {UPDATE}",
    ))  # fmt: skip


def test_outputs_change_only_together_with_the_version():
    now = current()
    if os.environ.get("SEQIT_UPDATE_CASES"):
        golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"version": None}
        if golden["version"] != VERSION:
            lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in now.items())
            GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    if found := problem(json.loads(GOLDEN.read_text()), now):
        pytest.fail(found, pytrace=False)


@cache
def emitted_names():
    """Return the names of the steps that occur in the chains."""
    outcomes = (each for operation in OPERATIONS for found in chains(operation) for each in found)
    return {step.get("name") for outcome in outcomes for step in outcome.get("steps", [])}


@pytest.mark.parametrize("kind", ALL_STEPS, ids=lambda kind: kind.name)
def test_the_seeds_try_every_step(kind):
    results = [passed for each in verified(kind) for passed in each]
    assert any(results) and not all(results)
    assert kind.name in emitted_names()


def test_the_seeds_try_every_operation_and_iteration():
    for operation in ("decompose", "prefix", "suffix"):
        for outcomes in chains(operation)[: 1 if operation == "decompose" else 4]:
            assert sum(each["operation"] == operation for each in outcomes) > 9
    operations = {each["operation"] for each in chains("")[2]}
    assert operations == {"keep", "decompose", "prefix", "suffix"}


def test_the_message_names_what_changed():
    golden = json.loads(GOLDEN.read_text())
    kind = next(kind for kind in ALL_STEPS if kind.name == "uppercase")
    changed = dataclasses.replace(kind, phrasings=(*kind.phrasings, "shout {it}"))
    found = problem(golden, golden | {"uppercase": step_digests(changed)})
    assert "  uppercase: phrasings\n" in found and "raise VERSION" in found
    changed = dataclasses.replace(kind, applies=lambda task: False)
    found = problem(golden, golden | {"uppercase": step_digests(changed)})
    assert "  uppercase: solutions, checks\n" in found
    less = {name: value for name, value in golden.items() if name != "uppercase"}
    assert "  uppercase: removed\n" in problem(golden, less)
    assert "  uppercase: added\n" in problem(less, golden)
    assert problem(golden, golden) == ""
    assert UPDATE in problem(golden, golden | {"version": "builtin-0"})


def test_the_version_goes_to_the_lineage():
    for teacher in (BuiltinTeacher(), BuiltinTeacher({"keep": 1}), BuiltinTeacher(steps=["slug"])):
        assert (teacher.name, teacher.prompt) == ("builtin", VERSION)
