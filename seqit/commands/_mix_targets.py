"""The outputs of seqit mix: the mixture or its shards, the held-out rows and the plan."""

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqit.commands.shell.job import Job
from seqit.errors import UsageError

if TYPE_CHECKING:
    from seqit.mix.recipe import MixRecipe
    from seqit.records.run_stats import Row, RunStats
    from seqit.records.writers.shards import ShardSink
    from seqit.records.writers.sink import Sink

SHARD_FORMATS = ("parquet", "jsonl", "jsonl.zst", "jsonl.gz")
PLAN_FILE = "plan.json"


@dataclass
class Targets:
    """The files for the mixture, its held-out rows and its plan; all are written, or none."""

    job: Job
    recipe: "MixRecipe"
    dry_run: bool
    options: dict[str, Any]
    stats: "RunStats | None" = None
    _held_out_sink: "Sink | None" = field(default=None, init=False)

    @property
    def are_several(self) -> bool:
        """Whether more is written than one file with the mixture's rows."""
        return any((self.options["plan_file"], self.options["shard_rows"], self.recipe.held_out))

    @property
    def needs_values(self) -> bool:
        """Whether rows need decoded values: for Parquet, or for the next command of a pipe."""
        if self.job.slot.run_next:
            return True
        names = [self.job.output, self.recipe.held_out and self.recipe.held_out.path]
        return self._is_parquet_folder or any(name and name.endswith(".parquet") for name in names)

    @property
    def _is_parquet_folder(self) -> bool:
        return bool(self.options["shard_rows"]) and self._form == "parquet"

    @property
    def _form(self) -> str:
        return self.options["shard_format"] or SHARD_FORMATS[0]

    def check(self) -> None:
        """Raise UsageError if a file has two roles, or the output is no valid folder for shards."""
        from seqit.stores.targets import check_target

        job, held_out = self.job, self.recipe.held_out
        targets = {
            "--held-out": held_out.path if held_out else None,
            "--plan-file": self.options["plan_file"],
        }
        names = (*job.sources, job.output, job.rejects, job.manifest)
        taken = {os.path.realpath(name) for name in names if name and name != "-"}
        for option, target in targets.items():
            if not target:
                continue
            if target == "-":
                raise UsageError(f"{option} needs a file; standard output is for the mixture")
            check_target(target)
            if os.path.realpath(target) in taken:
                raise UsageError(f"{option} {target} is also a source or another output")
            taken.add(os.path.realpath(target))
        self._check_folder()

    def _check_folder(self) -> None:
        from seqit.records.writers.shards import check_shard_folder

        job = self.job
        if not self.options["shard_rows"]:
            if self.options["shard_format"]:
                raise UsageError("--shard-format is for shards; give their size with --shard-rows")
            if job.output and (job.output.endswith("/") or Path(job.output).is_dir()):
                raise UsageError(
                    f"-o {job.output} is a folder; give the size of its shards with --shard-rows"
                )
            return
        if job.output in (None, "-") or job.output.endswith(tuple(f".{f}" for f in SHARD_FORMATS)):
            raise UsageError("--shard-rows writes a folder: name one with -o DIR/")
        check_shard_folder(job.output)

    @contextlib.contextmanager
    def open(self) -> Iterator["Sink"]:
        """Open all files and yield the mixture's sink; the plan is written after all rows."""
        from seqit.records.writers.shards import open_shards
        from seqit.records.writers.sink import NullSink, open_sink

        with contextlib.ExitStack() as stack:
            if self.recipe.held_out and not self.dry_run:
                path = self.recipe.held_out.path
                self._held_out_sink = stack.enter_context(open_sink(path, sys.stdout.buffer))
            if self.dry_run:
                yield NullSink()
            elif rows := self.options["shard_rows"]:
                output = open_shards(str(self.job.output), rows, self._form, self._shard_plan)
                yield stack.enter_context(output)
            else:
                yield stack.enter_context(self.job.sink())
            self._write_plan()

    def write_held_out(self, rows: Iterator["Row"]) -> None:
        """Write the held-out rows, and add their file and hash to the plan."""
        from seqit.records.writers.sink import HashingSink

        held_out = self.recipe.held_out
        if not (self._held_out_sink and held_out):
            return
        hashed = HashingSink(self._held_out_sink)
        for row in rows:
            hashed.write(row.raw or b"", row.value)
        self._plan()["held_out"] |= {"file": held_out.path, "sha256": hashed.sha256}

    def _shard_plan(self, shards: "ShardSink") -> dict[str, bytes]:
        """Return the plan with the shards, by file name: it is written into their folder."""
        self._plan()["shards"] = shards.parts
        return {PLAN_FILE: _encode(self._plan())}

    def _write_plan(self) -> None:
        from seqit.stores.targets import atomic_file

        if target := self.options["plan_file"]:
            with atomic_file(target) as file:
                file.write(_encode(self._plan()))

    def _plan(self) -> dict[str, Any]:
        return self.stats.results["plan"] if self.stats else {}


def _encode(value: Any) -> bytes:
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
