"""Reading YAML recipes, checked against a schema of schemas/."""

import re
from typing import Any

import orjson

from seqit.errors import SeqitError
from seqit.records.validation import schema

_EXPONENT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+\Z")


def read_yaml(text: bytes, name: str, schema_name: str) -> Any:
    """Return the YAML document as JSON values; `name` is its name in error messages.

    Raises SeqitError, with the field, if it is not YAML or does not match the schema.
    """
    document = parse_yaml(text, name)
    check_document(document, name, schema_name)
    return document


def parse_yaml(text: bytes, name: str) -> Any:
    """Return the YAML document as JSON values; raises SeqitError if it is not YAML."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads 2e-5 as a number, as JSON and YAML 1.2 do; YAML 1.1 requires 2.0e-5."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    try:
        document = yaml.load(text, Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeqitError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    try:
        return orjson.loads(orjson.dumps(document))
    except (TypeError, orjson.JSONDecodeError) as error:
        message = f"{name} contains a value that JSON cannot represent: {error}; quote it"
        raise SeqitError(message) from None


def check_document(document: Any, name: str, schema_name: str) -> None:
    """Raise SeqitError, with the field, if the document does not match the schema."""
    document_schema = schema(schema_name)
    if not document_schema.is_valid(document):
        raise SeqitError(f"{name}: {document_schema.problems(document)[0]}")
