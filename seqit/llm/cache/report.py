"""What stands in the cache, why a record was asked about again, and how entries are removed."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from seqit.errors import SeqitError
from seqit.llm.cache.key import MESSAGES, SEED
from seqit.llm.cache.store import open_file, transaction, trouble

SHOWN_RUNS = 5
SHOWN_IDS = 5
DAY = 86400.0  # seconds

Report = dict[str, Any]
"""Plain JSON."""

_OF_CONTEXT = "JOIN contexts ON contexts.id = substr(key, 1, 8)"
_ASKED = (
    "SELECT key, iteration, stage, attempt, asked, name, model, finish_reason, prompt_tokens, "
    f"completion_tokens, content FROM completions {_OF_CONTEXT} "
    "WHERE record_id = ? ORDER BY asked, completions.rowid"
)
_GROUPS = (
    "SELECT name, stage, count(*) AS completions, sum(prompt_tokens) AS prompt_tokens, "
    "sum(completion_tokens) AS completion_tokens, min(asked) AS first, max(asked) AS last "
    f"FROM completions {_OF_CONTEXT} GROUP BY 1, 2 ORDER BY 1, 2"
)
_SHOWN = (
    *("asked", "attempt", "name", "model", "finish_reason", "prompt_tokens", "completion_tokens"),
)


def overview(path: Path) -> Report | None:
    """Return what the cache holds, by model and stage, and its last runs; None without a file.

    Times are seconds since 1970, sizes bytes.
    """
    if not path.exists():
        return None
    with trouble(path), closing(_open(path)) as database:
        groups = [dict(row) for row in database.execute(_GROUPS)]
        runs = [
            dict(row)
            for row in database.execute(
                "SELECT started, name, hits, misses FROM runs ORDER BY id DESC LIMIT ?",
                (SHOWN_RUNS,),
            )
        ]
    report: Report = {"path": str(path), "bytes": size(path)}
    for name in ("completions", "prompt_tokens", "completion_tokens"):
        report[name] = sum(group[name] for group in groups)
    report["first"] = min((group.pop("first") for group in groups), default=None)
    report["last"] = max((group.pop("last") for group in groups), default=None)
    return report | {"groups": groups, "runs": runs}


def size(path: Path) -> int:
    """Return the bytes on the disk, the log of what is not yet in the database included."""
    files = [path, path.with_name(path.name + "-wal")]
    return sum(file.stat().st_size for file in files if file.exists())


def history(path: Path, prefix: str) -> Report | None:
    """Return what was asked about the record whose id begins so; None where the cache is empty.

    The requests stand by iteration and stage, in the order in which they were asked. Each but a
    stage's first has `differs`: the parts of its key that are not those of the earlier request
    `like` (its place in the stage), the one that it is most like. Raises SeqitError for an id
    that is not in the cache, or not of one record alone.
    """
    if not path.exists():
        return None
    with trouble(path), closing(_open(path)) as database:
        if database.execute("SELECT 1 FROM completions LIMIT 1").fetchone() is None:
            return None
        record_id = _one_record(database, prefix, path)
        rows = [dict(row) for row in database.execute(_ASKED, (record_id,))]
    stages: dict[tuple[int, str], list[Report]] = {}
    for row in rows:
        stages.setdefault((row["iteration"], row["stage"]), []).append(row)
    return {
        "record_id": record_id,
        "stages": [
            {"iteration": iteration, "stage": stage, "requests": _compared(rows)}
            for (iteration, stage), rows in stages.items()
        ],
    }


def clear(path: Path, model: str | None = None, older_than: float | None = None) -> int:
    """Remove completions, give their space back to the disk, and return how many they were.

    `model` is KIND:MODEL, MODEL alone, or the name that the server gave; `older_than` counts in
    days. Without both, everything is removed.
    """
    condition, values = _condition(model, older_than)
    with trouble(path), closing(open_file(path)) as database:
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
    with trouble(path), closing(_open(path)) as database:
        query = f"SELECT count(*) FROM completions WHERE {condition}"
        found: int = database.execute(query, values).fetchone()[0]
    return found


def _open(path: Path) -> sqlite3.Connection:
    """Return a connection that reads, and gives rows by name."""
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
        values.append(time.time() - older_than * DAY)
    return " AND ".join(conditions), values


def _one_record(database: sqlite3.Connection, prefix: str, path: Path) -> str:
    found = database.execute(
        "SELECT DISTINCT record_id FROM completions WHERE substr(record_id, 1, ?) = ? "
        "ORDER BY record_id LIMIT ?",
        (len(prefix), prefix, SHOWN_IDS + 1),
    ).fetchall()
    ids = [row[0] for row in found]
    if prefix in ids:
        return prefix
    if not ids:
        raise SeqitError(f"nothing in {path} was asked about a record whose id begins {prefix}")
    if len(ids) > 1:
        more = ", …" if len(ids) > SHOWN_IDS else ""
        shown = ", ".join(ids[:SHOWN_IDS])
        raise SeqitError(f"{prefix} begins the ids of several records: {shown}{more}; write more")
    return str(ids[0])


def _compared(rows: list[Report]) -> list[Report]:
    """Return the requests of one stage, each with its differences from the one it is most like."""
    parts = [_parts(row) for row in rows]
    requests = []
    for number, row in enumerate(rows):
        request = {name: row[name] for name in _SHOWN}
        if number:
            earlier = [_differences(each, parts[number]) for each in parts[:number]]
            like = min(range(number), key=lambda each: _unlike(each, earlier[each]))
            request |= {"like": like + 1, "differs": earlier[like]}
        requests.append(request)
    return requests


def _unlike(place: int, differs: Report) -> tuple[bool, int, int]:
    """Order earlier requests: the same attempt first, few differences, the latest."""
    return "attempt" in differs, len(differs), -place


def _parts(row: Report) -> Report:
    """Return the parts of a key by name, as in ``sampling.temperature``."""
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
    """Return part → [value before, value now] where they differ; None for a part that is not."""
    names = [*old, *(name for name in new if name not in old)]
    return {
        name: [old.get(name), new.get(name)] for name in names if old.get(name) != new.get(name)
    }
