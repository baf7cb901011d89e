"""seqit.mix: temperature, caps, strata, the held-out split, and their notation."""

import json
from collections import Counter
from fractions import Fraction
from itertools import chain
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.mixing import achieved, record, rows, run, source, tokens, weight

from seqit.errors import SeqitError, UsageError
from seqit.mix.apportion import apportion, rake, water_fill
from seqit.mix.notation import (
    Cap,
    HeldOut,
    MixtureSource,
    parse_cap,
    parse_held_out,
    parse_share,
    parse_strata,
)
from seqit.mix.recipe import MixRecipe, as_document, read_recipe
from seqit.mix.report import format_report
from seqit.mix.spec import Amount, MixtureSpec
from seqit.mix.strata import Strata

OPERATIONS = ("prefix", "suffix", "decompose", "keep")


def passes(number: str) -> Amount:
    return Amount(Fraction(number), "passes")


def chained(prefix: str, count: int) -> list[dict[str, Any]]:
    """Rows of four operations, in shares of 1/2, 1/4, 1/8 and 1/8; two rows per root."""
    pattern = [0, 0, 0, 0, 1, 1, 2, 3]
    made = []
    for i, value in enumerate(source(prefix, count)):
        operation = OPERATIONS[pattern[i % 8]]
        lineage = {"root": f"{prefix}r{i // 2}", "iteration": i % 3, "operation": operation}
        made.append(value | {"lineage": lineage})
    return made


def requested(stats: Any) -> list[dict[str, Any]]:
    return [part["requested"] for part in stats.results["plan"]["sources"]]


def strata(stats: Any, unit: str = "rows") -> dict[str, tuple[int, int]]:
    """What was requested of each stratum, and what was sampled."""
    values = stats.results["plan"]["strata"]["values"]
    return {v["value"]: (v["requested"][unit], v["achieved"][unit]) for v in values}


# --- temperature -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("temperature", "wanted"),
    [(1, [900, 100]), (2, [750, 250]), (float("inf"), [500, 500])],  # 900 and 100: roots 30, 10
)
def test_temperature_flattens_the_shares_by_size(temperature: float, wanted: list[int]) -> None:
    sources = [("a", None, source("a", 900)), ("b", None, source("b", 100))]
    _, stats, _ = run(sources, temperature=temperature, total=rows(1000))
    assert [part["rows"] for part in achieved(stats)] == wanted


def test_temperature_divides_what_the_weights_leave() -> None:
    sources = [
        ("a", weight("0.4"), source("a", 10)),
        ("b", None, source("b", 90)),
        ("c", None, source("c", 10)),
    ]
    _, stats, _ = run(sources, temperature=2, total=rows(1000))
    assert [part["rows"] for part in achieved(stats)] == [400, 450, 150]
    assert stats.results["plan"]["temperature"] == 2


# --- caps ------------------------------------------------------------------------------------


def test_the_shortfall_of_a_capped_source_is_divided_by_the_weights_of_the_others() -> None:
    sources = [
        ("a", weight("0.5"), source("a", 10)),
        ("b", weight("0.3"), source("b", 100)),
        ("c", weight("0.2"), source("c", 100)),
    ]
    ids, stats, _ = run(sources, total=rows(100), caps=[passes("2")] * 3)
    assert Counter(name[0] for name in ids) == {"a": 20, "b": 48, "c": 32}
    assert max(Counter(ids).values()) == 2
    plan = stats.results["plan"]
    assert [part.get("short") for part in plan["sources"]] == [{"rows": 30}, None, None]
    assert requested(stats)[0] == {"rows": 50, "share": 0.5}
    assert "a: 30 rows less than asked, for the caps" in format_report(plan)


def test_with_shortfall_leave_the_mixture_is_smaller() -> None:
    sources = [("a", weight("0.5"), source("a", 10)), ("b", weight("0.5"), source("b", 100))]
    ids, stats, _ = run(sources, total=rows(100), caps=[passes("1"), rows(30)], shortfall="leave")
    assert Counter(name[0] for name in ids) == {"a": 10, "b": 30}
    short = [part["short"] for part in stats.results["plan"]["sources"]]
    assert short == [{"rows": 40}, {"rows": 20}]


def test_a_cap_in_passes_also_limits_tokens() -> None:
    sources = [("a", weight("0.9"), source("a", 50)), ("b", weight("0.1"), source("b", 300))]
    ids, stats, _ = run(sources, total=tokens(2000), caps=[passes("1.5"), None])
    copies = Counter(name for name in ids if name[0] == "a")
    assert max(copies.values()) == 2
    available = stats.results["plan"]["sources"][0]["available"]["tokens"]
    assert achieved(stats)[0]["tokens"] == pytest.approx(1.5 * available, abs=4)
    assert stats.results["plan"]["tokens"] == pytest.approx(2000, abs=8)


def test_a_count_above_the_cap_is_reduced_and_reported() -> None:
    ids, stats, _ = run([("a", rows(50), source("a", 20))], caps=[rows(15)])
    assert len(ids) == 15
    assert stats.results["plan"]["sources"][0]["short"] == {"rows": 35}


# --- strata ----------------------------------------------------------------------------------


def test_strata_have_their_shares_of_the_mixture() -> None:
    shares = parse_strata("operation=prefix:0.4,suffix:0.3,decompose:20%,keep:0.1")
    ids, stats, _ = run([("a", None, chained("a", 800))], total=rows(200), strata=shares)
    by_id = {value["id"]: value["lineage"]["operation"] for value in chained("a", 800)}
    found = Counter(by_id[name] for name in ids)
    assert found == {"prefix": 80, "suffix": 60, "decompose": 40, "keep": 20}
    assert strata(stats)["suffix"] == (60, 60)


def test_strata_in_tokens_repeat_the_scarce_stratum() -> None:
    shares = parse_strata("operation=keep:0.5,prefix:0.5")
    _, stats, _ = run([("a", None, chained("a", 80))], total=tokens(400), strata=shares)
    for wanted, sampled in strata(stats, "tokens").values():
        assert sampled == pytest.approx(wanted, abs=4)
    assert stats.added > 0
    assert strata(stats, "tokens")["*"] == (0, 0)  # not listed, so not sampled


def test_equal_strata_without_a_total_are_limited_by_the_scarcest() -> None:
    _, stats, _ = run(
        [("a", None, chained("a", 80)), ("b", None, chained("b", 80))],
        strata=Strata("lineage.operation"),
    )
    assert strata(stats) == dict.fromkeys(sorted(OPERATIONS), (20, 20))


def test_all_other_values_are_one_stratum() -> None:
    _, stats, _ = run(
        [("a", None, chained("a", 800))],
        total=rows(100),
        strata=parse_strata("operation=keep:0.7,*:0.3"),
    )
    assert strata(stats) == {"*": (30, 30), "keep": (70, 70)}


def test_records_without_the_field_and_numbers_have_names() -> None:
    strata = Strata("language")
    assert strata.stratum_of(record("a") | {"metadata": {"language": "de"}}) == "de"  # type: ignore[arg-type]
    assert strata.stratum_of(record("a")) == "none"  # type: ignore[arg-type]
    assert Strata("iteration").stratum_of(record("a")) == "0"  # type: ignore[arg-type]


def test_shares_of_sources_and_strata_are_both_met() -> None:
    seeds = source("s", 500)
    ids, stats, _ = run(
        [("a", weight("0.6"), chained("a", 800)), ("s", weight("0.4"), seeds)],
        total=rows(1000),
        strata=parse_strata("operation=prefix:0.3,suffix:0.2,keep:0.1,seed:0.4"),
    )
    assert Counter(name[0] for name in ids) == {"a": 600, "s": 400}
    sampled = {name: count for name, (_, count) in strata(stats).items()}
    assert sampled == {"*": 0, "keep": 100, "prefix": 300, "seed": 400, "suffix": 200}


def test_shares_that_exclude_each_other_are_an_error() -> None:
    parts = [("a", weight("0.6"), chained("a", 80)), ("s", weight("0.4"), source("s", 50))]
    with pytest.raises(SeqitError, match=r"exclude each other: operation 'prefix' would be 60"):
        run(parts, total=rows(100), strata=parse_strata("operation=prefix:0.9,seed:0.1"))


def test_a_stratum_without_records_is_an_error() -> None:
    with pytest.raises(
        SeqitError, match=r"No record has operation 'evolve', but 50\.0% .*: others, keep"
    ):
        run(
            [("a", None, chained("a", 80))],
            total=rows(10),
            strata=parse_strata("operation=evolve:1,keep:1"),
        )


@pytest.mark.parametrize("shortfall", ["redistribute", "leave"])
def test_a_capped_stratum_is_reported(shortfall: str) -> None:
    ids, stats, _ = run(
        [("a", None, chained("a", 80))],
        total=rows(60),
        strata=parse_strata("operation=keep:0.5,prefix:0.5"),
        caps=[passes("1")],
        shortfall=shortfall,
    )
    assert len(ids) == (50 if shortfall == "redistribute" else 40)  # 10 keep and 40 prefix
    assert strata(stats)["keep"] == (30, 10)
    assert "operation keep: 20 rows less than asked, for the caps" in format_report(
        stats.results["plan"]
    )


def test_a_cap_on_one_source_leaves_its_strata_to_the_others() -> None:
    parts = [("a", None, chained("a", 80)), ("b", None, chained("b", 80))]
    ids, stats, _ = run(
        parts, total=rows(64), strata=Strata("operation"), caps=[rows(12), passes("3")]
    )
    assert Counter(name[0] for name in ids) == {"a": 12, "b": 52}
    assert strata(stats) == dict.fromkeys(sorted(OPERATIONS), (16, 16))


def test_too_many_strata_are_an_error() -> None:
    with pytest.raises(SeqitError, match="more than 1000 values"):
        run([("a", None, source("a", 1100))], total=rows(10), strata=Strata("id"))


# --- held out --------------------------------------------------------------------------------


def test_no_root_is_on_both_sides() -> None:
    values = chained("a", 2000)
    held_out_ids: list[str] = []
    ids, stats, rejects = run(
        [("a", None, values)], total=rows(500), held_out=weight("0.1"), held_out_ids=held_out_ids
    )
    root_of = {value["id"]: value["lineage"]["root"] for value in values}
    inside = {root_of[name] for name in ids}
    outside = {root_of[name] for name in held_out_ids}
    assert not inside & outside
    # All rows of a root are held out, each once; with the rejects no row is missing.
    assert sorted(held_out_ids) == sorted(name for name, root in root_of.items() if root in outside)
    assert {r["row"]["id"] for r in rejects} | set(ids) | set(held_out_ids) == set(root_of)
    assert stats.held_out == len(held_out_ids) == pytest.approx(200, abs=60)
    plan = stats.results["plan"]
    assert plan["held_out"]["achieved"]["roots"] == len(outside)
    assert plan["sources"][0]["available"]["rows"] == 2000 - len(held_out_ids)
    assert plan["sources"][0]["held_out"]["rows"] == len(held_out_ids)


def test_a_share_holds_out_the_same_roots_regardless_of_other_sources() -> None:
    first: list[str] = []
    second: list[str] = []
    run([("a", None, chained("a", 400))], held_out=weight("0.2"), held_out_ids=first)
    more = [("b", None, source("b", 300)), ("a", None, chained("a", 400)[::-1])]
    run(more, held_out=weight("0.2"), held_out_ids=second)
    assert first
    assert [name for name in second if name[0] == "a"] == first


@pytest.mark.parametrize("wanted", [1, 7, 100, 399, 5000])
def test_a_number_of_rows_is_met_by_whole_roots(wanted: int) -> None:
    held_out_ids: list[str] = []
    _, stats, _ = run(
        [("a", None, [*chained("a", 400), record("z")])],
        held_out=rows(wanted),
        held_out_ids=held_out_ids,
    )
    assert abs(len(held_out_ids) - min(wanted, 401)) <= 1
    assert stats.results["plan"]["held_out"]["requested"] == {"rows": wanted}


def test_a_source_that_is_held_out_entirely_is_an_error() -> None:
    with pytest.raises(SeqitError, match="a has no records except those held out"):
        run([("a", rows(5), source("a", 20))], held_out=rows(20))


def test_plan_only_holds_nothing_out() -> None:
    ids, stats, _ = run([("a", None, chained("a", 40))], held_out=rows(10), plan_only=True)
    assert (ids, stats.held_out) == ([], 0)
    assert stats.reasons == {("mix", "plan-only"): 40}
    assert stats.results["plan"]["held_out"]["achieved"]["rows"] == 10


# --- all of it combined ----------------------------------------------------------------------

operations = st.sampled_from(OPERATIONS)
parts_of_rows = st.lists(st.tuples(operations, st.integers(0, 9)), min_size=1, max_size=40)


@given(
    parts=st.lists(parts_of_rows, min_size=1, max_size=3),
    total=st.integers(1, 120),
    cap=st.one_of(st.none(), st.sampled_from(["1", "1.5", "3"])),
    shortfall=st.sampled_from(["redistribute", "leave"]),
    holds_out=st.booleans(),
    is_equal=st.booleans(),
    temperature=st.sampled_from([None, 1.0, 5.0]),
)
@settings(max_examples=150, deadline=None)
def test_caps_are_kept_and_the_run_balances_for_any_specification(
    parts: list[list[tuple[str, int]]],
    total: int,
    cap: str | None,
    shortfall: str,
    holds_out: bool,
    is_equal: bool,
    temperature: float | None,
) -> None:
    sources = []
    for s, values in enumerate(parts):
        lineages = (
            {"root": f"r{root}", "iteration": 1, "operation": operation}
            for operation, root in values
        )
        made = [record(f"{s}.{i}") | {"lineage": each} for i, each in enumerate(lineages)]
        sources.append((str(s), None, made))
    held_out_ids: list[str] = []
    try:
        ids, stats, _ = run(  # checks the balance
            sources,
            total=rows(total),
            temperature=temperature,
            caps=[passes(cap) if cap else None for _ in parts],
            shortfall=shortfall,
            strata=Strata("operation") if is_equal else None,
            held_out=weight("0.3") if holds_out else None,
            held_out_ids=held_out_ids,
        )
    except SeqitError as error:  # all is held out, or shares that exclude each other
        message = str(error)
        assume(not ("has no records" in message or "exclude each other" in message))
        assert "No source has a record" in message
        return
    if cap:
        assert max(Counter(ids).values(), default=0) <= -(-Fraction(cap) // 1)
    assert len(ids) <= total
    if not cap:
        assert len(ids) == total
    roots = {v["id"]: v["lineage"]["root"] for v in chain.from_iterable(p[2] for p in sources)}
    assert not {roots[name] for name in ids} & {roots[name] for name in held_out_ids}
    for part in stats.results["plan"]["sources"]:
        if cap:
            bound = Fraction(cap) * part["available"]["rows"]
            assert part["achieved"]["rows"] <= bound
        elif not is_equal:
            assert part["achieved"]["rows"] == part["requested"]["rows"]


# --- the fit ---------------------------------------------------------------------------------


def test_apportion_returns_whole_numbers_that_add_up() -> None:
    assert apportion(100, [Fraction(1)] * 3) == [34, 33, 33]
    assert apportion(7, [0.0, 0.0]) == [0, 0]


def test_water_fill_keeps_every_bound_and_divides_the_rest() -> None:
    assert water_fill(10.0, [1.0, 1.0], [None, 2.0]) == [8.0, 2.0]
    assert water_fill(10.0, [1.0, 1.0, 2.0], [1.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]
    assert water_fill(Fraction(9), [Fraction(1), Fraction(0)], [None, None]) == [9, 0]


def test_rake_returns_the_sums_of_rows_and_columns() -> None:
    table = rake([[40.0, 10.0], [10.0, 40.0]], [[None] * 2] * 2, [60.0, 40.0], [30.0, 70.0])
    assert [sum(row) for row in table] == pytest.approx([60, 40])
    assert [sum(column) for column in zip(*table, strict=True)] == pytest.approx([30, 70])
    odds = table[0][0] * table[1][1] / (table[0][1] * table[1][0])
    assert odds == pytest.approx(16)  # the association of the sizes, 40·40 / 10·10, is kept


def test_rake_keeps_the_bounds_of_cells() -> None:
    bounds = [[20.0, None], [None, None]]
    table = rake([[40.0, 10.0], [10.0, 40.0]], bounds, [60.0, 40.0], [30.0, 70.0])
    assert table[0][0] == 20
    assert [sum(row) for row in table] == pytest.approx([60, 40])


# --- notation --------------------------------------------------------------------------------


def test_caps_strata_and_held_out_on_the_command_line() -> None:
    assert parse_cap("2x") == Cap(None, passes("2"))
    assert parse_cap("op=keep/a.jsonl=1.5x") == Cap("op=keep/a.jsonl", passes("1.5"))
    assert parse_cap("a.jsonl=1e6tokens") == Cap("a.jsonl", tokens(1_000_000))
    assert parse_held_out("test.jsonl") == HeldOut("test.jsonl", weight("0.05"))
    assert parse_held_out("test.jsonl=2%") == HeldOut("test.jsonl", weight("0.02"))
    assert parse_held_out("a=b/test.jsonl=500") == HeldOut("a=b/test.jsonl", rows(500))
    shares = {"a:b": Fraction(2), "c": Fraction(1, 2)}
    assert parse_strata("metadata.topic=a:b:2,c:50%") == Strata("metadata.topic", shares)
    assert parse_strata("operation=equal") == Strata("operation")


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_cap, "0.5", "is not a cap"),
        (parse_cap, "a.jsonl=many", "is not a cap"),
        (parse_held_out, "=0.1", "names no file"),
        (parse_held_out, "a=1.5", "between 0 and 1"),
        (parse_held_out, "a=5x", "hold out a share of the roots"),
        (parse_strata, "operation", "write a field and the shares"),
        (parse_strata, "operation=prefix", "write a value of operation and its share"),
        (parse_strata, "operation=keep:1,keep:2", "'keep' has two shares"),
        (parse_strata, "operation=keep:much", "'much' is not a share"),
        (parse_strata, "operation=keep:0", "No value of operation has a share above 0"),
        (parse_strata, "operation=sufx:1", r"no operation 'sufx' \(did you mean 'suffix'\?\)"),
        (parse_strata, "operations=equal", r"No record has a field 'operations' \(did you"),
        (parse_share, "2tokens", "is not a share"),
    ],
)
def test_invalid_notation(parse: Any, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(text)


KEEP = Strata("operation", {"keep": Fraction(1)})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (MixtureSpec([None], temperature=0.0), "must be above 0"),
        (MixtureSpec([rows(5), None], temperature=2.0), "not to sources with a count"),
        (MixtureSpec([weight("0.5")], temperature=2.0), "the temperature has no effect"),
        (MixtureSpec([weight("1.0"), None], temperature=2.0), "leave nothing"),
        (MixtureSpec([None], rows(9), caps=[tokens(5)]), "cannot be applied to amounts in rows"),
        (MixtureSpec([tokens(5)], caps=[rows(5)]), "cannot be applied to amounts in tokens"),
        (MixtureSpec([rows(5), tokens(5)], strata=KEEP), "Rows and tokens do not add up"),
        (MixtureSpec([weight("0.5"), weight("0.5")], strata=KEEP), "need a total"),
    ],
)
def test_contradictions(spec: MixtureSpec, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spec.check()


RECIPE = b"""
sources:
  - {path: sit.jsonl, weight: 0.4, cap: 3x}
  - path: it.jsonl
tokens: 200000
mix_temperature: 2
cap: 1000000tokens
shortfall: leave
stratify:
  by: operation
  shares: {prefix: 40%, suffix: 0.3, "*": 0.3}
held_out: {path: test.jsonl, amount: 500}
"""


def test_a_recipe_with_all_fields() -> None:
    recipe = read_recipe(RECIPE, "mix.yaml")
    shares = {"prefix": Fraction(2, 5), "suffix": Fraction(3, 10), "*": Fraction(3, 10)}
    assert recipe == MixRecipe(
        (MixtureSource(("sit.jsonl",), weight("0.4"), passes("3")), MixtureSource(("it.jsonl",))),
        tokens(200_000),
        temperature=2,
        cap=tokens(1_000_000),
        shortfall="leave",
        strata=Strata("operation", shares),
        held_out=HeldOut("test.jsonl", rows(500)),
    )
    resolved = json.dumps(as_document(recipe)).encode()
    assert read_recipe(resolved, "resolved") == recipe
    assert recipe.to_spec().caps == (passes("3"), tokens(1_000_000))
    capped = recipe.with_caps((Cap("it.jsonl", passes("1")), Cap(None, passes("9"))))
    assert capped.to_spec().caps == (passes("3"), passes("1"))
    with pytest.raises(UsageError, match=r"--cap x: there is no such source; there are sit\.jsonl"):
        recipe.with_caps((Cap("x", passes("1")),))


def test_a_file_may_be_a_source_twice() -> None:
    twice = MixRecipe((MixtureSource(("a",), weight("0.5")), MixtureSource(("a",), weight("0.5"))))
    assert twice.with_caps((Cap("a", rows(3)),)).to_spec().caps == (rows(3), rows(3))
    assert twice.with_caps(()) == twice


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"sources: [{path: a}]\ncap: 0.5", "cap: "),
        (b"sources: [{path: a}]\nstratify: {by: operation}", "stratify: 'shares' is missing"),
        (b"sources: [{path: a}]\nstratify: {by: operation, shares: most}", "stratify.shares: "),
        (b"sources: [{path: a}]\nheld_out: {amount: 5}", "held_out: 'path' is missing"),
        (b"sources: [{path: a}]\nheld_out: {path: t, amount: 1.5}", "between 0 and 1"),
        (b"sources: [{path: a}]\nshortfall: lend", "expected one of redistribute, leave"),
    ],
)
def test_errors_in_recipes_are_named(text: bytes, message: str) -> None:
    with pytest.raises((SeqitError, UsageError), match=message):
        read_recipe(text, "r.yaml")
