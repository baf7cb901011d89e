"""Token prices by model, from prices.json in this package or a file of the user."""

import json
import math
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from seqit.errors import SeqitError, UsageError

EXAMPLE = '{"MODEL": {"input": 0.5, "output": 1.5}}'
"""A price file, as shown in error messages."""

_NOTES = ("note", "checked")
_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{2}-\d{4}|\d{4})")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens of the prompt, and of the completion."""

    input: float
    output: float

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return the cost of these tokens in US dollars."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6

    def halved(self) -> "Price":
        """Return half of the price, which providers charge for batch requests."""
        return Price(self.input / 2, self.output / 2)


@dataclass(frozen=True)
class Prices:
    """Prices by model name."""

    table: dict[str, Price]

    @classmethod
    def load(cls, path: Path | None = None) -> "Prices":
        """Read a price file, by default the one in this package.

        A file is a JSON object, model → {"input", "output"} in US dollars per million tokens; the
        keys "note" and "checked" may have text. Raises SeqitError if it is anything else.
        """
        if path is None:
            text = (
                resources.files("seqit.llm.scheduling").joinpath("prices.json").read_text("utf-8")
            )
            return cls(_parse_table(text, "prices.json"))
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise SeqitError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SeqitError(f"{path} is not UTF-8 text; a price file is {EXAMPLE}") from None
        return cls(_parse_table(text, str(path)))

    def price_of(self, model: str) -> Price | None:
        """Return the price of a model by its name, with or without a date at the end; else None.

        gpt-4o-2024-08-06 has the price of gpt-4o, gpt-4o-mini does not.
        """
        if model in self.table:
            return self.table[model]
        known = [name for name in self.table if _is_dated(model, name)]
        return self.table[max(known, key=len)] if known else None


def _is_dated(model: str, name: str) -> bool:
    return model.startswith(name) and _DATE.fullmatch(model, len(name)) is not None


def missing_price_error(model: str) -> UsageError:
    """Return the error for --max-cost with a model that has no price."""
    return UsageError(
        f"the price of {model} is not known, and --max-cost needs it; write it to a file, "
        f"{EXAMPLE.replace('MODEL', model)} with US dollars per million tokens, and pass the file "
        "with --prices"
    )


def _parse_table(text: str, name: str) -> dict[str, Price]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise SeqitError(f"{name}{line}: not valid JSON; a price file is {EXAMPLE}") from None
    if not isinstance(content, dict):
        raise SeqitError(f"{name}: a price file is one JSON object, {EXAMPLE}")
    return {
        model: _parse_price(value, f"{name}: {model!r}")
        for model, value in content.items()
        if not (model in _NOTES and isinstance(value, str))
    }


def _parse_price(value: Any, where: str) -> Price:
    if not isinstance(value, dict):
        raise SeqitError(f'{where} must be an object, {{"input": 0.5, "output": 1.5}}')
    if unknown := [key for key in value if key not in ("input", "output")]:
        raise SeqitError(f'{where} has {unknown[0]!r}; only "input" and "output" are allowed')
    for key in ("input", "output"):
        if key not in value:
            raise SeqitError(f"{where} lacks {key!r}: US dollars per million tokens")
        number = value[key]
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise SeqitError(f"{where}, {key!r} must be a number: US dollars per million tokens")
        if not (math.isfinite(number) and number >= 0):
            raise SeqitError(f"{where}, {key!r} is {number}; a price must be 0 or more")
    return Price(float(value["input"]), float(value["output"]))
