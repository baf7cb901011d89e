"""Measure the time for a teacher to answer N rows: seqit, a bare loop, curator and distilabel.

    .venv-test/bin/python bench/teachers/run.py [--rows 2000] [--concurrency 64 256] [--runs 5]
    .venv-test/bin/python bench/teachers/run.py --flat       seqit's memory at 2,000 and 20,000 rows

Each contestant is a process that reads the same records, sends requests to a server on loopback
whose answers take 200 ms, and writes them; each run has its own server and folders, and the order
changes from run to run. The peers' environments are created in bench/data from curator.txt and
distilabel.txt.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
WORK = HERE.parent / "data"
BIN = Path(sys.executable).parent
MODEL = "gpt-4o"
SAMPLING_INTERVAL = 0.5  # seconds

Command = Callable[[Path, Path, int], list[object]]
"""(records, folder of the run, requests in flight) → the command; it writes FOLDER/out.jsonl."""


class Cost(NamedTuple):
    """Cost of one run."""

    seconds: float  # of the whole process
    serving: float  # seconds from the first request to the last answer, measured by the server
    memory: float  # MB, the largest sum over all processes; shared pages are counted once
    completions: int  # sent by the server
    peak: int  # maximum of requests in flight


def seqit(records: Path, folder: Path, concurrency: int) -> list[object]:
    """Return the command of seqit, with cache and validation."""
    method = ("--method", "regenerate", "--teacher", f"openai:{MODEL}")
    limits = ("--max-concurrency", concurrency, "--cache", folder / "cache.sqlite")
    return [BIN / "seqit", "augment", "-q", *method, *limits, records, "-o", folder / "out.jsonl"]


def script(python: Path, name: str) -> Command:
    """Return the command of a script in this folder, run by an environment's python."""
    return lambda records, folder, concurrency: [
        *(python, HERE / name, records, folder / "out.jsonl", concurrency)
    ]


def environment(envs: Path, name: str) -> Path:
    """Return the python of a peer's environment, created if missing."""
    python = envs / name / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", envs / name], check=True)
        requirements = HERE / f"{name}.txt"
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
    return python


def make_records(rows: int) -> Path:
    """Return a file with this number of records, created if missing."""
    WORK.mkdir(exist_ok=True)
    raw, records = WORK / f"alpaca-{rows}.jsonl", WORK / f"records-{rows}.jsonl"
    if not raw.exists():
        with raw.open("wb") as file:
            generate = [sys.executable, HERE.parent / "generate.py", str(rows)]
            subprocess.run(generate, stdout=file, check=True)
    if not records.exists():
        command = [BIN / "seqit", "import", "-q", "--format", "alpaca", raw, "-o", records]
        subprocess.run(command, check=True)
    return records


@contextmanager
def running_server(latency: float) -> Iterator[int]:
    """Yield the port of a server, which ends with the block."""
    command = [sys.executable, str(HERE / "server.py"), str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        yield int(process.stdout.readline())
        process.stdin.close()


def server_stats(port: int) -> dict[str, float]:
    """Return the server's counts."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/stats")
    stats: dict[str, float] = json.loads(connection.getresponse().read())
    connection.close()
    return stats


def settings(port: int, folder: Path, python: Path) -> dict[str, str]:
    """Return a contestant's environment variables: a new home, telemetry off."""
    tokenizers = (
        "litellm/litellm_core_utils/tokenizers"  # curator counts tokens; nothing is fetched
    )
    found = list(python.parents[1].glob(f"lib/python3*/site-packages/{tokenizers}"))
    return {
        "PATH": os.defpath,
        "HOME": str(folder),
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "OPENAI_API_KEY": "key",
        "TELEMETRY_ENABLED": "false",
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DISTILABEL_LOG_LEVEL": "WARNING",
        **({"TIKTOKEN_CACHE_DIR": str(found[0])} if found else {}),
    }


def memory_of(session: int) -> float:
    """Return the MB of all processes of a session, shared pages counted once."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[3]) == session:
                rollup = status.with_name("smaps_rollup").read_text()
                total += int(rollup.partition("\nPss:")[2].split()[0])
        except (OSError, IndexError):  # the process has ended
            continue
    return total / 1024


def run(command: Command, records: Path, rows: int, concurrency: int, latency: float) -> Cost:
    """Run one contestant to its end; raises SystemExit if it fails or rows are missing."""
    with tempfile.TemporaryDirectory() as name, running_server(latency) as port:
        folder = Path(name)
        words = [str(part) for part in command(records, folder, concurrency)]
        log = folder / "log"
        start = time.perf_counter()
        with log.open("wb") as file:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=settings(port, folder, Path(words[0])),
                cwd=folder,
                start_new_session=True,
            )
        ended, peaks = threading.Event(), [0.0]
        sampler = threading.Thread(target=_sample_memory, args=(process.pid, ended, peaks))
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        ended.set()
        sampler.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        stats = server_stats(port)
        output = folder / "out.jsonl"
        written = output.read_bytes().count(b"\n") if output.exists() else 0
        if process.returncode or written != rows:
            print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
            code = process.returncode
            raise SystemExit(f"exit code {code}, {written} of {rows} rows: {' '.join(words)}")
        memory = max(*peaks, usage.ru_maxrss / 1024)
        counts = (int(stats["completions"]), int(stats["peak"]))
        return Cost(seconds, stats["seconds"], memory, *counts)


def _sample_memory(session: int, ended: threading.Event, peaks: list[float]) -> None:
    while not ended.wait(SAMPLING_INTERVAL):
        peaks.append(memory_of(session))


def compare(
    contestants: dict[str, Command], rows: int, concurrency: int, latency: float, runs: int
) -> None:
    """Run all contestants `runs` times, alternating; print a table of medians."""
    records = make_records(rows)
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(runs):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            costs[name].append(run(contestants[name], records, rows, concurrency, latency))
    limit = rows / concurrency * latency
    print(f"\n{rows:,} rows, {concurrency} in flight, {latency * 1000:g} ms: limit {limit:.2f} s\n")
    print(
        "| | seconds | times bare | of the limit | serving, s | of the limit | MB | completions |"
    )
    print("|---|---|---|---|---|---|---|---|")
    floor = statistics.median(cost.seconds for cost in costs[names[0]])
    for name, measured in costs.items():
        seconds = statistics.median(cost.seconds for cost in measured)
        serving = statistics.median(cost.serving for cost in measured)
        print(
            f"| {name} | {seconds:.2f} | {seconds / floor:.2f} | {limit / seconds:.0%}"
            f" | {serving:.2f} | {limit / serving:.0%}"
            f" | {max(cost.memory for cost in measured):.0f}"
            f" | {max(cost.completions for cost in measured):,} |"
        )


def measure_memory(concurrency: int) -> None:
    """Print seqit's memory at two numbers of rows, with a server without latency."""
    print("\n| rows | seconds | MB |\n|---|---|---|")
    for rows in (2_000, 20_000):
        cost = run(seqit, make_records(rows), rows, concurrency, 0.0)
        print(f"| {rows:,} | {cost.seconds:.1f} | {cost.memory:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these and the bare loop")
    parser.add_argument("--envs", type=Path, default=WORK, help="where the peers' environments are")
    parser.add_argument("--flat", action="store_true", help="only seqit's memory")
    options = parser.parse_args()
    if options.flat:
        measure_memory(options.concurrency[0])
        return
    wanted = options.only or ["seqit", "curator", "distilabel"]
    contestants: dict[str, Command] = {"bare": script(Path(sys.executable), "bare.py")}
    for name in wanted:
        if name == "seqit":
            contestants[name] = seqit
        else:
            python = environment(options.envs, name)
            contestants[name] = script(python, f"with_{name}.py")
    for concurrency in options.concurrency:
        compare(contestants, options.rows, concurrency, options.latency, options.runs)


if __name__ == "__main__":
    main()
