"""One writer a directory, whatever happens to it."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest

from masktools import run_lock
from masktools.errors import RunError
from masktools.run_lock import LOCK, locked

HOLD = """
import sys, time
from pathlib import Path
from masktools.run_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_and_told_who_holds_it(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunError, match=rf"another process \(pid {holder.pid}\) writes to this run"),
            locked(tmp_path),
        ):
            pass
        # The system lets go, even of a process that could not.
        os.kill(holder.pid, signal.SIGKILL)
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"pid {os.getpid()}\n"


def test_the_lock_is_let_go_at_the_end_and_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path):
            raise ZeroDivisionError
    with locked(tmp_path), pytest.raises(RunError, match="another process"), locked(tmp_path):
        pass


def test_a_reader_that_asks_at_the_moment_when_a_writer_begins_does_not_keep_it_out(tmp_path, monkeypatch):
    with (tmp_path / LOCK).open("w") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)  # as is_locked does for an instant
        monkeypatch.setattr(run_lock.time, "sleep", lambda _: fcntl.flock(reader, fcntl.LOCK_UN))
        with locked(tmp_path):
            assert run_lock.is_locked(tmp_path)


def test_a_directory_without_room_for_a_lock_is_named(tmp_path):
    with pytest.raises(RunError, match=r"missing/\.lock: cannot be opened"), locked(tmp_path / "missing"):
        pass
