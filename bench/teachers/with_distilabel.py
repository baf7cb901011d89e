"""distilabel on the same rows: python bench/teachers/with_distilabel.py ROWS OUTPUT CONCURRENCY.

It sends all rows of a batch at once and waits for all answers: its concurrency is the batch size.
"""

import json
import os
import sys
from pathlib import Path

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGeneration


def main(rows: Path, output: Path, concurrency: int) -> None:
    """Send all rows in a pipeline of two steps."""
    records = [json.loads(line) for line in rows.read_text().splitlines()]
    inputs = [
        {
            "id": record["id"],
            "instruction": "\n\n".join(filter(None, (record["instruction"], record["input"]))),
        }
        for record in records
    ]
    with Pipeline(name="answers") as pipeline:
        load = LoadDataFromDicts(data=inputs, batch_size=concurrency)
        llm = OpenAILLM(model="gpt-4o", base_url=os.environ["OPENAI_BASE_URL"], api_key="key")
        load >> TextGeneration(llm=llm, input_batch_size=concurrency)
    answered = pipeline.run(use_cache=False)["default"]["train"]
    with output.open("w") as file:
        for row in answered:
            file.write(json.dumps({"id": row["id"], "output": row["generation"]}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
