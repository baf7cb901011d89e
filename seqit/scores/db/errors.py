"""DuckDB's errors as messages for people: which file, which line, which columns there are."""

import re
from collections.abc import Mapping, Sequence

from seqit.errors import SeqitError
from seqit.records.validation import did_you_mean
from seqit.scores.db.columns import VIEW_SCHEMAS, nested_path
from seqit.scores.db.staging import StagedFile, first_json_error
from seqit.scores.db.views import DERIVED_VIEWS

_ROW = re.compile(r'JSON transform error in file "(.*?)", in (line|record/value) (\d+): (.*)')
_MALFORMED = re.compile(r'Malformed JSON in file "(.*?)"')
_CUT_OFF = re.compile(r"No magic bytes found at end of file '(.*?)'")
_NO_COLUMN = re.compile(r'Referenced column "(.+?)" not found')
_NO_TABLE = re.compile(r"Table with name (.+?) does not exist")


def readable_error(
    error: Exception, files: Sequence[StagedFile], views: Mapping[str, Sequence[str]]
) -> SeqitError:
    """Return the error to raise instead; `views` has each view's columns."""
    text = " ".join(str(error).partition("\n\nLINE ")[0].split())
    if match := _MALFORMED.search(text):
        file = next((f for f in files if str(f.path) == match[1]), None)
        problem = file and first_json_error(file)
        if problem:
            return SeqitError(f"{problem}. seqit validate --rejects FILE finds every such row.")
    if match := _ROW.search(text):
        name = _with_source_names(match[1], files)
        what = match[4].split(" Try setting ")[0]
        unit = "line" if match[2] == "line" else "row"
        return SeqitError(
            f"{name}: {unit} {match[3]}: {what}. The row does not match the schema of its file's "
            "rows; seqit validate shows which field is wrong."
        )
    if match := _NO_TABLE.search(text):
        return SeqitError(_no_view(match[1].strip('"'), views))
    if match := _CUT_OFF.search(text):
        name = _with_source_names(match[1], files)
        return SeqitError(f"{name}: the Parquet file is damaged or cut off")
    if match := _NO_COLUMN.search(text):
        return SeqitError(_no_column(match[1], views))
    return SeqitError(f"The query failed. {_with_source_names(text, files)}")


def _with_source_names(text: str, files: Sequence[StagedFile]) -> str:
    for file in files:
        text = text.replace(str(file.path), file.name)
    return text


def _no_view(name: str, views: Mapping[str, Sequence[str]]) -> str:
    available = (
        f"The files given contain: {', '.join(views)}" if views else "No file contains a row"
    )
    if name in DERIVED_VIEWS:
        return f"{name} is a view over scores: give a file of scores. {available}."
    if name in VIEW_SCHEMAS:
        hint = "; seqit import makes records of other formats" if name == "records" else ""
        return f"No {name} given: give a file of {name}{hint}. {available}."
    return f"There is no view {name!r}{did_you_mean(name, list(views))}. {available}."


def _no_column(name: str, views: Mapping[str, Sequence[str]]) -> str:
    path = nested_path(name)
    known = [column for names in views.values() for column in names]
    hint = f" (did you mean {path}?)" if path else did_you_mean(name, known)
    listing = "; ".join(f"{view}({', '.join(names)})" for view, names in views.items())
    return f"There is no column {name!r}{hint}. The views: {listing}."
