"""HumanEval: extract the program from an answer, and estimate pass@k without bias."""

import ast
import re
from math import comb

from seqit.evaluate.metrics.base import Unscorable
from seqit.records.record import Record

DESCRIPTION = "pass: the answer's code passes the tests; runs it, so --allow-code-execution"

_FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.M | re.S
)
_LANGUAGES = frozenset(("", "python", "py", "python3"))
_DEFINITIONS = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom),
    *(ast.Assign, ast.AnnAssign, ast.AugAssign),
)


def read_problem(item: Record) -> tuple[str, str, str]:
    """Return the prompt, the test and the function's name; raises Unscorable if one is missing."""
    metadata = item.get("metadata", {})
    test, name = metadata.get("test"), metadata.get("entry_point")
    for key, value in (("test", test), ("entry_point", name)):
        if not isinstance(value, str) or not value.strip():
            message = f"the item has no {key}, so nothing can be tested"
            raise Unscorable("no-reference", message, f"item.metadata.{key}")
    return item["input"], str(test), str(name)


def extract_program(answer: str, prompt: str, name: str) -> str:
    """Return the program made of the prompt and the answer's code; empty if there is no code.

    In this order: the first fenced block that defines the function, after the part of the prompt
    before the function; the first fenced block as the function's body, indented if it is not;
    without a fence, a definition of the function and the definitions that follow it; else the
    answer as the body, up to the end of its code. Broken code is never repaired.
    """
    blocks = [match[3] for match in _FENCE.finditer(answer) if match[2].casefold() in _LANGUAGES]
    defines = re.compile(rf"^(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", re.M)
    head = prompt[: found.start()] if (found := _last_match(defines, prompt)) else ""
    for block in blocks:
        if defines.search(block):
            return f"{head}\n{block}"
    if blocks:
        body = blocks[0]
        return prompt + (body if body[:1] in " \t\n" else _indent(body)) if body.strip() else ""
    if defines.search(answer):
        definitions = _leading_definitions(answer)
        return f"{head}\n{definitions}" if defines.search(definitions) else ""
    return prompt + _leading_body(answer) if answer[:1] in " \t\n" and answer.strip() else ""


def _last_match(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = list(pattern.finditer(text))
    return found[-1] if found else None


def _indent(body: str) -> str:
    return "".join(f"    {line}" if line.strip() else line for line in body.splitlines(True))


def _leading_body(answer: str) -> str:
    """Return the indented lines at the beginning and the definitions right after them."""
    lines = answer.splitlines(keepends=True)
    end = next((n for n, line in enumerate(lines) if line[:1] not in " \t\n\r#"), len(lines))
    return "".join(lines[:end]) + _leading_definitions("".join(lines[end:]), from_first=True)


def _leading_definitions(text: str, from_first: bool = False) -> str:
    """Return the functions, classes, imports and assignments of a text, up to the next prose.

    Prose before the first of them is skipped, unless `from_first`.
    """
    definitions: list[str] = []
    for chunk in _top_level_chunks(text):
        if _is_definition(chunk):
            definitions.append(chunk)
        elif definitions or from_first:
            break
    return "".join(definitions)


def _top_level_chunks(text: str) -> list[str]:
    """Split a text before each unindented line that starts something new."""
    chunks: list[str] = []
    for line in text.splitlines(keepends=True):
        continues = line[:1] in " \t\n\r#)]}" or (chunks and chunks[-1].lstrip()[:1] == "@")
        if chunks and (continues or chunks[-1].rstrip().endswith(("(", "[", "{", "\\"))):
            chunks[-1] += line
        else:
            chunks.append(line)
    return chunks


def _is_definition(chunk: str) -> bool:
    try:
        body = ast.parse(chunk).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(statement, _DEFINITIONS) for statement in body)


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Return the unbiased estimate that one of k samples passes (Chen et al., 2021).

    1 - C(n - c, k) / C(n, k); k is at most n.
    """
    return 1.0 - comb(samples - passed, k) / comb(samples, k)
