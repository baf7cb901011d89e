"""The program judge: which part of an answer belongs to which step."""

import pytest
from support.judging import item, response, run

from seqit.checks.alignment.align import MAX_PIECES, align
from seqit.evaluate.judges.program import ProgramJudge

STEPS = [
    {"instruction": "Find the longest word in the question.",
     "check": {"kind": "text", "value": "vegetable"}},
    {"instruction": "Is a tomato a fruit or a vegetable?"},
    {"instruction": "Give the number of words of your answer.",
     "check": {"kind": "count", "unit": "words", "of": "previous"}},
    {"instruction": "Double it.", "check": {"kind": "times", "value": "2", "of": "previous"}},
]  # fmt: skip
PARTS = ("vegetable", "It is a fruit.", "4", "8")


def states(answer, steps=STEPS):
    return [
        "misplaced" if each.misplaced else "omitted" if each.problem else "done"
        for each in align(steps, answer)
    ]


@pytest.mark.parametrize(
    "answer",
    [
        "\n\n".join(PARTS),
        "\n".join(PARTS),
        "Sure, here you are:\n\n" + "\n\n".join(PARTS) + "\n\nI hope that this helps!",
        "\n\n".join(f"Step {n}: {part}" for n, part in enumerate(PARTS, 1)),
        "\n\n".join(f"{n}. {part}" for n, part in enumerate(PARTS, 1)),
        "\n\n".join(f"**Task {n}**\n\n{part}" for n, part in enumerate(PARTS, 1)),
        "\n\n".join(f"### Step {n}\n{part}" for n, part in enumerate(PARTS, 1)),
        "Longest word: vegetable\n\nIt is a fruit.\n\nIt has 4 words.\n\nDoubled, that is 8.",
        "The longest word is vegetable. It is a fruit. That makes 4 words. Twice that is 8.",
        "**vegetable**\n\nIt is a fruit.\n\n**4**\n\n**8**",
    ],
)
def test_an_answer_in_many_layouts(answer):
    assert states(answer) == ["done"] * 4


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), ["omitted"] * 4),
        (PARTS[1:], ["omitted", "done", "done", "done"]),
        (PARTS[:3], ["done", "done", "done", "omitted"]),
        ((PARTS[0],), ["done", "omitted", "omitted", "omitted"]),
        (("tomato", *PARTS[1:]), ["omitted", "done", "done", "done"]),
        ((*PARTS[:3], "9"), ["done", "done", "done", "omitted"]),
        ((*PARTS[1:], PARTS[0]), ["misplaced", "done", "done", "done"]),
    ],
)
def test_steps_that_are_not_done(parts, expected):
    assert states("\n\n".join(parts)) == expected


def test_the_part_of_a_step_is_returned():
    found = align(STEPS, "Well.\n\nvegetable\n\nIt is a fruit.\n\n4\n\n8")
    assert [each.part for each in found] == ["vegetable", "It is a fruit.", "4", "8"]


def test_an_answer_of_many_parts_is_still_aligned():
    story = "\n\n".join(f"Paragraph {n} of it." for n in range(3 * MAX_PIECES))
    assert (
        states(f"vegetable\n\n{story}\n\n{4 * 3 * MAX_PIECES}\n\n{24 * MAX_PIECES}") == ["done"] * 4
    )


def test_an_unknown_check_never_passes():
    steps = [{"instruction": "Dance.", "check": {"kind": "dance"}}]
    assert states("I dance.", steps) == ["omitted"]


def judged(record, answer):
    scores, stats, _, rejects, _ = run([response(record, answer)], judges=[ProgramJudge()])
    return scores, stats, rejects


def test_scores():
    record = item(1, steps=STEPS, output="\n\n".join(PARTS))
    scores, stats, _ = judged(record, "vegetable\n\nIt is a fruit.\n\n4\n\n9")
    assert [(s["metric"], s.get("position"), s["value"]) for s in scores] == [
        ("step", 1, 1),
        ("step", 3, 1),
        ("step", 4, 0),
        ("following", None, 0),
    ]
    assert {(s["judge"], s["chain"]) for s in scores} == {("program", 4)}
    assert "multiplies the number" in scores[2]["reason"]
    assert scores[2]["evidence"]["verdict"] == "omitted"
    assert stats.added == 3
    assert judged(record, record["output"])[0][-1]["value"] == 1


def test_a_step_without_a_check_needs_a_part():
    steps = [{"instruction": "Name a fish."}, STEPS[0]]
    record = item(1, steps=steps, output="A cod.\n\nvegetable")
    assert judged(record, "vegetable")[0][-1]["value"] == 0
    assert judged(record, "A cod.\n\nvegetable")[0][-1]["value"] == 1


def test_a_chain_without_a_check_is_rejected():
    scores, stats, (reject,) = judged(item(1), "Whatever.")
    assert (scores, stats.rejected) == ([], 1)
    assert reject["reason"] == "no-check"


def test_programs_get_control_items_too():
    records = [item(n, steps=[dict(s, output=p) for s, p in zip(STEPS, PARTS, strict=True)],
                    output="\n\n".join(PARTS)) for n in range(6)]  # fmt: skip
    responses = [response(each, "vegetable") for each in records]
    _, _, _, _, tallies = run(responses, judges=[ProgramJudge()], controls=2)
    controls = tallies.counts()["program"]["following"]["controls"]
    # There are no off-topic ones: the other items have the same answer.
    assert {kind: (counts["n"], counts["wrong"]) for kind, counts in controls.items()} == {
        "good": (2, 0),
        "empty": (2, 0),
        "step-dropped": (2, 0),
    }
