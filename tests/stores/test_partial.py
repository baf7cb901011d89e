"""Unfinished files and folders, and the removal of those that a killed writer left."""

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


def write_slowly(make, final):
    with make(final) as path:
        fill(path)
        (final.parent / "ready").touch()
        time.sleep(60)


def leftover_of_killed_writer(make, final):
    """Kill a process in the middle of writing, and return the file or folder it left."""
    writer = multiprocessing.get_context("spawn").Process(target=write_slowly, args=(make, final))
    writer.start()
    ready = final.parent / "ready"
    deadline = time.monotonic() + 30
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    ready.unlink()
    writer.kill()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    (leftover,) = final.parent.glob(".*.partial")
    return leftover


@pytest.mark.parametrize("make", MAKERS)
def test_a_renamed_path_stays_and_any_other_is_removed(make, tmp_path):
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
def test_the_next_writer_removes_the_leftover_of_a_killed_one(make, name, tmp_path):
    leftover = leftover_of_killed_writer(make, tmp_path / name)
    with make(tmp_path / "other"):
        assert leftover.exists()
    with make(tmp_path / name):
        assert not leftover.exists()


@pytest.mark.parametrize("make", MAKERS)
def test_the_file_of_a_running_writer_is_kept(make, tmp_path):
    with make(tmp_path / "out") as first, make(tmp_path / "out") as second:
        assert first.exists() and second.exists() and first != second


@pytest.mark.parametrize("make", MAKERS)
def test_files_with_similar_names_are_kept(make, tmp_path):
    others = [tmp_path / name for name in (".out.partial", ".out.jsonl.01234567.partial", "out")]
    for other in others:
        other.touch()
    with make(tmp_path / "out"):
        assert all(other.exists() for other in others)


def test_concurrent_writers_do_not_remove_each_others_files(tmp_path):
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
def test_a_missing_parent_folder_is_an_error(make, tmp_path):
    with pytest.raises(FileNotFoundError), make(tmp_path / "no" / "out"):
        pass


class Stopped(BaseException):
    """Raised as by a signal's handler."""


@pytest.mark.parametrize("make", MAKERS)
def test_a_signal_right_after_the_creation_leaves_nothing(make, tmp_path, monkeypatch):
    def stopped(*_):
        raise Stopped

    monkeypatch.setattr("seqit.stores.partial.fcntl.flock", stopped)
    with pytest.raises(Stopped), make(tmp_path / "out"):
        pass
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
