"""A schema that accepts other rows than before has another version, and old files are named.

schema_digests.json has the digest of each schema under its version. After a change raise the
"version" in the schema, keep the old one as schemas/older/NAME.VERSION.schema.json if files of it
exist, and run this test with SEQIT_UPDATE_CASES=1.
"""

import hashlib
import json
import os
from pathlib import Path

import orjson
import pytest
from support.paths import ROOT

from seqit.records.validation import schema

FILE = Path(__file__).with_name("schema_digests.json")
SCHEMAS = sorted(path.name.split(".")[0] for path in (ROOT / "schemas").glob("*.schema.json"))
PROSE = ("title", "description", "version", "x-synonyms", "$comment")
OLD_MANIFEST = {
    **{"command": "filter", "version": "0.1.0", "options": {}, "sources": ["-"]},
    **dict.fromkeys(("read", "added", "written", "rejected", "failed", "merged"), 0),
    **{"reasons": {}, "complete": True},
}


def digest(name: str) -> str:
    """Hash what a schema accepts: the document without its prose."""

    def without_prose(part, is_properties=False):
        if isinstance(part, list):
            return [without_prose(each) for each in part]
        if not isinstance(part, dict):
            return part
        return {
            key: without_prose(value, key in ("properties", "$defs") and not is_properties)
            for key, value in part.items()
            if is_properties or key not in PROSE
        }

    document = without_prose(schema(name).document)
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def test_every_schema_is_there():
    assert len(SCHEMAS) >= 9


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_changed_schema_has_another_version(name):
    digests = json.loads(FILE.read_text())
    version = str(schema(name).version)
    if os.environ.get("SEQIT_UPDATE_CASES"):
        digests.setdefault(name, {}).setdefault(version, digest(name))
        FILE.write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n")
    assert digests[name].get(version) == digest(name), (
        f"schemas/{name}.schema.json accepts other documents than version {version} did: raise its "
        "version, then run this test with SEQIT_UPDATE_CASES=1"
    )


def test_prose_may_change_without_a_new_version(monkeypatch):
    document = schema("score").document
    before = digest("score")
    monkeypatch.setitem(document, "description", "Other words.")
    assert digest("score") == before
    monkeypatch.setitem(document["properties"], "description", {"type": "string"})
    assert digest("score") != before  # a property of this name is no prose


def test_validate_names_the_version_of_an_old_file(seqit, tmp_path):
    new = OLD_MANIFEST | {"schemas": {"manifest": 2}}
    broken = OLD_MANIFEST | {"read": -1}
    lines = b"".join(orjson.dumps(each) + b"\n" for each in (OLD_MANIFEST, new, broken))
    ran = seqit("validate", "--schema", "manifest", stdin=lines)
    assert ran.code == 3
    assert "1 row is of version 1 of the manifest schema; this seqit writes version 2" in ran.err
    assert "this seqit writes" not in seqit("validate", stdin=b'{"instruction":"a"}').err


def test_a_row_of_an_older_version_that_is_no_longer_valid_is_named_as_such(monkeypatch):
    check = schema("manifest")
    monkeypatch.setitem(check.document, "required", [*check.document["required"], "schemas"])
    problem, *_ = check.problems(OLD_MANIFEST)
    assert problem.message == (
        "'schemas' is missing (it is of version 1 of the manifest schema, this is 2)"
    )
    problem, *_ = check.problems(OLD_MANIFEST | {"read": -1})
    assert "version 1" not in problem.message


def test_a_manifest_names_the_versions(seqit, tmp_path):
    row = b'{"instruction":"Name a bird.","output":"Wren."}\n'
    seqit("filter", "--manifest", tmp_path / "m.json", stdin=row)
    manifest = json.loads((tmp_path / "m.json").read_text())
    assert manifest["schemas"] == {"manifest": 2, "record": 1}
    assert seqit("validate", "--schema", "manifest", tmp_path / "m.json").code == 0
