"""Measure tokens/s of the backend `vllm:` and of raw `LLM.chat` on the same prompts.

    .venv-vllm/bin/python bench/local_models.py MODEL [--rows 512] [--new-tokens 128] [--runs 3]
                          [--engine-arg NAME=VALUE ...]

Each run is a separate process, which loads the model, answers a few prompts to warm up, and then
all of them; loading is not counted. The runs alternate and sample with the same seed per request.
"""

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

from seqit.llm.registry import parse_engine_args

WARMUP = 16  # prompts
TOP_K = 50


def prompts(count: int) -> list[list[dict[str, str]]]:
    """Return chats whose first words differ, so that no prefix is shared."""
    tasks = ("List five uses of", "Write a short story about", "Explain to a child what is", "Rate")
    return [
        [{"role": "user", "content": f"{n}: {tasks[n % 4]} a number of {n % 97 + 2} old bridges."}]
        for n in range(count)
    ]


def raw(model: str, rows: int, tokens: int, engine: dict[str, Any]) -> float:
    """Return tokens/s of one LLM.chat call over all prompts."""
    from vllm import LLM, SamplingParams

    llm = LLM(model, enable_prefix_caching=True, **engine)
    sampling = [SamplingParams(max_tokens=tokens, top_k=TOP_K, seed=n) for n in range(rows)]
    llm.chat(prompts(WARMUP), sampling[:WARMUP], use_tqdm=False)
    start = time.perf_counter()
    outputs = llm.chat(prompts(rows + WARMUP)[WARMUP:], sampling, use_tqdm=False)
    seconds = time.perf_counter() - start
    return sum(len(each.outputs[0].token_ids) for each in outputs) / seconds


def ours(model: str, rows: int, tokens: int, engine: dict[str, Any]) -> float:
    """Return tokens/s of the backend with its scheduler, without a cache."""
    from seqit.llm.model_call import complete_with_retries
    from seqit.llm.providers.local.vllm import VLLMBackend
    from seqit.llm.request import Request, Sampling
    from seqit.llm.scheduling.budget import Budget
    from seqit.llm.scheduling.rate_limit import RateLimiter
    from seqit.llm.scheduling.scheduler import Scheduler
    from seqit.llm.scheduling.sender import Sender

    sampling = Sampling(top_p=1.0, top_k=TOP_K, max_new_tokens=tokens)

    def work(chat: list[dict[str, str]]) -> Any:
        request = Request(chat, sampling, 0, record_id=chat[0]["content"], stage="bench")  # type: ignore[arg-type]
        return (yield from complete_with_retries(request, 0, str, attempts=1))

    backend = VLLMBackend(model, **engine)
    capacity = backend.capacity
    sender: Sender[Any] = Sender(
        backend, cache=None, rate_limiter=RateLimiter(capacity), budget=Budget(), retries=0
    )
    with Scheduler(sender, 2 * capacity) as scheduler:
        list(scheduler.run(prompts(WARMUP), work))
        before = scheduler.progress.completion_tokens
        start = time.perf_counter()
        for _ in scheduler.run(prompts(rows + WARMUP)[WARMUP:], work):
            pass
        seconds = time.perf_counter() - start
        return (scheduler.progress.completion_tokens - before) / seconds


def main() -> None:
    """Alternate both, and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--engine-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--only", choices=["raw", "ours"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    engine = parse_engine_args("vllm", dict(each.split("=", 1) for each in options.engine_arg))
    if options.only:
        measure = {"raw": raw, "ours": ours}[options.only]
        print(f"rate {measure(options.model, options.rows, options.new_tokens, engine)}")
        return
    rates: dict[str, list[float]] = {"raw": [], "ours": []}
    for number in range(options.runs):
        for name in ("raw", "ours") if number % 2 else ("ours", "raw"):
            command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rate = next(line for line in lines.splitlines() if line.startswith("rate "))
            rates[name].append(float(rate.split()[1]))
    chat, vllm = (statistics.median(rates[name]) for name in ("raw", "ours"))
    print(f"LLM.chat {chat:,.0f} tokens/s, vllm: {vllm:,.0f} tokens/s, ratio {vllm / chat:.3f}")


if __name__ == "__main__":
    main()
