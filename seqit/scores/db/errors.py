"""DuckDB's errors as sentences: which file, which line, which columns there are."""

import re
from collections.abc import Mapping, Sequence

from seqit.errors import SeqitError
from seqit.records.validation import did_you_mean
from seqit.scores.db.columns import KINDS, path_of
from seqit.scores.db.staging import Staged, first_fault
from seqit.scores.db.views import NAMES

_ROW = re.compile(r'JSON transform error in file "(.*?)", in (line|record/value) (\d+): (.*)')
_MALFORMED = re.compile(r'Malformed JSON in file "(.*?)"')
_CUT_OFF = re.compile(r"No magic bytes found at end of file '(.*?)'")
_NO_COLUMN = re.compile(r'Referenced column "(.+?)" not found')
_NO_TABLE = re.compile(r"Table with name (.+?) does not exist")


def explain(
    error: Exception, files: Sequence[Staged], views: Mapping[str, Sequence[str]]
) -> SeqitError:
    """Return the error to raise instead; `views` gives each view's columns."""
    text = " ".join(str(error).partition("\n\nLINE ")[0].split())
    if found := _MALFORMED.search(text):
        file = next((f for f in files if str(f.path) == found[1]), None)
        fault = file and first_fault(file)
        if fault:
            return SeqitError(f"{fault}. seqit validate --rejects FILE finds every such row.")
    if found := _ROW.search(text):
        name = _names(found[1], files)
        what = found[4].split(" Try setting ")[0]
        unit = "line" if found[2] == "line" else "row"
        return SeqitError(
            f"{name}: {unit} {found[3]}: {what}. The row is not of its "
            "file's kind; seqit validate names the field."
        )
    if found := _NO_TABLE.search(text):
        return SeqitError(_no_view(found[1].strip('"'), views))
    if found := _CUT_OFF.search(text):
        return SeqitError(f"{_names(found[1], files)}: the Parquet file is damaged or cut off")
    if found := _NO_COLUMN.search(text):
        return SeqitError(_no_column(found[1], views))
    return SeqitError(f"The query failed. {_names(text, files)}")


def _names(text: str, files: Sequence[Staged]) -> str:
    for file in files:
        text = text.replace(str(file.path), file.name)
    return text


def _no_view(name: str, views: Mapping[str, Sequence[str]]) -> str:
    there = f"The files given hold: {', '.join(views)}" if views else "No file holds a row"
    if name in NAMES:
        return f"{name} is a view over scores: give a file of scores. {there}."
    if name in KINDS:
        hint = "; seqit import makes records of other formats" if name == "records" else ""
        return f"No {name} given: give a file of {name}{hint}. {there}."
    return f"There is no view {name!r}{did_you_mean(name, list(views))}. {there}."


def _no_column(name: str, views: Mapping[str, Sequence[str]]) -> str:
    path = path_of(name)
    known = [column for names in views.values() for column in names]
    hint = f" (did you mean {path}?)" if path else did_you_mean(name, known)
    listing = "; ".join(f"{view}({', '.join(names)})" for view, names in views.items())
    return f"There is no column {name!r}{hint}. The views: {listing}."
