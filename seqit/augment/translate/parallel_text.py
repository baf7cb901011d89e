"""A row's content in several languages, as `metadata.parallel` holds it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from seqit.errors import RowError
from seqit.records.record import Record


class ParallelText(NamedTuple):
    """A row's content in one language; a part is empty where it is not known."""

    instruction: str
    input: str
    output: str


def texts_of(record: Record, language: str = "en") -> dict[str, ParallelText]:
    """Return the row's content by language code, its own language first.

    A row that does not name its language counts as `language`. Raises RowError where
    `metadata.parallel` has another form than {code: {instruction, input, output}}; a part that is
    empty or missing is not known in that language.
    """
    metadata = record.get("metadata", {})
    lead = metadata.get("language", language)
    if not isinstance(lead, str):
        raise RowError("metadata.language must be a language code.", "metadata.language")
    parallel = metadata.get("parallel", {})
    if not isinstance(parallel, dict):
        raise RowError("metadata.parallel must map language codes to rows.", "metadata.parallel")
    texts = {lead: ParallelText(record["instruction"], record["input"], record["output"])}
    for code, value in parallel.items():
        if code != lead:
            texts[code] = _text(value, f"metadata.parallel.{code}")
    return texts


def with_texts(record: Record, texts: Mapping[str, ParallelText]) -> Record:
    """Return the record with these texts, its own language first, where `texts_of` finds them."""
    lead, *others = texts
    metadata = record.get("metadata", {})
    known = metadata.get("parallel", {})
    parallel = {code: {**known.get(code, {}), **texts[code]._asdict()} for code in others}
    return {**record, "metadata": {**metadata, "language": lead, "parallel": parallel}}


def _text(value: Any, field: str) -> ParallelText:
    given = value if isinstance(value, dict) else {}
    parts = [given.get(part, "") for part in ParallelText._fields]
    if not (all(isinstance(part, str) for part in parts) and (parts[0] or parts[1])):
        message = f"{field} must hold an instruction or an input, and all parts as text."
        raise RowError(message, field)
    return ParallelText(*parts)
