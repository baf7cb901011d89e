"""datatrove's four stages with its English tokenizer: with_datatrove.py RECORDS OUT FIELDS."""

import shutil
import sys
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.typeshelper import Languages

CONFIG = MinhashConfig(n_grams=5, num_buckets=16, hashes_per_bucket=6)


def main(records: Path, target: Path, fields: list[str]) -> None:
    """Write the records that datatrove keeps to `target`."""
    work = target.with_suffix(".work")
    shutil.rmtree(work, ignore_errors=True)
    folders = {name: str(work / name) for name in ("signatures", "buckets", "remove", "out")}

    def adapt(_: Any, row: dict[str, Any], path: str, number: int) -> dict[str, Any]:
        text = "\n".join(row[field] for field in fields)
        return {"text": text, "id": row["id"], "metadata": {"row": row}}

    def read() -> JsonlReader:
        return JsonlReader(str(records.parent), glob_pattern=records.name, adapter=adapt)

    def stage(*steps: Any, name: str, tasks: int = 1) -> None:
        logs = str(work / "logs" / name)
        LocalPipelineExecutor(list(steps), tasks=tasks, workers=1, logging_dir=logs).run()

    stage(
        read(), MinhashDedupSignature(folders["signatures"], CONFIG, Languages.english), name="sign"
    )
    buckets = MinhashDedupBuckets(folders["signatures"], folders["buckets"], config=CONFIG)
    stage(buckets, name="buckets", tasks=CONFIG.num_buckets)
    stage(MinhashDedupCluster(folders["buckets"], folders["remove"], config=CONFIG), name="cluster")
    writer = JsonlWriter(
        folders["out"], compression=None, adapter=lambda _, document: document.metadata["row"]
    )
    stage(read(), MinhashDedupFilter(folders["remove"]), writer, name="filter")
    with target.open("wb") as out:
        for part in sorted(Path(folders["out"]).glob("*.jsonl")):
            out.write(part.read_bytes())
    shutil.rmtree(work)


if __name__ == "__main__":  # the executor may start processes that import this file
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split("+"))
