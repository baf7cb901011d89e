"""Markdown tables read as their readers do."""

import re


def cells_of(line: str) -> list[str]:
    """Return the cells of a row of Markdown, read as its readers do."""
    parts = re.split(r"(?<!\\)(?:\\\\)*\|", line.strip())[1:-1]
    return [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", part.strip()) for part in parts]
