"""WorkerPool.map: results in order, bounded memory, and no process left after any failure."""

import os
import signal
import subprocess
import time
from functools import partial
from itertools import count, islice
from multiprocessing import RawValue
from pathlib import Path

import pytest
from support.paths import BIN
from support.running import is_blocked

from seqit.engine import channel
from seqit.engine.processes import BATCH_BYTES, MIN_PARALLEL_BYTES, WorkerPool
from seqit.errors import RowError, SeqitError

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def batch_size(item: object) -> int:
    return MIN_PARALLEL_BYTES


def one_by_one(items):
    return ([item] for item in items)


def doubled(items: list[int]) -> list[tuple[int, int]]:
    return [(2 * item, os.getpid()) for item in items]


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, BATCH_BYTES // 3, MIN_PARALLEL_BYTES])
def test_results_come_in_the_order_of_the_items(workers, size):
    with WorkerPool(workers) as pool:
        results = list(pool.map(doubled, one_by_one(range(500)), lambda item: size))
    assert [result for result, _ in results] == list(range(0, 1000, 2))
    processes = {process for _, process in results}
    assert len(processes - {os.getpid()}) == (workers if size > 1 and workers > 1 else 0)
    assert all(map(is_gone, processes - {os.getpid()}))


def test_one_pool_maps_several_times():
    with WorkerPool(2) as pool:
        for _ in range(3):
            assert sum(n for n, _ in pool.map(doubled, one_by_one(range(20)), batch_size)) == 380


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the states in /proc")
def test_items_are_read_no_further_than_the_pipes_can_hold():
    last_read, producer = RawValue("q"), RawValue("q")  # shared with the process that reads

    def items():
        for number in count():
            last_read.value, producer.value = number, os.getpid()
            yield number, b"x" * BATCH_BYTES

    with WorkerPool(2) as pool:
        with_pid = partial(map, lambda item: (*item, os.getpid()))
        results = pool.map(
            lambda items: list(with_pid(items)), one_by_one(items()), lambda item: len(item[1])
        )
        received = list(islice(results, 40))
        assert [number for number, *_ in received] == list(range(40))
        processes = {pid for *_, pid in received} - {os.getpid()} | {producer.value}
        assert len(processes) == 3
        before = -1
        while before != last_read.value or not all(map(is_blocked, processes)):
            before = last_read.value
        # Two pipes per worker, and the batches that the processes work on.
        assert last_read.value < 40 + 4 * channel.CAPACITY // BATCH_BYTES + 8


def test_available_items_are_mapped_before_a_read_that_blocks():
    reader, writer = os.pipe()
    with WorkerPool(2) as pool, os.fdopen(reader, "rb", buffering=0) as source:

        def lines():
            while True:
                pool.about_to_wait()
                yield int(source.readline())

        os.write(writer, b"1\n2\n3\n")
        sizes = {1: MIN_PARALLEL_BYTES}
        results = pool.map(doubled, one_by_one(lines()), lambda item: sizes.get(item, 1))
        assert [next(results)[0] for _ in range(3)] == [2, 4, 6]
        os.write(writer, b"4\n")
        assert next(results)[0] == 8
    os.close(writer)


def test_before_wait_is_called_for_each_result():
    calls = []
    with WorkerPool(2) as pool:
        pool.before_wait = lambda: calls.append(True)
        list(pool.map(doubled, one_by_one(range(10)), batch_size))
    assert len(calls) >= 10


def fails_at_7(items: list[int]) -> list[int]:
    if 7 in items:
        raise RowError("seven", "field")
    return items


def test_an_error_of_the_function_is_raised_after_the_results_before_it():
    results = []
    with WorkerPool(3) as pool, pytest.raises(RowError, match="seven") as caught:
        results.extend(pool.map(fails_at_7, one_by_one(range(20)), batch_size))
    assert results == list(range(7))
    assert caught.value.field == "field"
    assert "fails_at_7" in "".join(caught.value.__notes__)  # the origin, for --traceback


def test_an_error_of_the_items_is_raised_after_the_results_before_it():
    def items():
        yield from range(9)
        raise SeqitError("no more")

    results = []
    with WorkerPool(2) as pool, pytest.raises(SeqitError, match="no more"):
        for result, _ in pool.map(doubled, one_by_one(items()), batch_size):
            results.append(result)
    assert results == list(range(0, 18, 2))


def test_an_error_that_cannot_be_pickled_keeps_its_text():
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def fail(items):
        if items == [0]:
            return items
        raise Odd("this", "that")

    with WorkerPool(2) as pool, pytest.raises(RuntimeError, match="Odd: this and that"):
        list(pool.map(fail, one_by_one(range(5)), batch_size))


@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_worker_that_dies_is_an_error_and_no_result_is_skipped(how):
    def die(items):
        if items == [11]:
            if how == "exit":
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        return items

    results = []
    message = "killed by SIGKILL, perhaps because memory" if how == "kill" else "with exit code 3"
    with WorkerPool(2) as pool, pytest.raises(SeqitError, match=message):
        results.extend(pool.map(die, one_by_one(range(1000)), batch_size))
    assert results == list(range(11))


def test_a_producer_that_dies_is_an_error():
    def items():
        yield from range(10)
        os.kill(os.getpid(), signal.SIGKILL)

    results = []
    with WorkerPool(2) as pool, pytest.raises(SeqitError, match="killed by SIGKILL"):
        for result, _ in pool.map(doubled, one_by_one(items()), batch_size):
            results.append(result)
    assert results == list(range(0, 20, 2))


def test_no_process_is_left_if_the_results_are_not_all_read():
    with WorkerPool(2) as pool:
        results = pool.map(doubled, one_by_one(count()), batch_size)
        processes = {process for _, process in islice(results, 10)} - {os.getpid()}
        assert not any(map(is_gone, processes))
    assert len(processes) == 2
    assert all(map(is_gone, processes))


SCRIPT = """
import os, time
from seqit.engine.processes import MIN_PARALLEL_BYTES, WorkerPool

def items():
    yield [0]
    os.write(1, b"%d\\n" % os.getpid())  # one write each, since several processes write
    yield [1]
    yield [2]
    time.sleep(600)

def function(items):
    os.write(1, b"%d\\n" % os.getpid())
    return items

with WorkerPool(2) as pool:
    for _ in pool.map(function, items(), lambda item: MIN_PARALLEL_BYTES):
        pass
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_one_that_started_it(number):
    process = subprocess.Popen(
        [BIN / "python", "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    children = {int(process.stdout.readline()) for _ in range(4)} - {process.pid}
    assert len(children) == 3
    process.send_signal(number)
    process.wait(20)
    deadline = time.monotonic() + 20
    while not all(map(is_gone, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(map(is_gone, children))
    process.stdout.close()
