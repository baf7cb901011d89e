"""The keys of other tools' recipes, which the schemas answer with seqit's: `x-synonyms`."""

import json

import pytest
from support.paths import ROOT


def _synonyms():
    """Yield (schema, object, key of another tool, answer) for all schemas of recipes."""
    for path in sorted((ROOT / "schemas").glob("*.schema.json")):
        objects = [json.loads(path.read_bytes())]
        while objects:
            part = objects.pop()
            for key, answer in part.get("x-synonyms", {}).items():
                yield pytest.param(part, key, answer, id=f"{path.name}-{key}-{answer}")
            objects += [*part.get("properties", {}).values(), part.get("items", {})]
            objects = [each for each in objects if each]


@pytest.mark.parametrize(("part", "key", "answer"), [*_synonyms()])
def test_a_synonym_is_no_field_and_its_answer_is_one(part, key, answer):
    assert key not in part["properties"]
    field = part
    for name in answer.partition(",")[0].split("."):
        field = field["properties"][name]
