"""A row's content in several languages, as `metadata.parallel` holds it."""

from typing import Any, NamedTuple

from seqit.errors import RowError
from seqit.records.record import Record

_NAMES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "sw": "Swahili", "te": "Telugu", "th": "Thai", "tr": "Turkish",  # codespell:ignore te
    "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


class Text(NamedTuple):
    """A row's content in one language."""

    instruction: str
    input: str
    output: str


def language_name(code: str) -> str:
    """Return the English name of a language (ISO 639-1); the code itself if it is not common."""
    return _NAMES.get(code, code)


def texts_of(record: Record) -> dict[str, Text]:
    """Return the row's content by language code, its own language first.

    A row that does not name its language counts as English. Raises RowError where
    `metadata.parallel` has another form than {code: {instruction, input, output}}.
    """
    metadata = record.get("metadata", {})
    lead = metadata.get("language", "en")
    if not isinstance(lead, str):
        raise RowError("metadata.language must be a language code.", "metadata.language")
    parallel = metadata.get("parallel", {})
    if not isinstance(parallel, dict):
        raise RowError("metadata.parallel must map language codes to rows.", "metadata.parallel")
    texts = {lead: Text(record["instruction"], record["input"], record["output"])}
    for code, value in parallel.items():
        if code != lead:
            texts[code] = _text(value, f"metadata.parallel.{code}")
    return texts


def _text(value: Any, field: str) -> Text:
    given = value if isinstance(value, dict) else {}
    instruction, rest = given.get("instruction"), (given.get("input", ""), given.get("output", ""))
    if not (instruction and all(isinstance(part, str) for part in (instruction, *rest))):
        raise RowError(f"{field} must hold an instruction, an input and an output as text.", field)
    return Text(instruction, *rest)
