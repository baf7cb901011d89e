"""filter --recipe, --table and --explain."""

import json

import pytest

from seqit.errors import SeqitError
from seqit.filter import parse_rule
from seqit.filter.recipe import as_document, override, read_recipe

RECIPE = b"""
rules:
  - empty-output
  - rule: length
    field: output
    max_words: 3
  - rule: exact-duplicate
    fields: [instruction, input]
"""
ROWS = [
    {"id": "aa1", "instruction": "Name one.", "input": "", "output": "A cat."},
    {"id": "aa2", "instruction": "Name one.", "input": "", "output": "A cat, a dog and a cow."},
    {"id": "b1", "instruction": "Name two.", "input": "", "output": ""},
    {"id": "b2", "instruction": "Name one.", "input": "", "output": "A hen."},
    {"id": "c1", "instruction": "Name three.", "input": "", "output": "A hen."},
]
INPUT = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(RECIPE)
    return path


def test_a_recipe_configures_the_whole_run(recipe, seqit, tmp_path):
    manifest = tmp_path / "m.json"
    ran = seqit("filter", "--recipe", recipe, "--manifest", manifest, stdin=INPUT)
    assert [row["id"] for row in ran.rows] == ["aa1", "c1"]
    assert ran.err.splitlines()[1:] == [
        "seqit filter: rule                before  removed  after",
        "seqit filter: empty-output             5        1      4",
        "seqit filter: length:max_words=3       4        1      3",
        "seqit filter: exact-duplicate          3        1      2",
    ]
    report = json.loads(manifest.read_bytes())
    assert report["counts"]["recipe"]["rules"][:2] == [
        {"rule": "empty-output"},
        {"rule": "length", "field": "output", "max_words": 3}
        | {k: v for k, v in report["counts"]["recipe"]["rules"][1].items() if k.startswith("min")},
    ]
    # The manifest has the same recipe, resolved.
    again = read_recipe(json.dumps(report["counts"]["recipe"]).encode(), "manifest")
    assert as_document(again) == report["counts"]["recipe"]
    assert seqit("filter", "--recipe", recipe, stdin=INPUT, SEQIT_FILTER_QUIET="1").err == ""


def test_the_command_line_overrides_in_place():
    base = read_recipe(RECIPE, "r").rules
    added = [parse_rule("length:max_words=9"), parse_rule("refusal")]
    result = override(base, added, ("exact-duplicate",))
    assert [str(rule) for rule in result] == ["empty-output", "length:max_words=9", "refusal"]


def test_two_rules_of_one_name_both_stay():
    added = [parse_rule("length:max_words=8"), parse_rule("length:field=instruction,max_words=2")]
    result = override(read_recipe(RECIPE, "r").rules, added, ())
    assert [rule.name for rule in result] == ["empty-output", "length", "length", "exact-duplicate"]


def test_options_of_the_command_line_win(tmp_path, seqit):
    path = tmp_path / "r.yaml"
    path.write_text("rules: []\ndiverse: 1\nseed: 3\n")
    ran = seqit("filter", "--recipe", path, "--diverse", 2, stdin=INPUT)
    assert len(ran.rows) == 2 and ran.code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: empty-output", "rules: expected a list, found the text 'empty-output'"),
        ("rule: [empty-output]", "'rules' is missing|unknown field 'rule' .did you mean 'rules'"),
        ("rules: [3]", r"rules\[0\]: expected text or an object, found the number 3"),
        ("rules: [{field: output}]", r"rules\[0\]: 'rule' is missing"),
        ("rules: [lenght]", r"rules\[0\]: there is no rule 'lenght' \(did you mean 'length'"),
        ("rules: [{rule: length, max: 3}]", r"rules\[0\]: rule 'length' has no parameter 'max'"),
        ("rules: [{rule: length, max_words: many}]", "max_words must be a whole number"),
        ("rules: [{rule: length, max_words: {a: 1}}]", r"rules\[0\]\.max_words: expected text"),
        ("rules: []\ndiverse: 0", "diverse: "),
        ("rules: []\nmatch-length: a.jsonl", "it is called match_length"),
        ("rules: [", "is not YAML"),
        ("- a\n- b", "expected an object, found a list"),
    ],
)
def test_errors_in_recipes_name_the_field(text, message):
    with pytest.raises(SeqitError, match=message) as caught:
        read_recipe(text.encode(), "r.yaml")
    assert str(caught.value).startswith("r.yaml")


def test_explain_runs_all_rules_and_names_the_kept_record(seqit):
    ran = seqit("filter", "--explain", "b2", "-r", "length:field=output,max_words=1", stdin=INPUT)
    assert ran.code == 0
    text = ran.out.decode()
    assert text.splitlines()[0] == "record b2, <stdin>:4"
    assert "length:max_words=1         objects: " in text
    # With this length no row passes, so b2 has no original.
    assert text.splitlines()[-1].startswith("it is rejected by length")
    ran = seqit("filter", "--explain", "b2", stdin=INPUT)
    assert '"duplicate_of":"aa1"' in ran.out.decode()
    assert ran.out.decode().endswith("it is rejected by exact-duplicate, the first that objects\n")


def test_explain_agrees_with_a_run(seqit, tmp_path):
    seqit("filter", "--rejects", tmp_path / "r", stdin=INPUT)
    rejects = [json.loads(line) for line in (tmp_path / "r").read_bytes().splitlines()]
    stages = {each["id"]: each["stage"] for each in rejects}
    for row in ROWS:
        last = seqit("filter", "--explain", row["id"], stdin=INPUT).out.decode().splitlines()[-1]
        if row["id"] in stages:
            assert last == f"it is rejected by {stages[row['id']]}, the first that objects"
        else:
            assert last == "it passes"


def test_explain_accepts_a_unique_prefix_of_an_id(seqit):
    assert seqit("filter", "--explain", "c", stdin=INPUT).out.startswith(b"record c1")
    ran = seqit("filter", "--explain", "aa", stdin=INPUT)
    assert (ran.code, ran.out) == (1, b"")
    assert "several ids begin with aa: aa1, aa2" in ran.err
    ran = seqit("filter", "--explain", "z", stdin=INPUT)
    assert ran.code == 1 and "no record has an id that begins with z" in ran.err


def test_explain_shows_every_row_with_the_id(seqit):
    ran = seqit("filter", "--explain", "aa1", stdin=INPUT + INPUT)
    lines = ran.out.decode().splitlines()
    assert [line for line in lines if line.startswith("record")] == [
        "record aa1, <stdin>:1",
        "record aa1, <stdin>:6",
    ]
    assert lines.count("it passes") == 1
