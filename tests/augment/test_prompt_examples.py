"""The example files: they import, their answers are right, and every method applies to them."""

import json
import re
import runpy
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from support.paths import ROOT

from seqit.augment import placebo
from seqit.augment.caption import method as caption
from seqit.augment.translate import method as translate
from seqit.checks import record_problems
from seqit.records.formats import alpaca, vqa
from seqit.records.normalize import normalize
from seqit.records.record import Record
from seqit.records.run_stats import Row, RunStats

EXAMPLES = ROOT / "examples"


def raw(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (EXAMPLES / name).read_text("utf-8").splitlines()]


def rows(name: str) -> Iterator[Row]:
    to_records = vqa.to_records if name == "vqa.jsonl" else alpaca.to_records
    for line, value in enumerate(raw(name), 1):
        for fields in to_records(value):
            yield Row(normalize(fields), name, line)


def values(found: Iterator[Row]) -> list[Record]:
    return [row.value for row in found]


def test_there_are_about_forty_different_seeds() -> None:
    ids = [
        row.value["id"] for name in ("seeds", "parallel", "vqa") for row in rows(f"{name}.jsonl")
    ]
    assert len(ids) == len(set(ids)) == 41


def test_every_seed_has_an_answer() -> None:
    for name in ("seeds", "parallel", "vqa"):
        assert all(row.value["output"].strip() for row in rows(f"{name}.jsonl"))


def test_the_equations_of_the_reasoning_are_right() -> None:
    found = 0
    for seed in raw("seeds.jsonl"):
        reasoning = seed.get("rationale", "")
        for left, right in re.findall(r"(\d[\d */+-]*?) = (\d+)", reasoning):
            value = eval(left, {"__builtins__": {}})  # noqa: S307 - digits and operators alone
            assert value == int(right), reasoning
            found += 1
        if seed["output"].isdigit():
            assert re.findall(r"= (\d+)", reasoning)[-1] == seed["output"]
    assert found == 15


def code(start: str) -> dict[str, Any]:
    (seed,) = (seed for seed in raw("seeds.jsonl") if seed["instruction"].startswith(start))
    (block,) = re.findall(r"```python\n(.*?)\n```", seed["output"], re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(block, namespace)  # noqa: S102 - our own example, read from the repository
    return namespace


def test_the_code_does_what_it_says() -> None:
    leap = code("Write a Python function `is_leap_year")["is_leap_year"]
    assert [leap(year) for year in (1900, 2000, 2023, 2024)] == [False, True, False, True]
    assert code("Find the mistake")["mean"]([1, 2, 6]) == 3
    assert code("Write a Python function `word_lengths")["word_lengths"]("a bee") == {
        "a": 1,
        "bee": 3,
    }


def test_the_chosen_options_are_among_the_options() -> None:
    seeds = [seed for seed in raw("seeds.jsonl") if "\nOptions:\n" in seed["instruction"]]
    assert len(seeds) == 4
    for seed in seeds:
        options = seed["instruction"].partition("\nOptions:\n")[2].splitlines()
        assert sum(option.removeprefix("- ").startswith(seed["output"]) for option in options) == 1


@pytest.mark.parametrize("variant", ["single-turn", "multi-turn", "crosslingual"])
def test_every_parallel_row_is_translated_from_both_languages(
    variant: translate.TranslateVariant,
) -> None:
    stats = RunStats("augment")
    found = translate.augment(
        rows("parallel.jsonl"), stats, seed=1, variant=variant, languages_per_row="all"
    )
    records = values(found)
    assert [r["metadata"]["translation"]["source"] for r in records] == ["de", "es"] * 6
    assert not stats.reasons
    assert [problem for record in records for problem in record_problems(record)] == []


def test_spans_of_the_text_are_spans_in_every_language() -> None:
    for row in raw("parallel.jsonl")[:2]:
        assert all(text["output"] in text["input"] for text in (row, *row["parallel"].values()))


def test_every_question_about_an_image_is_described_first() -> None:
    stats = RunStats("augment")
    records = values(caption.augment(rows("vqa.jsonl"), stats, seed=1))
    assert len(records) == 8
    assert not stats.reasons
    assert [problem for record in records for problem in record_problems(record)] == []


def test_every_seed_can_be_repeated_first() -> None:
    records = values(placebo.augment(rows("seeds.jsonl"), RunStats("augment"), seed=1))
    assert len(records) == 27
    assert [problem for record in records for problem in record_problems(record)] == []


def pixels(png: bytes) -> tuple[int, int, bytes]:
    width, height = struct.unpack(">II", png[16:24])
    (length,) = struct.unpack(">I", png[33:37])
    assert png[37:41] == b"IDAT"
    return width, height, zlib.decompress(png[41 : 41 + length])


def test_the_images_are_small_and_are_what_the_script_draws() -> None:
    script = runpy.run_path(str(EXAMPLES / "draw_images.py"))
    for name in ("house", "harbour"):
        png = (EXAMPLES / "images" / f"{name}.png").read_bytes()
        assert len(png) < 10_000
        # Compressed bytes may differ between versions of zlib; the pixels may not.
        assert pixels(png) == pixels(script[name]().png())


def test_the_images_of_the_questions_are_there() -> None:
    assert all((EXAMPLES / row["image"]).is_file() for row in raw("vqa.jsonl"))
