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
    """The files for the mixture, its held-out rows and its plan: all of them whole, or none."""

    job: Job
    recipe: "MixRecipe"
    dry_run: bool
    options: dict[str, Any]
    stats: "RunStats | None" = None
    _held: "Sink | None" = field(default=None, init=False)

    @property
    def are_several(self) -> bool:
        """Whether there is more to write than one file of the mixture's rows."""
        further = (self.options["plan_file"], self.options["shard_rows"], self.recipe.held_out)
        return any(further)

    @property
    def needs_values(self) -> bool:
        """Whether rows are written from values rather than bytes, or passed on with values."""
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
        """Raise UsageError if one file has two roles, or a folder is not one."""
        from seqit.stores.targets import check_target

        job, held = self.job, self.recipe.held_out
        named = {
            "--held-out": held.path if held else None,
            "--plan-file": self.options["plan_file"],
        }
        others = (*job.sources, job.output, job.rejects, job.manifest)
        taken = {os.path.realpath(name) for name in others if name and name != "-"}
        for option, target in named.items():
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
            raise UsageError("--shard-rows fills a folder: name one with -o DIR/")
        check_shard_folder(job.output)

    @contextlib.contextmanager
    def opened(self) -> Iterator["Sink"]:
        """Open all of them; the plan is written after all rows."""
        from seqit.records.writers.shards import open_shards
        from seqit.records.writers.sink import NullSink, open_sink

        with contextlib.ExitStack() as stack:
            if self.recipe.held_out and not self.dry_run:
                path = self.recipe.held_out.path
                self._held = stack.enter_context(open_sink(path, sys.stdout.buffer))
            if self.dry_run:
                yield NullSink()
            elif rows := self.options["shard_rows"]:
                output = open_shards(str(self.job.output), rows, self._form, self._beside)
                yield stack.enter_context(output)
            else:
                yield stack.enter_context(self.job.sink())
            self._write_plan()

    def hold(self, rows: Iterator["Row"]) -> None:
        """Write the held-out rows, and add their file and hash to the plan."""
        from seqit.records.writers.sink import HashingSink

        held = self.recipe.held_out
        if not (self._held and held):
            return
        hashed = HashingSink(self._held)
        for row in rows:
            hashed.write(row.raw or b"", row.value)
        self._plan()["held_out"] |= {"file": held.path, "sha256": hashed.sha256}

    def _beside(self, shards: "ShardSink") -> dict[str, bytes]:
        self._plan()["shards"] = shards.parts
        return {PLAN_FILE: _json(self._plan())}

    def _write_plan(self) -> None:
        from seqit.stores.targets import atomic_file

        if target := self.options["plan_file"]:
            with atomic_file(target) as file:
                file.write(_json(self._plan()))

    def _plan(self) -> dict[str, Any]:
        return self.stats.results["plan"] if self.stats else {}


def _json(value: Any) -> bytes:
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
