"""The floor: an aiohttp loop that sends a request per row and writes the answers, nothing else.

No cache, no retries, no validation: python bench/teachers/bare.py ROWS OUTPUT CONCURRENCY
"""

import asyncio
import os
import sys
from pathlib import Path

import orjson

MODEL = "gpt-4o"


async def main(rows: Path, output: Path, concurrency: int) -> None:
    """Send all rows, `concurrency` at a time; write the rows with their answers in order."""
    import aiohttp

    url = f"{os.environ['OPENAI_BASE_URL']}/chat/completions"
    records = [orjson.loads(line) for line in rows.read_bytes().splitlines()]
    waiting = iter(records)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer key"}

    async def worker(session: aiohttp.ClientSession) -> None:
        for record in waiting:
            text = "\n\n".join(filter(None, (record["instruction"], record["input"])))
            body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
            async with session.post(url, data=orjson.dumps(body)) as response:
                answer = orjson.loads(await response.read())
            record["output"] = answer["choices"][0]["message"]["content"]

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))
    with output.open("wb") as file:
        for record in records:
            file.write(orjson.dumps(record) + b"\n")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
