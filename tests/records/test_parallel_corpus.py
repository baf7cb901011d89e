"""Pairing: the same row in several languages becomes one record; no row is lost."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import DATA

from seqit.errors import UsageError
from seqit.records.formats import complete_record, load_format
from seqit.records.parallel_corpus import language_of, pair
from seqit.records.run_stats import Row, RunStats


def row(text, line=0, source="f", **metadata):
    fields = {"instruction": text, "input": "", "output": text.upper()}
    if metadata:
        fields["metadata"] = metadata
    return Row(complete_record(fields, "alpaca", source), source, line)


def run(**streams):
    """Return the records, and each row that failed as (instruction, reason)."""
    failed = []
    stats = RunStats("import", failed.append)
    stats.read = sum(map(len, streams.values()))
    records = []
    for found in pair({code: iter(rows) for code, rows in streams.items()}, stats):
        stats.written += 1
        records.append(found.value)
    stats.close()
    return records, [(each["row"]["instruction"], each["reason"]) for each in failed]


def texts(records):
    return [
        (
            record["instruction"],
            *(t["instruction"] for t in record["metadata"]["parallel"].values()),
        )
        for record in records
    ]


def test_rows_with_one_id_become_one_record_in_the_first_language():
    english, german = row("one", id="q", title="T"), row("eins", id="q", title="Name")
    [record], failed = run(en=[english], de=[german])
    assert not failed
    assert record == {
        **english.value,
        "metadata": {
            "id": "q",
            "title": "T",
            "language": "en",
            "parallel": {"de": {"instruction": "eins", "input": "", "output": "EINS"}},
        },
    }
    assert list(record) == list(english.value)
    assert "language" not in english.value["metadata"]


def test_ids_match_in_any_order_but_not_across_types():
    english = [row("one", id=1), row("two", id="2"), row("none", id="3")]
    german = [row("zwei", id="2"), row("keins", id=3), row("eins", id=1)]
    records, failed = run(en=english, de=german)
    assert texts(records) == [("one", "eins"), ("two", "zwei")]
    assert failed == [("none", "unpaired"), ("keins", "unpaired")]


def test_rows_without_ids_are_paired_by_line_so_that_a_lost_line_shifts_no_other():
    english = [row("one", 1), row("two", 2), row("three", 3)]
    german = [row("eins", 1), row("drei", 3), row("vier", 4)]
    records, failed = run(en=english, de=german)
    assert texts(records) == [("one", "eins"), ("three", "drei")]
    assert failed == [("two", "unpaired"), ("vier", "unpaired")]


def test_rows_of_one_line_and_of_several_files_are_paired_in_order():
    english = [row("a", 1), row("b", 1), row("c", 1, source="g")]
    german = [row("A", 1, source="x"), row("B", 1, source="x"), row("C", 1, source="y")]
    assert texts(run(en=english, de=german)[0]) == [("a", "A"), ("b", "B"), ("c", "C")]


def test_a_row_must_exist_in_every_language():
    records, failed = run(
        en=[row("one", id=1), row("two", id=2)],
        de=[row("eins", id=1), row("zwei", id=2)],
        es=[row("uno", id=1)],
    )
    assert texts(records) == [("one", "eins", "uno")]
    assert failed == [("two", "unpaired"), ("zwei", "unpaired")]


def test_the_later_row_with_a_duplicate_id_fails_in_each_language():
    records, failed = run(
        en=[row("one", id=1), row("once more", id=1)],
        de=[row("eins", id=1), row("noch eins", id=1)],
    )
    assert texts(records) == [("one", "eins")]
    assert sorted(failed) == [("noch eins", "duplicate"), ("once more", "duplicate")]


@pytest.mark.parametrize("name", ["language", "parallel"])
def test_a_column_is_not_overwritten(name):
    records, failed = run(en=[row("one", 1, **{name: "x"})], de=[row("eins", 1)])
    assert not records
    assert failed == [("one", "column-taken"), ("eins", "column-taken")]


def test_the_first_language_streams():
    stats = RunStats("import")
    english = (row(str(number), number) for number in range(1, 1000))
    german = (row(f"de {number}", number) for number in range(1, 1000))
    pairs = pair({"en": english, "de": german}, stats)
    assert next(pairs).value["instruction"] == "1"
    assert next(english).value["instruction"] == "2"


def test_one_language_is_an_error():
    with pytest.raises(UsageError, match="two languages"):
        next(pair({"en": iter([])}, RunStats("import")))


ids = st.none() | st.integers(0, 5) | st.sampled_from(["0", "a", [0], {"a": 1}, False])
streams = st.lists(st.tuples(ids, st.integers(0, 6)), max_size=8)


@given(en=streams, de=streams, es=streams)
def test_every_row_is_written_merged_or_failed(en, de, es):
    languages = {
        code: [row(f"{code} {n}", line, id=key) for n, (key, line) in enumerate(rows)]
        for code, rows in {"en": en, "de": de, "es": es}.items()
    }
    records, failed = run(**languages)  # checks that the counts add up
    assert 3 * len(records) + len(failed) == len(en) + len(de) + len(es)


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("xquad.de.json", "de"),
        ("mgsm_sw.tsv", "sw"),
        ("a/b.c/alpaca-zh.jsonl.gz", "zh"),
        ("en.json", "en"),
        ("data_qa.json", None),
        ("seeds.jsonl", None),
        ("<stdin>", None),
        ("", None),
    ],
)
def test_the_language_is_read_from_the_end_of_the_name(name, language):
    assert language_of(name) == language


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not at ../shared/data")
def test_xquad_gives_a_pair_for_every_question_with_both_published_answers():
    xquad = load_format("xquad")

    def read(code):
        name = f"xquad.{code}.json"
        document = json.loads((DATA / "xquad" / name).read_bytes())
        items = list(xquad.items(document))
        return items, [
            Row(complete_record(fields, "xquad", name), name)
            for item in items
            for fields in xquad.to_records(item)
        ]

    (english, en), (german, de) = read("en"), read("de")
    records, failed = run(en=en, de=de)
    assert (len(records), failed) == (1190, [])
    answers = {item["id"]: item["answers"][0]["text"] for item in german}
    for item, record in zip(english, records, strict=True):
        assert record["output"] == item["answers"][0]["text"]
        assert record["metadata"]["parallel"]["de"]["output"] == answers[item["id"]]


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not at ../shared/data")
def test_mgsm_pairs_line_by_line():
    def read(code):
        path = DATA / "mgsm" / f"mgsm_{code}.tsv"
        lines = path.read_text(encoding="utf-8").splitlines()
        return [
            Row(complete_record(fields, "mgsm", path.name), path.name, number)
            for number, line in enumerate(lines, start=1)
            for fields in load_format("mgsm").to_records(line)
        ]

    records, failed = run(en=read("en"), de=read("de"), sw=read("sw"))
    assert (len(records), failed) == (250, [])
    for record in records:
        outputs = {text["output"] for text in record["metadata"]["parallel"].values()}
        assert outputs == {record["output"]}
