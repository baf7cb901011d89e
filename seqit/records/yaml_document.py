"""YAML files that tell a command what to do: read, and checked against a schema of schemas/."""

import re
from typing import Any

import orjson

from seqit.errors import SeqitError
from seqit.records.validation import schema

_EXPONENT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+\Z")


def read_document(text: bytes, name: str, schema_name: str) -> Any:
    """Return the YAML document as JSON values; `name` stands for it in errors.

    Raises SeqitError, with the field, where it is not YAML or does not match the schema.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads 2e-5 as a number, as JSON and YAML 1.2 have it; YAML 1.1 wants 2.0e-5."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    try:
        document = yaml.load(text, Loader)
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
