"""seqit.mix: shares, sampling, copies, order, the plan and the recipe."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.mixing import achieved, record, rows, run, source, source_reader, tokens, weight

from seqit.errors import SeqitError, UsageError
from seqit.mix.measure import reader_for_records
from seqit.mix.mixture import MixOutput, mix
from seqit.mix.notation import (
    MixtureSource,
    parse_source,
    parse_total,
)
from seqit.mix.plan import make_plan
from seqit.mix.recipe import MixRecipe, as_document, read_recipe
from seqit.mix.report import format_report
from seqit.mix.spec import Amount, Available, MixtureSpec, Size
from seqit.mix.tokens import TokenCounter, estimating_counter, record_text, token_counter
from seqit.records.run_stats import Row, RunStats


def test_weights_divide_the_total() -> None:
    ids, stats, rejects = run(
        [("a", weight("0.4"), source("a", 100)), ("b", weight("0.6"), source("b", 100))],
        total=rows(50),
    )
    assert Counter(name[0] for name in ids) == {"a": 20, "b": 30}
    assert len(set(ids)) == 50
    assert (stats.read, stats.written, stats.rejected, stats.added) == (200, 50, 150, 0)
    assert {r["reason"] for r in rejects} == {"not-drawn"}
    assert len({r["row"]["id"] for r in rejects} | set(ids)) == 200
    assert (rejects[0]["source"], rejects[0]["message"]) == (
        "a",
        "20 of the 100 rows of a were drawn, this one not.",
    )


def test_a_larger_amount_repeats_every_row_once_before_any_twice() -> None:
    ids, stats, _ = run([("a", rows(25), source("a", 10))])
    copies = Counter(ids)
    assert sorted(set(copies.values())) == [2, 3]
    assert len(copies) == 10
    assert stats.added == 15
    assert stats.results["plan"]["sources"][0]["repeats"] == 2.5


def test_weights_without_a_total_repeat_no_row_and_exhaust_the_scarce_source() -> None:
    ids, _, _ = run(
        [("a", weight("0.25"), source("a", 10)), ("b", weight("0.75"), source("b", 100))]
    )
    assert Counter(name[0] for name in ids) == {"a": 10, "b": 30}


def test_sources_without_amounts_are_used_whole_or_with_a_total_by_size() -> None:
    ids, _, _ = run([("a", None, source("a", 3)), ("b", None, source("b", 9))])
    assert len(ids) == 12
    assert ids != sorted(ids)  # shuffled
    ids, _, _ = run([("a", None, source("a", 3)), ("b", None, source("b", 9))], total=rows(8))
    assert Counter(name[0] for name in ids) == {"a": 2, "b": 6}


def test_token_shares_are_met_within_a_tenth_of_a_point() -> None:
    ids, stats, _ = run(
        [
            ("a", weight("0.3"), source("a", 900, words=4)),
            ("b", weight("0.7"), source("b", 900, words=40)),
        ],
        total=tokens(20_000),
    )
    plan = stats.results["plan"]
    assert plan["unit"] == "tokens"
    assert abs(plan["tokens"] - 20_000) < 60
    assert [part["share"] for part in achieved(stats)] == pytest.approx([0.3, 0.7], abs=0.001)
    assert len(ids) == plan["rows"]


def test_counts_of_tokens_repeat_rows_too() -> None:
    size = estimating_counter().count(source("a", 1))[0]
    ids, stats, _ = run([("a", tokens(5 * size), source("a", 1))])
    assert ids == ["a0"] * 5
    assert stats.added == 4


def test_copies_of_a_row_in_two_sources_are_shuffled_apart() -> None:
    values = source("t", 200)
    ids, _, _ = run([("a", None, values), ("b", None, [dict(value) for value in values])])
    assert sorted(Counter(ids).values()) == [2] * 200
    assert sum(left == right for left, right in pairwise(ids)) < 10


def test_rows_are_written_verbatim() -> None:
    raw = b'{"id": "x", "instruction": "Do.", "input": "", "output": "",   "lineage": {}}'
    stats = RunStats("mix")
    source = reader_for_records([Row(json.loads(raw), "a", 1, raw)], stats)
    mixed = mix([("a", source)], stats, MixtureSpec([None]), output=MixOutput(with_values=True))
    assert [(row.raw, row.place) for row in mixed] == [(raw, "a:1")]


def test_plan_only_writes_nothing_and_balances() -> None:
    ids, stats, _ = run([("a", rows(5), source("a", 3))], plan_only=True)
    assert ids == []
    assert stats.reasons == {("mix", "plan-only"): 3}
    assert stats.results["plan"]["rows"] == 5


def test_rejects_are_not_read_back_if_they_are_not_kept() -> None:
    stats = RunStats("mix")
    parts = [source_reader("a", source("a", 9), stats)]
    stats.written = len(list(mix(parts, stats, MixtureSpec([rows(2)]))))
    stats.close()
    assert stats.rejected == 7


def test_another_seed_samples_another_mixture() -> None:
    parts = [("a", rows(20), source("a", 100))]
    assert run(parts, seed=1)[0] == run(parts, seed=1)[0]
    assert set(run(parts, seed=1)[0]) != set(run(parts, seed=2)[0])


GOLDEN = """\
source     available  requested  rows  tokens   asked   share  repeats
sit.jsonl    10 rows     8 rows     8      48  40.00%  40.00%     0.80
it.jsonl      5 rows    12 rows    12      72  60.00%  60.00%     2.40
mixture                            20     120
shares of rows; tokens estimated, one for 4 bytes of text; seed 7"""


def test_the_plan_as_a_table() -> None:
    _, stats, _ = run(
        [
            ("sit.jsonl", weight("0.4"), [record(f"a{i}") for i in range(10)]),
            ("it.jsonl", weight("0.6"), [record(f"b{i}") for i in range(5)]),
        ],
        total=rows(20),
    )
    assert "\n".join(format_report(stats.results["plan"])) == GOLDEN


records_lists = st.lists(st.integers(0, 40), min_size=1, max_size=30).map(
    lambda sizes: [record(f"r{i}", size) for i, size in enumerate(sizes)]
)
totals = st.one_of(st.integers(1, 90).map(rows), st.integers(1, 900).map(tokens))


@given(
    parts=st.lists(st.tuples(records_lists, st.integers(1, 9)), min_size=1, max_size=4),
    total=totals,
    seed=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_shares_copies_and_balance(
    parts: list[tuple[list[dict[str, Any]], int]], total: Amount, seed: int
) -> None:
    sources = [(str(i), weight(str(w)), records) for i, (records, w) in enumerate(parts)]
    ids, stats, _ = run(sources, seed, total=total)  # checks the balance
    plan = stats.results["plan"]
    longest = max(estimating_counter().count([r])[0] for records, _ in parts for r in records)
    whole = sum(w for _, w in parts)
    for part, (records, w) in zip(plan["sources"], parts, strict=True):
        number = part["achieved"][total.unit]
        exact = total.number * w / whole
        assert abs(number - exact) <= (1 if total.unit == "rows" else longest)
        if part["achieved"]["rows"] <= len(records) and total.unit == "rows":
            assert part["repeats"] <= 1
    assert len(ids) == plan["rows"] == stats.written
    if total.unit == "rows":
        assert len(ids) == total.number


@given(
    order=st.permutations(range(12)),
    cut=st.integers(0, 12),
    amount=st.one_of(st.none(), st.integers(0, 40).map(rows), st.integers(0, 200).map(tokens)),
)
@settings(max_examples=60, deadline=None)
def test_the_order_of_the_rows_and_the_split_into_files_do_not_matter(
    order: list[int], cut: int, amount: Amount | None
) -> None:
    records = [*source("a", 10), record("a0", 9), record("a0", 2)]  # one id, three contents
    other = source("b", 5)

    def mixed(*files: list[dict[str, Any]]) -> list[bytes]:
        stats = RunStats("mix")
        first = (Row(value, str(n)) for n, file in enumerate(files) for value in file)
        parts = [("a", reader_for_records(first, stats)), source_reader("b", other, stats)]
        return [row.raw or b"" for row in mix(parts, stats, MixtureSpec([amount, rows(7)], seed=5))]

    shuffled = [records[i] for i in order]
    assert mixed(records) == mixed(shuffled[:cut], shuffled[cut:])


@pytest.mark.parametrize(
    ("amounts", "total", "message"),
    [
        ([], None, "at least one source"),
        ([rows(5)], rows(9), "counts already say how large"),
        ([weight("0.5"), rows(5)], None, "Give every source a weight, or none"),
        ([weight("0.5"), None], rows(5), "Give every source a weight, or none"),
        ([weight("0"), weight("0.0")], rows(5), "Every weight is 0"),
    ],
)
def test_contradictions_are_named_before_a_row_is_read(
    amounts: list[Amount | None], total: Amount | None, message: str
) -> None:
    def never() -> Iterator[Row]:
        pytest.fail("a row was read")
        yield

    stats = RunStats("mix")
    sources = [("a", reader_for_records(never(), stats)) for _ in amounts]
    with pytest.raises(UsageError, match=message):
        list(mix(sources, stats, MixtureSpec(amounts, total)))


def test_an_empty_source_with_an_amount_is_an_error() -> None:
    available = [Available("sit.jsonl", Size(0, 0)), Available("it.jsonl", Size(9, 90))]
    with pytest.raises(SeqitError, match=r"sit\.jsonl has no records, but 4 rows"):
        make_plan(available, MixtureSpec([weight("0.4"), weight("0.6")], rows(10)))
    with pytest.raises(SeqitError, match="No source has a record"):
        make_plan(available[:1], MixtureSpec([None], rows(10)))
    plan = make_plan(available, MixtureSpec([weight("0.0"), weight("1.0")]))
    assert [target.planned for target in plan.sources] == [0, 9]


def test_parts_add_up_to_the_total_by_largest_remainder() -> None:
    available = [Available(name, Size(100, 100)) for name in "abc"]
    plan = make_plan(available, MixtureSpec([weight("1.0")] * 3, rows(100)))
    assert [target.planned for target in plan.sources] == [34, 33, 33]


@pytest.mark.parametrize(
    ("text", "path", "amount"),
    [
        ("sit.jsonl=0.4", "sit.jsonl", weight("0.4")),
        ("sit.jsonl=40%", "sit.jsonl", weight("0.4")),
        ("sit.jsonl=2.0", "sit.jsonl", weight("2")),
        ("sit.jsonl=5e-1", "sit.jsonl", weight("0.5")),
        ("sit.jsonl=2000", "sit.jsonl", rows(2000)),
        ("sit.jsonl=2_000", "sit.jsonl", rows(2000)),
        ("sit.jsonl=1e6", "sit.jsonl", rows(1_000_000)),
        ("sit.jsonl=2e6tokens", "sit.jsonl", tokens(2_000_000)),
        ("op=keep/x.jsonl=3", "op=keep/x.jsonl", rows(3)),
        ("op=keep/x.jsonl", "op=keep/x.jsonl", None),
        ("-=0.5", "-", weight("0.5")),
    ],
)
def test_sources_on_the_command_line(text: str, path: str, amount: Amount | None) -> None:
    assert parse_source(text) == MixtureSource((path,), amount)


def test_invalid_sources_and_totals() -> None:
    with pytest.raises(UsageError, match="names no file"):
        parse_source("=0.4")
    with pytest.raises(UsageError, match="must be whole"):
        parse_source("a=0.5tokens")
    assert parse_total("1e6", "tokens") == tokens(1_000_000)
    for text in ("0", "1.5", "-3", "many", "5%"):
        with pytest.raises(UsageError, match="not a whole number of rows"):
            parse_total(text, "rows")


RECIPE = b"""
sources:
  - path: sit.jsonl
    weight: 0.4
  - path: [it-1.jsonl, it-2.jsonl]
    weight: 60%
rows: 50000
seed: 7
tokenizer: tokenizer.json
"""


def test_a_recipe_equals_the_same_command_line() -> None:
    recipe = read_recipe(RECIPE, "mix.yaml")
    assert recipe == MixRecipe(
        (
            MixtureSource(("sit.jsonl",), weight("0.4")),
            MixtureSource(("it-1.jsonl", "it-2.jsonl"), weight("0.6")),
        ),
        rows(50_000),
        7,
        "tokenizer.json",
    )
    resolved = json.dumps(as_document(recipe)).encode()  # JSON is YAML
    assert read_recipe(resolved, "resolved") == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"sources: [", "r.yaml is not YAML"),
        (b"\xff", "r.yaml is not YAML"),
        (b"", "expected an object, found null"),
        (b"rows: 5", "'sources' is missing"),
        (b"sources: []", "sources: must not be empty"),
        (b"sources: [{path: a, wieght: 1}]", r"sources\[0\]: unknown field 'wieght'.*'weight'"),
        (
            b"sources: [{path: a, weight: 1, rows: 2}]",
            r"sources\[0\] has weight and rows; give one",
        ),
        (b"sources: [{path: a}]\nrows: 1\ntokens: 2", "the recipe has rows and tokens; give one"),
        (b"sources: [{path: a}]\nseed: 2020-01-01x", "seed: expected a whole number"),
        (b"sources: 5", "sources: expected a list"),
    ],
)
def test_errors_in_recipes_are_named(text: bytes, message: str) -> None:
    with pytest.raises(SeqitError, match=message):
        read_recipe(text, "r.yaml")


def test_tokens_are_counted_over_the_full_text_of_a_record() -> None:
    value: Any = record("a") | {"system": "S", "history": [["u", "v"]], "input": "I"}
    assert record_text(value) == "S\nu\nv\nCount.\nI\nword word word "
    ascii_only, accents = record("a", 0), record("b", 0) | {"output": "éééé"}
    assert estimating_counter().count([ascii_only, accents]) == [2, 4]


def test_a_missing_tokenizers_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(SeqitError, match=r"pip install 'seqit\[tokens\]'"):
        token_counter(b"{}", "tokenizer.json")


def test_a_tokenizer_file_counts_without_truncation_or_special_tokens() -> None:
    pytest.importorskip("tokenizers", reason="the extra seqit[tokens] is not installed")
    definition = {
        "version": "1.0",
        "truncation": {
            "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0,
        },
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "word": 1}, "unk_token": "[UNK]"},
    }  # fmt: skip
    counter = token_counter(json.dumps(definition).encode(), "tiny.json")
    assert counter.count([record("a", 7), record("b", 1)]) == [9, 3]  # "Count" "." and the words
    with pytest.raises(SeqitError, match=r"broken\.json is not a tokenizer\.json"):
        token_counter(b"{}", "broken.json")


def test_a_custom_counter_is_named_in_the_plan() -> None:
    counter = TokenCounter("counted by hand", lambda batch: [10] * len(batch))
    _, stats, _ = run([("a", None, source("a", 3))], counter=counter)
    assert stats.results["plan"]["token_counter"] == "counted by hand"
    assert stats.results["plan"]["tokens"] == 30
