"""Files and folders that are being written, and what a killed writer leaves of them."""

import multiprocessing
import signal
import threading
import time

import pytest

from seqit.stores.partial import partial_file, partial_folder

MAKERS = [partial_file, partial_folder]


def fill(path):
    if path.is_dir():
        (path / "inside").write_text("new")
    else:
        path.write_text("new")


def hold(make, final):
    with make(final) as path:
        fill(path)
        (final.parent / "ready").touch()
        time.sleep(60)


def killed(make, final):
    """Have a process killed in the middle of writing, and return what it left."""
    writer = multiprocessing.get_context("spawn").Process(target=hold, args=(make, final))
    writer.start()
    ready = final.parent / "ready"
    deadline = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    ready.unlink()
    writer.kill()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    (left,) = final.parent.glob(".*.partial")
    return left


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_renamed_stays_and_what_is_not_goes(make, tmp_path):
    with make(tmp_path / "a") as path:
        fill(path)
        path.rename(tmp_path / "a")
    with make(tmp_path / "b") as path:
        fill(path)
    with pytest.raises(KeyError), make(tmp_path / "c") as path:
        raise KeyError
    assert [found.name for found in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", ["out", "[o]*.x"])
def test_the_next_writer_removes_what_a_killed_one_left(make, name, tmp_path):
    left = killed(make, tmp_path / name)
    with make(tmp_path / "other"):
        assert left.exists()
    with make(tmp_path / name):
        assert not left.exists()


@pytest.mark.parametrize("make", MAKERS)
def test_a_writer_that_lives_is_left_alone(make, tmp_path):
    with make(tmp_path / "out") as first, make(tmp_path / "out") as second:
        assert first.exists() and second.exists() and first != second


@pytest.mark.parametrize("make", MAKERS)
def test_what_somebody_else_named_so_is_left_alone(make, tmp_path):
    others = [tmp_path / name for name in (".out.partial", ".out.jsonl.01234567.partial", "out")]
    for other in others:
        other.touch()
    with make(tmp_path / "out"):
        assert all(other.exists() for other in others)


def test_many_writers_at_once_take_nothing_from_each_other(tmp_path):
    failed = []

    def write():
        for _ in range(100):
            with partial_file(tmp_path / "out") as path:
                fill(path)
                try:
                    path.replace(tmp_path / "out")
                except OSError as error:
                    failed.append(error)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failed
    assert [found.name for found in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("make", MAKERS)
def test_a_folder_that_is_not_there_is_an_error(make, tmp_path):
    with pytest.raises(FileNotFoundError), make(tmp_path / "no" / "out"):
        pass
