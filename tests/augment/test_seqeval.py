"""A SeqEval-like benchmark: operations, lengths, and items that are independent of each other."""

import re
from collections import Counter

import pytest
from support.scripted import scripted_model

from seqit.augment.prompt import load_prompt
from seqit.augment.seq_instruct.paper.form import PaperParser
from seqit.augment.seqeval import augment
from seqit.errors import UsageError
from seqit.llm.request import FailedRequest
from seqit.records.identity import with_id
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema

MODES = ("decompose", "prefix", "suffix")
TASKS = (
    "Name three Danish bakers.",
    "Translate a proverb about bread.",
    "Draw a small table of oven temperatures.",
    "Explain how yeast works.",
)


def record(number, **parts):
    made = with_id(
        {
            "instruction": f"What are the {number} oldest bridges of Prague?",
            "input": "",
            "output": "An answer that no item may keep.",
            "lineage": {"iteration": 0, "operation": "seed"},
            **parts,
        }
    )
    made["lineage"]["root"] = made["id"]
    return made


def mode_of(request):
    task = request.messages[0]["content"]
    return next(mode for mode in MODES if task.startswith(load_prompt(mode).task))


def chain_for(request):
    """Return instruction and steps of a chain that any check accepts."""
    turns = [turn["content"] for turn in request.messages if turn["role"] == "user"]
    question = next(turn for turn in reversed(turns) if "<original>" in turn)  # not a correction
    original = re.search(r"<original>\n(.*?)\n</original>", question, re.DOTALL)[1]
    listed = re.search(r"<steps>\n(.*?)\n</steps>", question, re.DOTALL)
    old = re.findall(r"^\d+\. (.*)$", listed[1], re.MULTILINE) if listed else [original]
    task = TASKS[request.iteration - 1]
    if mode_of(request) == "suffix":
        return f"{original} {task}", [*old, task]
    return f"{task} {original}", [task, *old]


def reply(request):
    if request.stage == "refine":
        return (
            "<thought>All is there.</thought><verdict>complete</verdict>"
            "<instruction></instruction><steps></steps>"
        )
    instruction, steps = chain_for(request)
    items = "".join(f"<item>{step}</item>" for step in steps)
    return (
        f"<thought>It helps.</thought><instruction>{instruction}</instruction>"
        f"<steps>{items}</steps>"
    )


def run(records, replying=reply, seed=0, **options):
    rejects = []
    stats = RunStats("augment", rejects.append)
    model = scripted_model(replying)
    rows = [Row(each, "rows", n) for n, each in enumerate(records, 1)]
    out = list(augment(iter(rows), stats, seed=seed, model=model, **options))
    stats.read, stats.written = len(records), len(out)
    stats.close()
    return [row.value for row in out], stats, model.runner.requests, rejects


def test_an_item():
    seed = record(3, system="Be brief.", metadata={"source": "a list"})
    (item,), stats, requests, _ = run([seed], iterations=1)
    assert [each.stage for each in requests] == ["rewrite", "refine"]
    mode = mode_of(requests[0])
    assert item["output"] == ""
    assert seed["instruction"] in item["instruction"] and TASKS[0] in item["instruction"]
    assert sorted(step["instruction"] for step in item["steps"]) == sorted(
        [seed["instruction"], TASKS[0]]
    )
    assert all("output" not in step for step in item["steps"])
    assert (item["system"], item["metadata"]) == ("Be brief.", {"source": "a list"})
    lineage = item["lineage"]
    assert (lineage["operation"], lineage["method"]) == (mode, "seqeval")
    assert (lineage["root"], lineage["parent"], lineage["iteration"]) == (seed["id"], seed["id"], 1)
    assert schema("record").is_valid(item)
    assert stats.results == {"operations": {"1": {mode: 1}}, "kept": {"1": 1}}


def test_items_are_taken_from_every_iteration_and_grow_with_it():
    items, stats, _, _ = run([record(n) for n in range(800)])
    taken = Counter(item["lineage"]["iteration"] for item in items)
    assert {str(number): count for number, count in taken.items()} == stats.results["kept"]
    for number, share in zip((1, 2, 3, 4), (80, 160, 240, 320), strict=True):
        assert abs(taken[number] - share) < 45  # more than three standard deviations
    assert all(len(item["steps"]) == item["lineage"]["iteration"] + 1 for item in items)


def test_operations_are_equally_likely_and_nothing_is_decomposed_twice():
    _, stats, _, _ = run([record(n) for n in range(600)])
    operations = stats.results["operations"]
    assert set(operations["1"]) == set(MODES)
    assert all(160 <= count <= 240 for count in operations["1"].values())
    for number in ("2", "3", "4"):
        assert set(operations[number]) == {"prefix", "suffix"}
        assert min(operations[number].values()) > 0.4 * operations[number].total()


def test_a_row_is_not_extended_beyond_its_iteration():
    items, stats, requests, _ = run([record(n) for n in range(40)], refine=False)
    asked = Counter(str(request.iteration) for request in requests)
    assert {number: c.total() for number, c in stats.results["operations"].items()} == asked
    assert len(requests) == sum(item["lineage"]["iteration"] for item in items)


def test_shares_say_which_iteration():
    items, _, _, _ = run([record(n) for n in range(20)], iterations=2, keep_shares=(0, 1))
    assert {item["lineage"]["iteration"] for item in items} == {2}


def test_an_item_depends_only_on_its_row_and_the_seed():
    records = [record(n) for n in range(40)]
    forward, backward = run(records)[0], run(records[::-1])[0][::-1]
    assert forward == backward
    assert run(records, seed=1)[0] != forward


def test_a_failed_rewrite_fails_the_row_of_the_iteration_before():
    def replying(request):
        return (
            FailedRequest("timeout", "no answer in time")
            if request.iteration == 2
            else reply(request)
        )

    items, stats, _, (reject,) = run([record(0)], replying, iterations=2, keep_shares=(0, 1))
    assert not items and stats.failed == 1
    assert (reject["stage"], reject["reason"]) == ("rewrite", "timeout")
    assert reject["row"]["lineage"]["iteration"] == 1
    assert stats.results["kept"] == {}
    assert list(stats.results["operations"]) == ["1"]


def test_a_chain_that_loses_the_question_is_no_item():
    def replying(request):
        return reply(request).replace("What are the 0 oldest bridges of Prague?", "Count them.")

    items, _, requests, (reject,) = run([record(0)], replying, iterations=1)
    assert not items
    assert (reject["stage"], reject["reason"]) == ("rewrite", "content-lost")
    assert len({request.attempt for request in requests}) > 1


def test_in_the_reference_format_items_have_no_steps():
    def replying(request):
        if request.stage == "refine":
            return "Answer: Yes###"
        return f"#Explanation#:\nIt helps.\n\n#New Instruction#:\n{chain_for(request)[0]}###"

    parser = PaperParser()
    (item,), _, _, _ = run([record(0)], replying, iterations=1, output_format=parser.form_for)
    assert TASKS[0] in item["instruction"] and "steps" not in item
    assert parser.summary == {
        "differences": [],
        "instruction": {"same": 1},
        "refinement": {"same": 1},
    }


@pytest.mark.parametrize("shares", [(1, 2), (0, 0, 0, 0), (1, 1, 1, -1), (1, 1, 1, float("nan"))])
def test_shares_that_fit_no_iterations_are_a_usage_error(shares):
    with pytest.raises(UsageError, match="keep-shares"):
        run([record(0)], keep_shares=shares)


def test_needs_a_model():
    with pytest.raises(UsageError, match="--teacher"):
        next(augment(iter([]), RunStats("augment"), seed=0))
