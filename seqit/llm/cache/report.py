"""Reports on the cache: its content, why a record was requested again; and removes entries."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from seqit.errors import SeqitError
from seqit.llm.cache.key import MESSAGES, SEED
from seqit.llm.cache.store import open_file, transaction, translate_errors

MAX_RUNS = 5
MAX_IDS = 5
SECONDS_PER_DAY = 86400.0

Report = dict[str, Any]
"""JSON values."""

_JOIN_CONTEXT = "JOIN contexts ON contexts.id = substr(key, 1, 8)"
_REQUESTS_QUERY = (
    "SELECT key, iteration, stage, attempt, asked, name, model, finish_reason, prompt_tokens, "
    f"completion_tokens, content FROM completions {_JOIN_CONTEXT} "
    "WHERE record_id = ? ORDER BY asked, completions.rowid"
)
_GROUPS_QUERY = (
    "SELECT name, stage, count(*) AS completions, sum(prompt_tokens) AS prompt_tokens, "
    "sum(completion_tokens) AS completion_tokens, min(asked) AS first, max(asked) AS last "
    f"FROM completions {_JOIN_CONTEXT} GROUP BY 1, 2 ORDER BY 1, 2"
)
_REQUEST_COLUMNS = (
    *("asked", "attempt", "name", "model", "finish_reason", "prompt_tokens", "completion_tokens"),
)


def overview(path: Path) -> Report | None:
    """Return the cache's content by model and stage, and its last runs; None without a file.

    Times are in seconds since 1970, sizes in bytes.
    """
    if not path.exists():
        return None
    with translate_errors(path), closing(_open(path)) as database:
        groups = [dict(row) for row in database.execute(_GROUPS_QUERY)]
        runs = [
            dict(row)
            for row in database.execute(
                "SELECT started, name, hits, misses FROM runs ORDER BY id DESC LIMIT ?",
                (MAX_RUNS,),
            )
        ]
    report: Report = {"path": str(path), "bytes": size(path)}
    for name in ("completions", "prompt_tokens", "completion_tokens"):
        report[name] = sum(group[name] for group in groups)
    report["first"] = min((group.pop("first") for group in groups), default=None)
    report["last"] = max((group.pop("last") for group in groups), default=None)
    return report | {"groups": groups, "runs": runs}


def size(path: Path) -> int:
    """Return the cache's size on disk in bytes, with its write-ahead log."""
    files = [path, path.with_name(path.name + "-wal")]
    return sum(file.stat().st_size for file in files if file.exists())


def history(path: Path, prefix: str) -> Report | None:
    """Return the cached requests of the record whose id starts with `prefix`.

    None if the cache is empty. Requests are grouped by iteration and stage, oldest first. Each but
    a stage's first has `like`, the number in the stage (from 1) of the most similar earlier
    request, and `differs`, the parts of its key that differ from that one. Raises SeqitError if no
    record or several match.
    """
    if not path.exists():
        return None
    with translate_errors(path), closing(_open(path)) as database:
        if database.execute("SELECT 1 FROM completions LIMIT 1").fetchone() is None:
            return None
        record_id = _find_record_id(database, prefix, path)
        rows = [dict(row) for row in database.execute(_REQUESTS_QUERY, (record_id,))]
    stages: dict[tuple[int, str], list[Report]] = {}
    for row in rows:
        stages.setdefault((row["iteration"], row["stage"]), []).append(row)
    return {
        "record_id": record_id,
        "stages": [
            {"iteration": iteration, "stage": stage, "requests": _compare_requests(rows)}
            for (iteration, stage), rows in stages.items()
        ],
    }


def clear(path: Path, model: str | None = None, older_than: float | None = None) -> int:
    """Remove completions, free their disk space, and return their number.

    `model` is KIND:MODEL, MODEL, or the name that the server returned; `older_than` is in days.
    Without both, everything is removed.
    """
    condition, values = _condition(model, older_than)
    with translate_errors(path), closing(open_file(path)) as database:
        with transaction(database):
            removed = database.execute(
                f"DELETE FROM completions WHERE {condition}", values
            ).rowcount
            if model is None and older_than is None:
                database.execute("DELETE FROM runs")
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return removed


def count(path: Path, model: str | None = None, older_than: float | None = None) -> int:
    """Return how many completions `clear` would remove."""
    if not path.exists():
        return 0
    condition, values = _condition(model, older_than)
    with translate_errors(path), closing(_open(path)) as database:
        query = f"SELECT count(*) FROM completions WHERE {condition}"
        found: int = database.execute(query, values).fetchone()[0]
    return found


def _open(path: Path) -> sqlite3.Connection:
    """Return a read-only connection whose rows are accessed by column name."""
    database = open_file(path, write=False)
    database.row_factory = sqlite3.Row
    return database


def _condition(model: str | None, older_than: float | None) -> tuple[str, list[Any]]:
    conditions, values = ["TRUE"], list[Any]()
    if model is not None:
        conditions.append(
            "(model = ? OR substr(key, 1, 8) IN (SELECT id FROM contexts "
            "WHERE name = ? OR substr(name, instr(name, ':') + 1) = ?))"
        )
        values += [model] * 3
    if older_than is not None:
        conditions.append("asked < ?")
        values.append(time.time() - older_than * SECONDS_PER_DAY)
    return " AND ".join(conditions), values


def _find_record_id(database: sqlite3.Connection, prefix: str, path: Path) -> str:
    found = database.execute(
        "SELECT DISTINCT record_id FROM completions WHERE substr(record_id, 1, ?) = ? "
        "ORDER BY record_id LIMIT ?",
        (len(prefix), prefix, MAX_IDS + 1),
    ).fetchall()
    ids = [row[0] for row in found]
    if prefix in ids:
        return prefix
    if not ids:
        raise SeqitError(f"{path} has no request about a record whose id starts with {prefix}")
    if len(ids) > 1:
        more = ", …" if len(ids) > MAX_IDS else ""
        shown = ", ".join(ids[:MAX_IDS])
        raise SeqitError(
            f"several record ids start with {prefix}: {shown}{more}; write more of the id"
        )
    return str(ids[0])


def _compare_requests(rows: list[Report]) -> list[Report]:
    """Return the requests of one stage, each with its differences from the most similar one."""
    parts = [_key_parts(row) for row in rows]
    requests = []
    for number, row in enumerate(rows):
        request = {name: row[name] for name in _REQUEST_COLUMNS}
        if number:
            earlier = [_differences(each, parts[number]) for each in parts[:number]]
            like = min(range(number), key=lambda each: _distance(each, earlier[each]))
            request |= {"like": like + 1, "differs": earlier[like]}
        requests.append(request)
    return requests


def _distance(index: int, differs: Report) -> tuple[bool, int, int]:
    """Return a sort key of earlier requests: same attempt, fewest differences, latest."""
    return "attempt" in differs, len(differs), -index


def _key_parts(row: Report) -> Report:
    """Return the parts of a key by their names, such as ``sampling.temperature``."""
    key = row["key"]
    parts: Report = {"attempt": row["attempt"], "seed": int.from_bytes(key[SEED], "big")}
    parts["messages"] = key[MESSAGES].hex()
    _flatten(orjson.loads(row["content"]), "", parts)
    return parts


def _flatten(value: Any, name: str, parts: Report) -> None:
    if isinstance(value, dict):
        for key, each in value.items():
            _flatten(each, f"{name}.{key}" if name else key, parts)
    else:
        parts[name.removeprefix("identity.")] = value


def _differences(old: Report, new: Report) -> Report:
    """Return part → [old value, new value] of the parts that differ; a missing part is None."""
    names = [*old, *(name for name in new if name not in old)]
    return {
        name: [old.get(name), new.get(name)] for name in names if old.get(name) != new.get(name)
    }
