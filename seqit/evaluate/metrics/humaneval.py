"""HumanEval: the code of an answer, and the unbiased estimate of pass@k."""

import ast
import re
from math import comb

from seqit.evaluate.metrics.base import Unscorable
from seqit.records.record import Record

NAME = "humaneval"
DESCRIPTION = "pass: the tests hold on the answer's code; runs it, so --allow-code-execution"

_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.M | re.S
)
_LANGUAGES = frozenset(("", "python", "py", "python3"))
_DEFINITIONS = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom),
    *(ast.Assign, ast.AnnAssign, ast.AugAssign),
)


def tests_of(item: Record) -> tuple[str, str, str]:
    """Return prompt, test and name of the function; raises Unscorable."""
    metadata = item.get("metadata", {})
    test, name = metadata.get("test"), metadata.get("entry_point")
    for key, value in (("test", test), ("entry_point", name)):
        if not isinstance(value, str) or not value.strip():
            message = f"the item has no {key}, so nothing can be tested"
            raise Unscorable("no-reference", message, f"item.metadata.{key}")
    return item["input"], str(test), str(name)


def program(answer: str, prompt: str, name: str) -> str:
    """Return the program that the answer makes of the prompt; empty where it holds no code.

    In order: the first fenced block that defines the function, with what stands before the
    function in the prompt; else the first fenced block as the function's body, indented where it
    is not; without a fence a definition of the function with the definitions that follow it; else
    the answer is the body as it stands, up to where its code ends. Nothing is ever mended.
    """
    blocks = [match[3] for match in _FENCE.finditer(answer) if match[2].casefold() in _LANGUAGES]
    defines = re.compile(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", re.M)
    head = prompt[: found.start()] if (found := _last(defines, prompt)) else ""
    for block in blocks:
        if defines.search(block):
            return f"{head}\n{block}"
    if blocks:
        body = blocks[0]
        return prompt + (body if body[:1] in " \t\n" else _indented(body)) if body.strip() else ""
    if defines.search(answer):
        kept = _definitions(answer)
        return f"{head}\n{kept}" if defines.search(kept) else ""
    return prompt + _body(answer) if answer[:1] in " \t\n" and answer.strip() else ""


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = list(pattern.finditer(text))
    return found[-1] if found else None


def _indented(body: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in body.splitlines(True))


def _body(answer: str) -> str:
    """Return the indented lines at the beginning, and the definitions right behind them."""
    lines = answer.splitlines(keepends=True)
    end = next((n for n, line in enumerate(lines) if line[:1] not in " \t\n\r#"), len(lines))
    return "".join(lines[:end]) + _definitions("".join(lines[end:]), from_first=True)


def _definitions(text: str, from_first: bool = False) -> str:
    """Return the functions, classes, imports and assignments of a text; prose ends them.

    Prose before the first one is passed over, unless `from_first`.
    """
    kept: list[str] = []
    for part in _parts(text):
        if _defines(part):
            kept.append(part)
        elif kept or from_first:
            break
    return "".join(kept)


def _parts(text: str) -> list[str]:
    """Cut a text before each line that is not indented and begins something new."""
    parts: list[str] = []
    for line in text.splitlines(keepends=True):
        goes_on = line[:1] in " \t\n\r#)]}" or (parts and parts[-1].lstrip()[:1] == "@")
        if parts and (goes_on or parts[-1].rstrip().endswith(("(", "[", "{", "\\"))):
            parts[-1] += line
        else:
            parts.append(line)
    return parts


def _defines(part: str) -> bool:
    try:
        body = ast.parse(part).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(statement, _DEFINITIONS) for statement in body)


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Return the unbiased estimate that one of k samples passes (Chen et al., 2021).

    1 - C(n - c, k) / C(n, k); k is at most n.
    """
    return 1.0 - comb(samples - passed, k) / comb(samples, k)
