"""YAML files that tell a command what to do: read, and checked against a schema of schemas/."""

from typing import Any

import orjson

from seqit.errors import SeqitError
from seqit.records.validation import schema


def read_document(text: bytes, name: str, schema_name: str) -> Any:
    """Return the YAML document as JSON values; `name` stands for it in errors.

    Raises SeqitError, with the field, where it is not YAML or does not match the schema.
    """
    import yaml

    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeqitError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    try:
        document = orjson.loads(orjson.dumps(document))
    except (TypeError, orjson.JSONDecodeError) as error:
        raise SeqitError(f"{name} holds a value that JSON has not: {error}; quote it") from None
    check = schema(schema_name)
    if not check.is_valid(document):
        raise SeqitError(f"{name}: {check.problems(document)[0]}")
    return document
