"""Read and write a row's content in several languages (`metadata.parallel`)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from seqit.errors import RowError
from seqit.records.record import Record


class ParallelText(NamedTuple):
    """A row's content in one language; a missing part is empty."""

    instruction: str
    input: str
    output: str


def texts_of(record: Record, language: str = "en") -> dict[str, ParallelText]:
    """Return the row's content by language code, the row's own language first.

    language: the language of a row without `metadata.language`. Raises RowError if
    `metadata.parallel` is not {code: {instruction, input, output}}; parts may be empty or missing.
    """
    metadata = record.get("metadata", {})
    own_language = metadata.get("language", language)
    if not isinstance(own_language, str):
        raise RowError("metadata.language must be a language code.", "metadata.language")
    parallel = metadata.get("parallel", {})
    if not isinstance(parallel, dict):
        raise RowError("metadata.parallel must map language codes to rows.", "metadata.parallel")
    texts = {own_language: ParallelText(record["instruction"], record["input"], record["output"])}
    for code, value in parallel.items():
        if code != own_language:
            texts[code] = _parse_text(value, f"metadata.parallel.{code}")
    return texts


def with_texts(record: Record, texts: Mapping[str, ParallelText]) -> Record:
    """Return the record with these texts stored in its metadata; the reverse of `texts_of`."""
    own_language, *codes = texts
    metadata = record.get("metadata", {})
    previous = metadata.get("parallel", {})
    parallel = {code: {**previous.get(code, {}), **texts[code]._asdict()} for code in codes}
    return {**record, "metadata": {**metadata, "language": own_language, "parallel": parallel}}


def _parse_text(value: Any, field: str) -> ParallelText:
    fields = value if isinstance(value, dict) else {}
    parts = [fields.get(part, "") for part in ParallelText._fields]
    if not (all(isinstance(part, str) for part in parts) and (parts[0] or parts[1])):
        message = f"{field} must hold an instruction or an input, and all parts as text."
        raise RowError(message, field)
    return ParallelText(*parts)
