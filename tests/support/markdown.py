"""Parsing of Markdown tables."""

import re


def cells_of(line: str) -> list[str]:
    """Return the unescaped cells of a row of a Markdown table."""
    parts = re.split(r"(?<!\\)(?:\\\\)*\|", line.strip())[1:-1]
    return [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", part.strip()) for part in parts]
