"""Evol-Instruct: operations, elimination, and records whose evolution fails."""

from collections import Counter

import pytest
from support.scripted import scripted_model

from seqit.augment.evol_instruct.elimination import answer_problem, copied_words, same_prompt
from seqit.augment.evol_instruct.method import BREADTH, DEPTH, augment
from seqit.augment.form import AnswerField, TaggedForm
from seqit.augment.prompt import load_prompt
from seqit.errors import UsageError
from seqit.llm.request import FailedRequest
from seqit.records.identity import with_id
from seqit.records.run_stats import Row, RunStats
from seqit.records.validation import schema

ANSWER = "The Warta and the Noteć flow through it, among others."


def record(number=0, **parts):
    made = with_id(
        {
            "instruction": f"Name {number} rivers in Poland.",
            "input": "",
            "output": "Vistula, Oder.",
            "lineage": {"iteration": 0, "operation": "seed"},
            **parts,
        }
    )
    made["lineage"]["root"] = made["id"]
    return made


def stage_of(request):
    return request.stage.partition(" ")[0]


def operation_of(request):
    """Return the operation whose prompt is in the request."""
    task = request.messages[0]["content"]
    names = [n for n in (*DEPTH, BREADTH) if task.startswith(load_prompt(f"evol_{n}").task)]
    return names[0] if names else None


def question(request):
    return request.messages[-1]["content"]


def reply(request, evolved="{} Explain your choice.", verdict="different", answer=ANSWER):
    if stage_of(request) == "evolve":
        return f"<instruction>{evolved.format(question(request))}</instruction>"
    return f"<verdict>{verdict}</verdict>" if stage_of(request) == "judge" else answer


def run(records, replying=reply, seed=0, **options):
    """Return the rows, the statistics, the requests and the rejects of a run."""
    stats = RunStats("augment", lambda reject: rejects.append(reject))
    rejects = []
    model = scripted_model(replying)
    rows = [Row(each, "rows", n) for n, each in enumerate(records, 1)]
    out = list(augment(iter(rows), stats, seed=seed, model=model, **options))
    stats.read, stats.written = len(records), len(out)
    stats.close()
    return out, stats, model.runner.requests, rejects


def test_an_evolved_record():
    seed = record(2, system="Be brief.", metadata={"topic": "rivers"})
    (row,), stats, requests, _ = run([seed], breadth=False)
    assert [stage_of(each) for each in requests] == ["evolve", "judge", "respond"]
    operation = operation_of(requests[0])
    assert row.value["instruction"] == "Name 2 rivers in Poland. Explain your choice."
    assert row.value["output"] == ANSWER
    assert row.value["system"] == "Be brief."
    assert row.value["metadata"] == {"topic": "rivers", "evolutions": [operation]}
    lineage = row.value["lineage"]
    assert (lineage["operation"], lineage["method"]) == ("evolve", "evol-instruct")
    assert (lineage["parent"], lineage["iteration"]) == (seed["id"], 1)
    assert lineage["teacher"] == "openai:scripted"
    assert schema("record").is_valid(row.value)
    assert stats.results == {"operations": {"1": {operation: 1}}, "eliminated": {}}


def test_the_answer_is_the_models_to_the_evolved_instruction():
    _, _, requests, _ = run([record()], breadth=False)
    assert question(requests[-1]) == "Name 0 rivers in Poland. Explain your choice."
    assert requests[1].sampling.temperature == 0


def test_the_input_becomes_part_of_the_prompt():
    (row,), _, requests, _ = run([record(input="Oder\nElbe")], breadth=False)
    assert question(requests[0]) == "Name 0 rivers in Poland.\nOder\nElbe"
    assert row.value["instruction"].startswith("Name 0 rivers in Poland.\nOder\nElbe")
    assert row.value["input"] == ""


def test_every_operation_is_chosen_about_equally_often():
    _, stats, requests, _ = run([record(n) for n in range(600)])
    chosen = stats.results["operations"]["1"]
    assert chosen == Counter(map(operation_of, requests[::3]))
    assert set(chosen) == {*DEPTH, BREADTH}
    assert all(70 <= count <= 130 for count in chosen.values())


def test_a_broadened_record_says_so():
    rows, stats, _, _ = run([record(n) for n in range(20)])
    broadened = [row.value for row in rows if row.value["lineage"]["operation"] == "broaden"]
    assert len(broadened) == stats.results["operations"]["1"]["broaden"] > 0
    assert all(each["metadata"]["evolutions"] == ["broaden"] for each in broadened)


def test_what_belongs_to_images_or_earlier_turns_is_not_replaced():
    bound = [record(n, images=["a.png"]) for n in range(30)]
    bound += [record(n, history=[["Hello", "Hello."]]) for n in range(30)]
    _, stats, _, _ = run(bound)
    assert sum(stats.results["operations"]["1"].values()) == 60
    assert "broaden" not in stats.results["operations"]["1"]


def test_rounds_build_on_each_other():
    (row,), stats, _, _ = run([record()], breadth=False, rounds=3)
    assert row.value["instruction"].count("Explain your choice.") == 3
    assert row.value["lineage"]["iteration"] == 3
    assert len(row.value["metadata"]["evolutions"]) == 3
    assert {number: c.total() for number, c in stats.results["operations"].items()} == {
        "1": 1,
        "2": 1,
        "3": 1,
    }


def test_random_choices_depend_only_on_the_record_and_the_seed():
    records = [record(n) for n in range(30)]
    forward, backward = run(records)[0], run(records[::-1])[0][::-1]
    assert [row.value for row in forward] == [row.value for row in backward]
    other = run(records, seed=1)[0]
    assert [row.value["metadata"] for row in other] != [row.value["metadata"] for row in forward]


# --- elimination -----------------------------------------------------------------------------

ELIMINATED = {
    "the same prompt": ({"evolved": "name 0  rivers in poland."}, "no-gain", 1),
    "judged to gain nothing": ({"verdict": "equal"}, "no-gain", 2),
    "copied words": ({"evolved": "#Rewritten Prompt#: {}"}, "copied-words", 1),
    "an apology": ({"answer": "I am Sorry, I have no map."}, "sorry", 3),
    "stop words": ({"answer": "It is what it is, and that’s -- it!"}, "no-content", 3),
    "punctuation": ({"answer": "…?!"}, "no-content", 3),
}


@pytest.mark.parametrize("name", ELIMINATED)
def test_an_eliminated_evolution_leaves_the_row_as_it_was(name):
    options, reason, asked = ELIMINATED[name]
    seed = record()
    (row,), stats, requests, rejects = run(
        [seed], lambda request: reply(request, **options), breadth=False
    )
    assert row.value == seed
    assert len(requests) == asked
    assert stats.results == {"operations": {}, "eliminated": {"1": {reason: 1}}}
    assert not rejects


def test_an_eliminated_record_enters_the_next_round_with_new_random_choices():
    tried = []

    def replying(request):
        if stage_of(request) == "evolve":
            tried.append((request.stage, request.seed))
        return reply(request, verdict="different" if len(tried) == 4 else "equal")

    (row,), stats, _, _ = run([record()], replying, rounds=4)
    assert row.value["lineage"]["iteration"] == 1
    assert len(set(tried)) == 4
    assert list(stats.results["operations"]) == ["4"]
    assert stats.results["eliminated"] == {
        "1": {"no-gain": 1},
        "2": {"no-gain": 1},
        "3": {"no-gain": 1},
    }


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("sorry", "sorry"),
        (f"Sorry for the delay. {'Warta ' * 80}", ""),
        ("The sorrylion is a beast.", ""),
        ("No.", "no-content"),
        ("42", ""),
        ("Да.", ""),
        ("是", ""),
    ],
)
def test_answers_that_show_a_failure(answer, problem):
    assert answer_problem(answer) == problem


def test_words_that_were_there_before_are_not_copied():
    assert copied_words("Improve the given prompt.", "Improve the Given Prompt twice.") == ""
    assert copied_words("Improve it.", "Improve the Given Prompt twice.") == "given prompt"
    assert not same_prompt("What is 1 + 1?", "What is 1 - 1?")


# --- failures --------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["evolve", "judge", "respond"])
def test_what_is_not_answered_is_a_failure_and_no_elimination(stage):
    def replying(request):
        if stage_of(request) == stage:
            return FailedRequest("server-error", "the server is down")
        return reply(request)

    rows, stats, _, (reject,) = run([record()], replying)
    assert not rows and stats.failed == 1
    assert (reject["stage"].partition(" ")[0], reject["reason"]) == (stage, "server-error")
    assert stats.results == {"operations": {}, "eliminated": {}}


def test_a_row_that_fails_later_is_rejected_as_of_the_round_before():
    def replying(request):
        if request.stage == "evolve 2":
            return "Here it is: explain more."
        return reply(request)

    rows, _, requests, (reject,) = run([record()], replying, rounds=2, breadth=False)
    assert not rows
    assert (reject["stage"], reject["reason"]) == ("evolve 2", "unparseable")
    assert reject["row"]["lineage"]["iteration"] == 1
    assert [each.attempt for each in requests if each.stage == "evolve 2"] == [0, 1, 2]


def test_a_placeholder_is_no_instruction():
    rows, _, _, (reject,) = run([record()], lambda r: reply(r, evolved="N/A"))
    assert not rows and reject["reason"] == "placeholder"


def test_needs_a_model_and_a_round():
    stats = RunStats("augment")
    with pytest.raises(UsageError, match="--teacher"):
        next(augment(iter([]), stats, seed=0))
    with pytest.raises(UsageError, match="rounds is 0"):
        next(augment(iter([]), stats, seed=0, model=scripted_model(reply), rounds=0))


# --- prompts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [*DEPTH, BREADTH])
def test_the_examples_of_an_operation_pass_its_own_rules(operation):
    prompt = load_prompt(f"evol_{operation}")
    assert len(prompt.examples) >= 3
    for example in prompt.examples:
        assert not same_prompt(example["text"], example["instruction"])
        assert not copied_words(example["text"], example["instruction"])


def test_the_judges_examples_contain_both_verdicts():
    form = TaggedForm((AnswerField("verdict", ("equal", "different")),))
    verdicts = Counter(
        form.parse(form.render(example, False), False)["verdict"]
        for example in load_prompt("evol_judge").examples
    )
    assert verdicts == {"equal": 2, "different": 2}
