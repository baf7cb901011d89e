"""The builtin teacher: correct, deterministic, natural, and all it emits passes its own checks."""

import gzip
import json
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import DATA

from seqit.augment.builtin.library import ALL_STEPS, kind_of, possible_clauses
from seqit.augment.builtin.step import clause_of
from seqit.augment.builtin.teacher import MAX_CHAIN_STEPS, BuiltinTeacher
from seqit.augment.seq_instruct.teacher import KeepUnchanged, Rewrite
from seqit.checks import record_problems
from seqit.errors import UsageError
from seqit.llm.client import NoModelRunner
from seqit.records.identity import content_id

ONLY = {name: BuiltinTeacher({name: 1.0}) for name in ("decompose", "prefix", "suffix", "keep")}


def record(instruction, output, content="", rationale=None):
    row = {"instruction": instruction, "input": content, "output": output}
    row = {"id": content_id(row), **row}
    row["lineage"] = {"root": row["id"], "iteration": 0, "operation": "seed"}
    if rationale:
        row["metadata"] = {"rationale": rationale}
    return row


def applied(row, outcome, iteration=1):
    new = {**row, "instruction": outcome.instruction, "output": outcome.output}
    new |= {"steps": outcome.steps, "id": content_id(new)}
    new["lineage"] = row["lineage"] | {"iteration": iteration, "operation": outcome.operation}
    return new


def outcomes(rows, seed=7, teacher=None):
    teacher = teacher or BuiltinTeacher()
    return [
        outcome for _, outcome in NoModelRunner().run(rows, lambda row: teacher.rewrite(row, seed))
    ]


def flancot():
    rows = []
    for file in sorted((DATA / "flancot").glob("*.tsv")):
        for line in file.read_text("utf-8").split("\n"):
            cells = [cell.replace("\\n", "\n") for cell in line.split("\t")]
            if len(cells) == 3 and cells[0] and cells[1]:
                rows.append(record(cells[0], cells[1], rationale=cells[2]))
    return rows


def alpaca():
    lines = (DATA / "alpaca" / "seed_tasks.jsonl").read_text("utf-8").splitlines()
    tasks = map(json.loads, lines)
    return [
        record(t["instruction"], i["output"], i["input"]) for t in tasks for i in t["instances"]
    ]


def alpacaeval():
    files = sorted((DATA / "alpacaeval").glob("*/model_outputs.json"))
    return [
        record(row["instruction"], row["output"])
        for file in files
        for row in json.loads(file.read_text("utf-8"))
    ]


def mgsm():
    files = sorted((DATA / "mgsm").glob("*.tsv"))
    lines = [line.split("\t") for file in files for line in file.read_text("utf-8").split("\n")]
    return [record(*cells) for cells in lines if len(cells) == 2]


def gsm8k():
    lines = (DATA / "gsm8k" / "test.jsonl").read_text("utf-8").splitlines()
    return [record(row["question"], row["answer"]) for row in map(json.loads, lines)]


def humaneval():
    with gzip.open(DATA / "humaneval" / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [record(r["prompt"], r["canonical_solution"]) for r in map(json.loads, lines)]


def contains_original(instruction, original):
    """Verbatim, or with the first letter of a leading verb lower-cased and the full stop moved."""
    return original in instruction or original[1:].removesuffix(".") in instruction


def asks_for(instruction, clause):
    """Return whether the instruction contains the clause, with any pointer to the question."""
    parts = re.split(r"the question(?! word(?! for)| mark)", clause)
    pointer = "(?:the question below|the following question|the question|it)"
    return re.search(pointer.join(map(re.escape, parts)), instruction, re.IGNORECASE) is not None


@pytest.mark.parametrize("source", [flancot, alpaca, alpacaeval, mgsm, gsm8k, humaneval])
def test_all_chains_of_four_iterations_verify(source):
    if not DATA.is_dir():
        pytest.skip(f"no data under {DATA}")
    rows = source()[:: 12 if source is flancot else 2 if source is alpacaeval else 1]
    assert rows
    originals = {row["id"]: row["instruction"] for row in rows}
    for iteration in range(1, 5):
        chained = []
        for row, outcome in zip(rows, outcomes(rows), strict=True):
            if isinstance(outcome, KeepUnchanged):
                continue
            new = applied(row, outcome, iteration)
            assert record_problems(new) == [], new
            assert contains_original(new["instruction"], originals[new["lineage"]["root"]]), new
            keys = []
            for step in new["steps"]:
                if kind := kind_of(step["instruction"]):
                    keys.append(kind.key)
                    assert asks_for(new["instruction"], clause_of(step["instruction"])), new
            assert len(keys) == len(set(keys)), new
            assert not re.search(
                r"\b(?:a open|1 \w+s\b(?<!words))| {2}\.|\.\.", new["instruction"][:40]
            )
            chained.append(new)
        rows = chained


def test_shares_on_flancot():
    if not DATA.is_dir():
        pytest.skip(f"no data under {DATA}")
    rows = flancot()[::5]
    found = Counter(getattr(outcome, "operation", "keep") for outcome in outcomes(rows))
    shares = {name: count / len(rows) for name, count in found.items()}
    assert 0.06 <= shares["keep"] <= 0.20
    assert all(shares[name] >= 0.08 for name in ("decompose", "prefix", "suffix"))


def test_the_library_is_large_and_each_clause_is_traced_back_to_its_step():
    assert len({kind.name for kind in ALL_STEPS}) == len(ALL_STEPS) >= 60
    for kind in ALL_STEPS:
        for clause in possible_clauses(kind):
            found = kind_of(f"{clause[0].upper()}{clause[1:]}.")
            assert found is not None, clause
            assert (found.key, found.result) == (kind.key, kind.result), clause


MULTIPLE_CHOICE = "Where does a horse live?\nOptions:\n- michigan\n- stable\n- race track"
LETTERS = "Solve 2x - 1 = 17.\nOptions:\n(A) -8\n(B) 9\n(C) 10"
STORY = "Ann has 48 apples. She eats 2 and gives 1,200 grapes away. How many apples are left?"
CLAIM = 'Is the following statement true?\n"Ben Affleck won a Golden Globe."'
PAIR = (
    'Which is nonsense?\nOptions:\n- Sentence A: "He ate a rock."\n- Sentence B: "He ate a pie."\n'
)
CODE = "Complete it.\n\ndef add(a: int, b: list[tuple[int, str]] = None) -> int:\n"
PROSE = "The sea is blue. The old mountain is grey and tall. Snow fell twice."

SOLVED = [
    ("list_options", record(MULTIPLE_CHOICE, "stable"), ["michigan", "stable", "race track"]),
    ("list_options", record(LETTERS, "(B)"), ["-8", "9", "10"]),
    ("count_options", record(LETTERS, "(B)"), "3"),
    ("sort_options", record(MULTIPLE_CHOICE, "stable"), ["michigan", "race track", "stable"]),
    ("first_option", record(MULTIPLE_CHOICE, "stable"), "michigan"),
    ("longest_option", record(MULTIPLE_CHOICE, "stable"), "race track"),
    ("option_range", record(LETTERS, "(B)"), ["-8", "10"]),
    ("words_only_in_first", record(PAIR, "Sentence A"), ["rock"]),
    ("longer_sentence", record(PAIR, "Sentence A"), "neither"),
    ("quote_claim", record(CLAIM, "no"), "Ben Affleck won a Golden Globe."),
    ("count_claim_words", record(CLAIM, "no"), "6"),
    ("longest_claim_word", record(CLAIM, "no"), "Affleck"),
    ("capitalized_in_claim", record(CLAIM, "no"), ["Ben", "Affleck", "Golden", "Globe"]),
    ("question_type", record("Is it late?", "no"), "yes/no"),
    ("question_type", record(MULTIPLE_CHOICE, "stable"), "multiple-choice"),
    ("question_word", record("Who wrote Faust?", "Goethe"), "who"),
    ("quote_question", record(STORY, "46"), "How many apples are left?"),
    ("question_sentences", record(STORY, "46"), "3"),
    ("opening_sentence", record(STORY, "46"), "Ann has 48 apples."),
    ("list_numbers", record(STORY, "46"), ["48", "2", "1,200"]),
    ("count_numbers", record(STORY, "46"), "3"),
    ("largest_number", record(STORY, "46"), ["1,200"]),
    ("smallest_number", record(STORY, "46"), ["2"]),
    ("count_question_words", record("Who wrote Faust?", "Goethe"), "3"),
    ("content_sentences", record("Sum up the text.", "Sea.", PROSE), "3"),
    ("content_words", record("Sum up the text.", "Sea.", PROSE), "14"),
    ("content_longest_word", record("Sum up the text.", "Sea.", PROSE), "mountain"),
    ("content_last_sentence", record("Sum up the text.", "Sea.", PROSE), "Snow fell twice."),
    ("function_name", record(CODE, "return a"), "add"),
    ("parameters", record(CODE, "return a"), ["a", "b"]),
]


def emitted(row, operation, name):
    """Return a step with this name that the teacher emits under some seed, and the outcome."""
    for seed in range(400):
        outcome = outcomes([row], seed=seed, teacher=ONLY[operation])[0]
        for step in getattr(outcome, "steps", []):
            kind = kind_of(step["instruction"])
            if kind and kind.name == name:
                return step, outcome
    return None, None


@pytest.mark.parametrize(("name", "row", "value"), SOLVED)
def test_prefix_steps_find_the_right_answer(name, row, value):
    step, _ = emitted(row, "prefix", name)
    assert step is not None, "never emitted"
    check = step["check"]
    assert value in (check.get("value"), check.get("values"), check.get("items"))


SUFFIXES = [
    ("uppercase", "farm yard", "FARM YARD"),
    ("capitalized", "farm yard", "Farm Yard"),
    ("slug", "farm yard", "farm-yard"),
    ("snake_case", "farm yard", "farm_yard"),
    ("initials", "farm yard", "FY"),
    ("count_letters", "farm yard", "8"),
    ("spelled", "stable", "s-t-a-b-l-e"),
    ("reversed_letters", "stable", "elbats"),
    ("json", "stable", '{"answer": "stable"}'),
    ("json", "46", '{"answer": 46}'),
    ("answer_tag", "stable", "<answer>stable</answer>"),
    ("quoted", "stable", '"stable"'),
    ("boolean", "yes", "true"),
    ("double", "46", "92"),
    ("rounded", "46", "50"),
    ("parity", "46", "even"),
    ("digit_sum", "46", "10"),
    ("number_words", "46", "forty-six"),
    ("count_words", PROSE, "14"),
    ("count_sentences", PROSE, "3"),
    ("last_sentence", PROSE, "Snow fell twice."),
    ("longest_word", PROSE, "mountain"),
    ("sentence_bullets", PROSE, "- The sea is blue.\n"),
    ("numbered_items", "ant, bee, cat", "1. ant\n2. bee\n3. cat"),
    ("count_points", "These:\n1. **Ant**: small\n2. Bee\n3. Cat\nDone.", "3"),
    ("sorted_items", "- cat\n- ant\n- bee", "ant, bee, cat"),
]


@pytest.mark.parametrize(("name", "answer", "result"), SUFFIXES)
def test_suffix_steps_work_on_the_answer(name, answer, result):
    step, outcome = emitted(record("What is it?", answer), "suffix", name)
    assert step is not None, "never emitted"
    assert result in step["output"]
    assert outcome.output.startswith(f"{answer}\n\n")


def test_a_label_is_written_out():
    step, _ = emitted(record(LETTERS, "(B)"), "suffix", "option_text")
    assert step["output"] == "9"


def test_reason_then_answer():
    row = record("Is snow cold?", "yes", rationale="Snow is frozen water. It melts when warm.")
    step, outcome = emitted(row, "decompose", "brief_reason")
    assert step["output"] == "Snow is frozen water. It melts when warm."
    assert step["check"] == {"kind": "exactly", "unit": "sentences", "value": 2}
    assert "two sentences" in outcome.instruction


def test_a_rationale_for_another_option_is_not_used():
    row = record(LETTERS, "(B)", rationale="We add 1 and halve it, so the answer is C.")
    assert emitted(row, "decompose", "reason") == (None, None)


def test_list_rule_out_choose():
    step, outcome = emitted(record(MULTIPLE_CHOICE, "stable"), "decompose", "rule_out")
    assert step["output"].endswith(": michigan, race track")
    assert [kind_of(s["instruction"]) is None for s in outcome.steps] == [False, False, True]
    assert outcome.steps[-1]["check"]["kind"] == "remaining"


def test_two_questions_are_split_only_where_each_part_answers_its_own():
    text = "What do horses eat? Where do penguins live?"
    row = record(text, "Horses eat grass.\n\nThe penguins live in the south.")
    (outcome,) = outcomes([row], teacher=ONLY["decompose"])
    assert [step["output"] for step in outcome.steps] == row["output"].split("\n\n")
    assert text in outcome.instruction
    mixed = record(text, "The penguins live in the south.\n\nHorses eat grass.")
    (outcome,) = outcomes([mixed], teacher=BuiltinTeacher({"decompose": 1.0}))
    assert getattr(outcome, "operation", "") != "decompose"
    second = outcomes([applied(row, outcomes([row], teacher=ONLY["decompose"])[0])], 2)
    assert all(text in o.instruction for o in second if isinstance(o, Rewrite))


def test_options_are_never_followed_on_their_line():
    for seed in range(60):
        for row in (record(MULTIPLE_CHOICE, "stable"), record(PAIR, "Sentence A")):
            (outcome,) = outcomes([row], seed=seed)
            if isinstance(outcome, Rewrite):
                assert outcome.instruction.endswith(row["instruction"])


def test_a_chain_does_not_depend_on_the_other_rows():
    rows = [record(STORY, "46"), record(MULTIPLE_CHOICE, "stable"), record(CLAIM, "no")]
    together = outcomes(rows)
    assert together == [outcomes([row])[0] for row in rows]
    assert together == outcomes(rows, teacher=BuiltinTeacher())
    assert (
        len(
            {
                outcome.instruction
                for s in range(20)
                for outcome in outcomes(rows[:1], seed=s, teacher=ONLY["prefix"])
            }
        )
        > 10
    )


def test_a_record_that_cannot_be_chained_is_kept_with_a_reason():
    row = record(STORY, "46")
    step = {"instruction": STORY, "output": "46"}
    library = {
        "instruction": "Count the numbers that are written in digits in the question.",
        "output": "3",
    }
    prefix = ONLY["prefix"]
    kept = [
        record(STORY, " "),
        row | {"steps": [{"instruction": STORY}]},
        row | {"steps": [library, step]},  # the library step's output is not in the record's
        row | {"steps": [library], "output": "3"},
        row | {"steps": [library, step], "output": "3 46", "instruction": "Something else."},
        row | {"steps": [step] * MAX_CHAIN_STEPS, "output": "46 " * MAX_CHAIN_STEPS},
    ]
    for outcome in outcomes(kept, teacher=prefix):
        assert isinstance(outcome, KeepUnchanged) and outcome.reason
    assert all(isinstance(o, KeepUnchanged) for o in outcomes([row], teacher=ONLY["keep"]))


def test_a_chain_of_other_origin_keeps_its_steps_and_its_instruction():
    text = "First name an animal that barks. Then say where it lives."
    steps = [
        {"instruction": "name an animal that barks", "output": "dog"},
        {"instruction": "say where it lives", "output": "house"},
    ]
    row = record(text, "dog\n\nhouse") | {"steps": steps}
    found = [outcomes([row], seed=seed, teacher=ONLY["suffix"])[0] for seed in range(10)]
    assert all(outcome.steps[:2] == steps and text in outcome.instruction for outcome in found)


def test_only_the_named_steps_are_added():
    rows = [record(f"Who is number {n}?", "Ada Lovelace") for n in range(40)]
    rows.append(record("Is it 1 or 2?", "2", rationale="It is two, for so it was said before."))
    names = {"question_word", "uppercase"}
    found = outcomes(rows, teacher=BuiltinTeacher(steps=names))
    added = [
        step.get("name", "")
        for outcome in found
        if isinstance(outcome, Rewrite)
        for step in outcome.steps
    ]
    assert set(filter(None, added)) == names
    assert any(isinstance(outcome, KeepUnchanged) for outcome in found)
    (kept,) = outcomes(rows[:1], teacher=BuiltinTeacher(steps=["item_bullets"]))
    assert isinstance(kept, KeepUnchanged)


def test_every_step_of_the_library_can_be_named():
    teacher = BuiltinTeacher(steps=[kind.name for kind in ALL_STEPS])
    row = record("Name a bird.", "green finch")
    assert outcomes([row], teacher=teacher) == outcomes([row])
    with pytest.raises(UsageError, match=r"no step 'uppercas' \(did you mean 'uppercase'"):
        BuiltinTeacher(steps=["uppercas"])


def test_invalid_shares_are_refused():
    for shares in ({}, {"prefix": 0.0}, {"prefix": -1.0, "suffix": 2.0}, {"rewrite": 1.0}):
        with pytest.raises(UsageError):
            BuiltinTeacher(shares)


TEXT = st.text(max_size=120) | st.sampled_from([STORY, MULTIPLE_CHOICE, LETTERS, CLAIM, PAIR, CODE])


@settings(max_examples=300, deadline=None)
@given(instruction=TEXT, output=TEXT | st.sampled_from(["yes", "46", "(B)", PROSE]), content=TEXT)
def test_any_record_gives_a_chain_that_verifies_or_is_kept(instruction, output, content):
    row = record(instruction or "x", output, content, rationale=content)
    for iteration in range(1, 4):
        (outcome,) = outcomes([row])
        if isinstance(outcome, KeepUnchanged):
            break
        row = applied(row, outcome, iteration)
        assert record_problems(row) == []
