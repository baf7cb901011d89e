"""The engine and the registry: statistics, order, and the notation of rules."""

import pytest

from seqit.errors import UsageError
from seqit.filter import DEFAULT_RULES, RULES, apply, default_rules, describe, parse_rule
from seqit.records.run_stats import Row, RunStats


def record(instruction="Name a colour.", output="Blue is one.", **more):
    fields = {"id": "a", "instruction": instruction, "input": "", "output": output}
    return fields | {"lineage": {"root": "a", "iteration": 0, "operation": "seed"}} | more


def run(records, rules):
    rejects = []
    stats = RunStats("filter", rejects.append)
    rows = [Row(value, "in.jsonl", line, b"raw") for line, value in enumerate(records, 1)]
    stats.read = len(rows)
    kept = list(apply(iter(rows), rules, stats))
    stats.written = len(kept)
    return rows, kept, rejects, stats


def test_passing_rows_are_the_same_objects_in_input_order():
    rows, kept, rejects, _ = run(
        [record(f"Name colour number {n}.", id=str(n)) for n in range(5)], default_rules()
    )
    assert [id(row) for row in kept] == [id(row) for row in rows]
    assert not rejects


def test_the_first_rule_that_fails_rejects_the_row_and_the_run_balances():
    records = [record(id="1"), record(id="2"), record("", "", id="3"), record("Go on.", id="4")]
    rules = [
        parse_rule("empty-output"),
        parse_rule("length:min_words=3"),
        parse_rule("exact-duplicate"),
    ]
    _, kept, rejects, stats = run(records, rules)
    assert [row.value["id"] for row in kept] == ["1", "4"]
    assert [(each["stage"], each["reason"], each["line"]) for each in rejects] == [
        ("exact-duplicate", "duplicate", 2),
        ("empty-output", "empty", 3),
    ]
    assert rejects[0]["evidence"]["duplicate_of"] == "1"
    stats.close()
    assert stats.results["rules"] == {
        "empty-output": {"seen": 4, "removed": 1},
        "length:min_words=3": {"seen": 3, "removed": 0},
        "exact-duplicate": {"seen": 3, "removed": 1},
    }


def test_a_row_that_another_rule_removes_is_not_the_original_of_a_duplicate():
    long, short = record(output="one two three", id="1"), record(output="one", id="2")
    rules = [parse_rule("exact-duplicate"), parse_rule("length:max_words=2")]
    _, kept, _, _ = run([long, short], rules)
    assert [row.value["id"] for row in kept] == ["2"]


def test_what_one_stateful_rule_removes_another_does_not_remember():
    rules = [parse_rule("exact-duplicate"), parse_rule("exact-duplicate:fields=output")]
    rows = [
        record(id="1"),
        record("Name a fish.", id="2"),
        record("Name a fish.", "A cod.", id="3"),
    ]
    _, kept, _, stats = run(rows, rules)
    assert [row.value["id"] for row in kept] == ["1", "3"]
    assert [each["removed"] for each in stats.results["rules"].values()] == [0, 1]


def test_one_rule_may_run_twice_with_other_parameters():
    rules = [parse_rule("length:field=instruction,max_words=3"), parse_rule("length:min_words=2")]
    _, kept, _, stats = run([record(), record("a b c d"), record(output="x")], rules)
    assert len(kept) == 1
    assert [each["removed"] for each in stats.results["rules"].values()] == [1, 1]


def test_the_counts_are_complete_if_the_reader_stops():
    stats = RunStats("filter")
    rows = apply(iter([Row(record("", "")), Row(record())]), default_rules(), stats)
    next(rows)
    rows.close()
    assert stats.results["rules"]["empty-output"] == {"seen": 2, "removed": 1}


def test_default_rules_are_new_instances():
    assert [rule.name for rule in default_rules()] == list(DEFAULT_RULES)
    first, second = default_rules(), default_rules()
    assert run([record()], first)[1] and run([record()], second)[1]


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_its_name_in_the_registry(name):
    assert RULES[name].name == name


@pytest.mark.parametrize(
    "text",
    [
        "length:field=input,min_words=2,max_words=512",
        "exact-duplicate:fields=instruction+input+output",
        "repetition:factor=1.5",
        "empty-output",
    ],
)
def test_a_rule_is_formatted_as_it_was_written(text):
    assert str(parse_rule(text)) == text


def test_parameters_may_be_written_with_hyphens_and_spaces():
    assert str(parse_rule(" length: max-words=5 , field=input")) == "length:field=input,max_words=5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lenght", r"no rule 'lenght' \(did you mean 'length'\?\); the rules are empty-output, "),
        ("", "there is no rule ''"),
        ("length:max_word=3", r"no parameter 'max_word' \(did you mean 'max_words'\?\); it has f"),
        ("keep:x=1", "no parameter 'x'; it has none"),
        ("length:max_words", "'max_words' is not written as parameter=value"),
        ("length:max_words=-1", "max_words must be a whole number, 0 or more; found '-1'"),
        ("length:max_words=²", "max_words must be a whole number"),
        ("length:max_words=1,max_words=2", "max_words is given twice"),
        ("length:field=answer,max_words=1", "field must be one of instruction, input, output"),
        ("length", "needs a limit"),
        ("length:min_words=5,max_words=2", "min_words=5 is above max_words=2"),
        ("exact-duplicate:fields=input+input", "one or more of instruction, input, output"),
        ("exact-duplicate:fields=", "one or more of"),
        ("repetition:factor=nan", "factor must be a number above 0; found 'nan'"),
    ],
)
def test_errors_in_the_notation_of_rules(text, message):
    with pytest.raises(UsageError, match=message):
        parse_rule(text)


def test_the_list_has_all_rules_and_parameters():
    listed = {each["name"]: each for each in describe()}
    assert list(listed) == list(RULES)
    assert {name for name, each in listed.items() if each["default"]} == set(DEFAULT_RULES)
    assert all(each["explanation"].endswith(".") for each in listed.values())
    assert listed["exact-duplicate"]["parameters"][:1] == [
        {
            "name": "fields",
            "default": "instruction+input",
            "meaning": "the fields that must be equal",
        }
    ]
    limits = {each["name"]: each["default"] for each in listed["length"]["parameters"]}
    assert (
        limits["field"] == "output" and limits["max_words"] is None and limits["min_words"] == "0"
    )
