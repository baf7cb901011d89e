"""curator on the same rows: python bench/teachers/with_curator.py ROWS OUTPUT CONCURRENCY."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from bespokelabs import curator


class Answerer(curator.LLM):
    """Sends the row's instruction and input as the prompt."""

    def prompt(self, input: dict[str, Any]) -> str:
        return "\n\n".join(filter(None, (input["instruction"], input["input"])))

    def parse(self, input: dict[str, Any], response: str) -> dict[str, Any]:
        return {**input, "output": response}


def main(rows: Path, output: Path, concurrency: int) -> None:
    """Send all rows, with limits per minute that are never reached."""
    records = [json.loads(line) for line in rows.read_text().splitlines()]
    inputs = [{key: record[key] for key in ("id", "instruction", "input")} for record in records]
    answerer = Answerer(
        model_name="gpt-4o",
        backend="openai",
        backend_params={
            "base_url": os.environ["OPENAI_BASE_URL"],
            "max_concurrent_requests": concurrency,
            "max_requests_per_minute": 100_000_000,
            "max_tokens_per_minute": 100_000_000_000,
        },
    )
    answered = answerer(inputs)
    dataset = getattr(answered, "dataset", answered)
    with output.open("w") as file:
        for row in dataset:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
