"""near-duplicate: the result is that of an exact comparison of all pairs of n-gram sets."""

import itertools
import json
import math
import random
import re
import struct
import weakref
from collections import Counter

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqit.engine.spill import Spill
from seqit.errors import SeqitError, UsageError
from seqit.filter import apply, parse_rule
from seqit.filter.dedup.lsh import LshIndex, MinHashKey
from seqit.filter.dedup.minhash import SLOTS, bands_for, equal_slots, estimate_jaccard, sketcher
from seqit.filter.dedup.shingles import (
    _CHUNK_SIZE,
    jaccard,
    normalize_words,
    pack,
    shingler,
    unpack,
)
from seqit.records.run_stats import Row, RunStats

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def record(name: str, instruction: str, given: str = "", output: str = "x", **more: object) -> dict:
    lineage = {"root": name, "iteration": 0, "operation": "seed"}
    row = {"id": name, "instruction": instruction, "input": given, "output": output}
    return row | more | {"lineage": lineage}


def run_filter(rows: list[dict], rule: str = "near-duplicate") -> tuple[list[str], dict[str, dict]]:
    """Return the ids that pass, and the rejects by id."""
    rejects: dict[str, dict] = {}
    stats = RunStats("filter", lambda each: rejects.update({each["id"]: each}))
    passed = apply(map(Row, rows), [parse_rule(rule)], stats)
    return [row.value["id"] for row in passed], rejects


def text(rng: random.Random, length: int) -> list[str]:
    return [f"w{rng.randrange(3000)}" for _ in range(length)]


def edit(rng: random.Random, given: list[str], times: int) -> list[str]:
    result = list(given)
    for _ in range(times):
        result[rng.randrange(len(result))] = f"new{rng.randrange(3000)}"
    return result


def corpus(rng: random.Random, count: int, length: int = 60) -> list[dict]:
    """Texts, and copies with none to a few words changed."""
    texts = [text(rng, rng.randint(2, length))]
    for _ in range(count - 1):
        if rng.random() < 0.6:
            texts.append(edit(rng, rng.choice(texts), rng.randint(0, 3)))
        else:
            texts.append(text(rng, rng.randint(2, length)))
    return [record(f"r{n}", " ".join(each)) for n, each in enumerate(texts)]


def grams(row: dict, n: int = 5) -> set[tuple[str, ...]]:
    """The n-grams that the rule compares, by a simple implementation."""
    found = f"{row['instruction']}\n{row['input']}".casefold().split()
    if len(found) < n:
        return {tuple(found)} if found else set()
    return {tuple(found[start : start + n]) for start in range(len(found) - n + 1)}


def by_brute_force(rows: list[dict], threshold: float) -> tuple[list[str], dict[str, str]]:
    """Return the ids that pass, and for each rejected one the first near-duplicate."""
    kept: list[tuple[str, set]] = []
    rejected: dict[str, str] = {}
    for row in rows:
        own = grams(row)
        neighbours = (name for name, other in kept if own and jaccard(own, other) >= threshold)
        if (first := next(neighbours, None)) is None:
            if own:
                kept.append((row["id"], own))
        else:
            rejected[row["id"]] = first
    return [row["id"] for row in rows if row["id"] not in rejected], rejected


@pytest.mark.parametrize("seed", range(6))
def test_the_rejected_rows_are_those_of_a_comparison_of_all_pairs(seed):
    rows = corpus(random.Random(seed), 250)
    passed, rejects = run_filter(rows)
    shingles = {row["id"]: grams(row) for row in rows}
    for name, reject in rejects.items():
        evidence = reject["evidence"]
        exact = jaccard(shingles[name], shingles[evidence["duplicate_of"]])
        assert exact >= 0.8
        assert evidence["jaccard"] == round(exact, 4)
        assert abs(evidence["estimated_jaccard"] - exact) < 0.25
        assert evidence["duplicate_of"] in passed
    kept, rejected = by_brute_force(rows, 0.8)
    assert len(rejected) > 40
    # 1 % of the pairs exactly at the threshold may be missed.
    assert len(rejects) >= 0.98 * len(rejected)
    assert len(set(passed) ^ set(kept)) <= 2


def test_equal_texts_are_always_found():
    rows = corpus(random.Random(1), 300)
    copies = [row | {"id": f"again-{row['id']}"} for row in rows]
    first, _ = run_filter(rows, "near-duplicate:threshold=1")
    second, rejects = run_filter([*rows, *copies], "near-duplicate:threshold=1")
    assert second == first
    assert all(reject["evidence"]["jaccard"] == 1 for reject in rejects.values())


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_the_bands_find_99_in_100_pairs_at_the_threshold(threshold):
    bands, rows = bands_for(threshold)
    assert bands * rows <= SLOTS
    assert 1 - (1 - threshold**rows) ** bands >= 0.99


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 150), st.integers(0, 150), st.integers(0, 150), st.integers(0, 2**32))
def test_the_estimate_is_close_to_the_exact_index(both, first, second, seed):
    rng = random.Random(seed)
    pool = [f"w{rng.getrandbits(40)}" for _ in range(both + first + second)]
    texts = [" ".join(pool[: both + first]), " ".join(pool[:both] + pool[both + first :])]
    shingles = shingler(1)(texts, [b"", b""])
    exact = jaccard(*sets(shingles))
    assert exact == pytest.approx(both / (both + first + second), abs=1e-4)
    own, theirs = (row.tobytes() for row in sketcher(0.8)(shingles).signatures)
    assert abs(estimate_jaccard(equal_slots(own, theirs)) - exact) < 0.33


def sets(shingles) -> list[set[int]]:
    """The shingles of each text."""
    starts = [0, *shingles.ends.tolist()]
    return [unpack(pack(shingles.hashes[a:b])) for a, b in itertools.pairwise(starts)]


def words(given: str) -> list[bytes]:
    return normalize_words(given).split()


TEXTS = st.lists(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \n\0ab")),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(1, 6))
def test_the_shingles_of_a_batch_are_those_of_its_texts(texts, n):
    """In any batch, a text has one hash for each run of words, and no other."""
    shingle = shingler(n)
    batch = sets(shingle(texts, [b""] * len(texts)))
    hashes: dict[tuple[bytes, ...], set[int]] = {}
    for text, found in zip(texts, batch, strict=True):
        assert sets(shingle([f"  {text} \n"], [b""])) == [found]
        assert sets(shingle([text], [b"context"])) != [found] or not found
        each = words(text)
        runs = {tuple(each[at : at + n]) for at in range(max(1, len(each) - n + 1)) if each}
        assert len(found) == len(runs)
        for run in runs:
            one = hashes.setdefault(run, sets(shingle([b" ".join(run).decode()], [b""]))[0])
            assert one <= found
    assert len(set().union(*hashes.values())) == len(hashes)


def test_long_texts_and_words_are_hashed_in_chunks():
    shingle = shingler(3)
    text = " ".join(f"word{number}" for number in range(60_000))
    assert len(text) > 2 * _CHUNK_SIZE
    whole, parts = sets(shingle([text, "a b c"], [b"", b""])), text.split()
    assert len(whole[0]) == len(parts) - 2
    assert whole[1] == sets(shingle(["a b c"], [b""]))[0]
    for at in range(0, len(parts) - 2, 997):
        assert sets(shingle([" ".join(parts[at : at + 3])], [b""]))[0] <= whole[0]
    assert len(sets(shingle(["x" * (2 * _CHUNK_SIZE + 5)], [b""]))[0]) == 1


def test_words():
    assert words("Say  5+3,\tnow\x1fplease.\n") == [b"say", b"5+3,", b"now", b"please."]
    assert words("Straße ÉTÉ") == [b"strasse", "été".encode()]
    assert words("e\u0301t") == words("\u00e9t")
    assert words("请翻译Hello world。") == [
        w.encode() for w in ("请", "翻", "译", "hello", "world", "。")
    ]
    assert len(words("แปลประโยคนี้")) == 12
    assert words("\ud800 a") == [b"\xed\xa0\x80", b"a"]


LONG = "Write a short story about a lighthouse keeper who finds a letter in a bottle at dawn"


def test_scripts_without_spaces_are_compared_by_characters():
    chinese = (
        "请把下面这段关于海洋污染及其对沿海渔业社区长期影响的文字翻译成通顺自然的英语并保留所有数字"
    )
    rows = [
        record("a", chinese),
        record("b", chinese + "。"),
        record("c", "请写一首关于春天的诗，要求押韵，并且提到花、雨和燕子三种意象。"),
    ]
    passed, rejects = run_filter(rows)
    assert passed == ["a", "c"]
    characters = len(chinese) - 4
    assert rejects["b"]["evidence"]["jaccard"] == round(characters / (characters + 1), 4)


def test_short_texts_are_near_duplicates_only_if_their_words_are_equal():
    texts = ["Name a tree.", "name a  TREE.", "Name a town.", "Name 3 trees", "Name 4 trees", "Hi"]
    passed, rejects = run_filter([record(f"r{n}", each) for n, each in enumerate(texts)])
    assert passed == ["r0", "r2", "r3", "r4", "r5"]
    assert rejects["r1"]["evidence"]["duplicate_of"] == "r0"


def test_records_without_words_in_the_fields_pass():
    rows = [record("a", "Name a tree."), record("b", "Name a town."), record("c", "Go", " \n ")]
    assert run_filter(rows, "near-duplicate:fields=input") == (["a", "b", "c"], {})


def test_a_template_with_other_content_passes():
    frame = "Read the text and answer the question with yes or no, then explain it. Text: {} {}"
    rng = random.Random(3)
    rows = [
        record(f"r{n}", frame.format(" ".join(text(rng, 14)), "Is it true?")) for n in range(200)
    ]
    assert run_filter(rows)[1] == {}


def test_the_fields_are_compared_as_one_text():
    rows = [record("a", f"{LONG}:", "the sea was calm"), record("b", f"{LONG}: the sea was calm")]
    assert run_filter(rows)[0] == ["a"]


def test_other_fields():
    story = "Once there was a keeper who saw a bottle drift in with the morning tide and smiled"
    rows = [record("a", LONG, output=story), record("b", "Tell me a tale", output=story)]
    passed, rejects = run_filter(rows, "near-duplicate:fields=output,ngram=3,threshold=0.9")
    assert passed == ["a"]
    assert rejects["b"]["message"] == (
        "100.0% of the runs of 3 words in the output are common to it and record a, which came "
        "first and stays; the limit is 90.0%"
    )


@pytest.mark.parametrize(
    "more", [{"system": "Be brief."}, {"images": ["b.png"]}, {"history": [["Hello", "Hi"]]}]
)
def test_one_question_in_another_context_passes(more):
    rows = [record("a", LONG), record("b", LONG, **more), record("c", LONG + " again", **more)]
    passed, rejects = run_filter(rows)
    assert passed == ["a", "b"]
    assert rejects["c"]["evidence"]["duplicate_of"] == "b"


def test_a_record_that_another_rule_rejects_is_not_remembered():
    rows = [record("a", LONG, output="one two three"), record("b", LONG + " today")]
    stats = RunStats("filter")
    rules = [parse_rule("near-duplicate"), parse_rule("length:field=output,max_words=2")]
    assert [row.value["id"] for row in apply(map(Row, rows), rules, stats)] == ["b"]


def write(path, rows):
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_against_files(ending, tmp_path, seqit):
    old = [record("old", LONG), record("twin", LONG)]
    older = write(
        tmp_path / "older.jsonl", [record("older", "Name the five largest lakes on earth")]
    )
    file = write(tmp_path / "old.jsonl", old)
    if ending == "parquet":
        file = tmp_path / "old.parquet"
        assert seqit("validate", tmp_path / "old.jsonl", "-o", file).code == 0
    rows = [
        record("a", LONG + " now"),
        record("b", "name the five largest  lakes on earth"),
        record("c", "Name the five largest lakes of Europe, please"),
        record("d", "Name the five largest lakes of europe, please"),
    ]
    rejects, manifest = tmp_path / "rejects", tmp_path / "manifest"
    rule = f"near-duplicate:against={file}+{older}"
    ran = seqit(
        *("filter", "-q", "--no-defaults", "-r", rule, "--rejects", rejects),
        *("--manifest", manifest, write(tmp_path / "rows", rows)),
    )
    assert [row["id"] for row in ran.rows] == ["c"]
    rejects_by_id = {
        each["id"]: each for each in map(orjson.loads, rejects.read_bytes().splitlines())
    }
    assert rejects_by_id["a"]["evidence"]["duplicate_of"] == "old"
    assert rejects_by_id["a"]["evidence"]["file"] == str(file)
    assert f"common to it and record old of {file}; the limit" in rejects_by_id["a"]["message"]
    assert rejects_by_id["b"]["evidence"]["file"] == str(older)
    assert "file" not in rejects_by_id["d"]["evidence"]
    (counts,) = json.loads(manifest.read_bytes())["counts"]["rules"].values()
    assert counts == {"seen": 4, "removed": 3, "against": 3}


def test_a_missing_or_invalid_file_in_against_is_an_error(tmp_path):
    with pytest.raises(SeqitError, match=re.escape("none.jsonl: no such file")):
        parse_rule("near-duplicate:against=none.jsonl")
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b'{"instruction": 3, "output": "x"}\n')
    with pytest.raises(SeqitError, match=re.escape(f"{bad}:1: ")):
        run_filter([record("a", LONG)], f"near-duplicate:against={bad}")


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("threshold=0", "a number from 0.1 to 1; found '0'"),
        ("threshold=80%", "a number from 0.1 to 1; found '80%'"),
        ("threshold=nan", "a number from 0.1 to 1; found 'nan'"),
        ("ngram=0", "a whole number from 1 to 100; found '0'"),
        ("memory=400", "a size such as 400MB or 2GB, 1MB or more; found '400'"),
        ("memory=infGB", "a size such as 400MB or 2GB, 1MB or more; found 'infGB'"),
        ("memory=0.5MB", "a size such as 400MB or 2GB, 1MB or more; found '0.5MB'"),
        ("against=-", "one or more files joined by '+', and not standard input; found '-'"),
    ],
)
def test_invalid_parameters(parameter, message):
    with pytest.raises(UsageError, match=re.escape(f"must be {message}")):
        parse_rule(f"near-duplicate:{parameter}")


def test_parameters_are_written_as_a_user_writes_them():
    rule = "near-duplicate:fields=output,threshold=0.75,ngram=3,memory=1.5GB"
    assert str(parse_rule(rule)) == rule
    assert str(parse_rule("near-duplicate:memory=400MB")) == "near-duplicate"


@pytest.mark.parametrize("batch_size", [1, 7, 400])
def test_tables_on_disk_return_the_same_as_in_memory(batch_size):
    """Tables of a few hundred records each: all but the last are on disk."""
    rng = random.Random(5)
    bands = bands_for(0.8)[0]
    spill = Spill()
    small, large = LshIndex(bands, 40, 60_000, spill), LshIndex(bands, 40, 1 << 30, spill)
    first = weakref.ref(small._table)
    numbers = [tuple(rng.randrange(3000) << 20 for _ in range(bands)) for _ in range(1200)]
    signatures = [rng.choice((b"a", b"b")) * 30 + b"c" * (SLOTS - 30) for _ in numbers]
    keys = [
        MinHashKey(struct.pack(f"{bands}I", *each), signature, b"")
        for each, signature in zip(numbers, signatures, strict=True)
    ]
    for start in range(0, len(keys), batch_size):
        batch = keys[start : start + batch_size]
        for index in (small, large):
            index.prefetch(batch)
        for number, key in enumerate(batch, start):
            found = large.find(key)
            assert small.find(key) == found
            expected = [
                place
                for place in range(number)
                if any(map(int.__eq__, numbers[place], numbers[number]))
                and signatures[place] == signatures[number]
            ]
            assert [each.offset for each in found] == expected
            assert all(each.equal == SLOTS for each in found)
            for index in (small, large):
                index.add(key, number, 7)
    assert len(small._on_disk) > 4 and not large._on_disk
    assert first() is None  # freed at once, without waiting for a garbage collection


def test_spilled_bytes_come_back():
    rng = random.Random(2)
    spill = Spill()
    parts = [rng.randbytes(rng.choice((0, 1, 40, 3000, 1_100_000))) for _ in range(300)]
    places = []
    for part in parts:
        places.append(spill.append(part))
        back = rng.randrange(len(places))
        assert spill.read(places[back], len(parts[back])) == parts[back]
    for place, part in zip(places, parts, strict=True):
        assert spill.read(place, len(part)) == part


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """4 MB, so that workers start."""
    rng = random.Random(11)
    rows = corpus(rng, 6000, 120)
    return write(tmp_path_factory.mktemp("near") / "rows.jsonl", rows)


def test_workers_and_spilling_change_nothing(many, tmp_path, seqit):
    results = {}
    for workers in (1, 2):
        for memory in ("400MB", "1MB"):
            rejects = tmp_path / "rejects"
            rule = f"near-duplicate:memory={memory}"
            ran = seqit(
                *("filter", "-q", "--workers", workers, "-r", rule, "--rejects", rejects, many)
            )
            results[workers, memory] = (ran.code, ran.out, rejects.read_bytes(), ran.err)
    first = results[1, "400MB"]
    stages = Counter(each["stage"] for each in map(orjson.loads, first[2].splitlines()))
    assert stages["near-duplicate"] > 500
    assert first[0] == 0
    assert all(result == first for result in results.values())


def exact_neighbours(rows: list[dict], threshold: float) -> dict[str, list[tuple[str, float]]]:
    """Return for each row all earlier rows at or above the threshold, exactly.

    Two sets at the threshold share one of their rarest members (Bayardo, Ma and Srikant 2007).
    """
    sets = {row["id"]: grams(row) for row in rows}
    frequency = Counter(gram for each in sets.values() for gram in each)
    by_gram: dict[tuple[str, ...], list[str]] = {}
    found: dict[str, list[tuple[str, float]]] = {}
    for name, own in sets.items():
        rarest = sorted(own, key=lambda gram: (frequency[gram], gram))
        rarest = rarest[: len(own) - math.ceil(threshold * len(own)) + 1]
        others = dict.fromkeys(other for gram in rarest for other in by_gram.get(gram, ()))
        neighbours = [(other, jaccard(own, sets[other])) for other in others]
        found[name] = [(other, exact) for other, exact in neighbours if exact >= threshold]
        for gram in rarest:
            by_gram.setdefault(gram, []).append(name)
    return found


@pytest.mark.slow
def test_flancot(data, tmp_path, seqit):
    """Templates, multiple choice, questions on one subject: all rows of a real data set."""
    sources = sorted((data / "flancot").glob("*.tsv"))
    rows = seqit("import", "-q", "--format", "flancot", *sources).rows
    unique = list({row["id"]: row for row in rows}.values())
    passed, rejects = run_filter(unique)
    neighbours = exact_neighbours(unique, 0.8)
    kept = set(passed)
    for name, reject in rejects.items():
        evidence = reject["evidence"]
        assert (evidence["duplicate_of"], evidence["jaccard"]) in [
            (other, round(exact, 4)) for other, exact in neighbours[name]
        ]
        assert evidence["duplicate_of"] in kept
    missed = [name for name in passed if any(other in kept for other, _ in neighbours[name])]
    assert len(rejects) > 100
    assert len(missed) <= 0.02 * len(rejects)
