"""Functions that tests run as parts of a computation; other processes import them from here."""

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

from masktools.errors import RunError


def square(number):
    return number * number


def pid():
    return os.getpid()


def threads():
    return os.environ.get("OMP_NUM_THREADS")


def slow(seconds, result):
    time.sleep(seconds)
    return result


def slow_pid(seconds):
    time.sleep(seconds)
    return os.getpid()


def with_a_process():
    """Start a process, as the loading of images does."""
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0,))
    child.start()
    child.join()
    return child.exitcode


def refuse(message):
    raise RunError(message)


def divide(number):
    return number // 0


def leave(status):
    sys.exit(status)


class StubbornError(Exception):
    """An exception that is pickled, but cannot be read again."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def stubborn():
    raise StubbornError("one", "two")


def unsendable():
    return lambda: None


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(marker, result):
    """Kill this process, unless another has been before."""
    try:
        Path(marker).touch(exist_ok=False)
    except FileExistsError:
        return result
    return die()


def wait_for(path, result):
    """Return once a file is there."""
    end = time.monotonic() + 60
    while not Path(path).exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return result


def die_with_an_heir(marker, result):
    """Leave a process behind that has all open files of this one, which dies, unless that has been before."""
    if not Path(marker).exists() and not os.fork():
        time.sleep(8)
        os._exit(0)
    return die_once(marker, result)


def stay(folder):
    """Do not let oneself be interrupted."""
    (Path(folder) / "stay").write_text(f"{os.getpid()}\n")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(SystemExit):
            time.sleep(0.01)


def announce(folder, key, seconds):
    """Write the id of this process to a file, once for every attempt, and go on for some time."""
    end = time.monotonic() + seconds
    # Whoever reads the id may send a signal at once.
    try:
        with (Path(folder) / key).open("a") as file:
            file.write(f"{os.getpid()}\n")
        while time.monotonic() < end:
            time.sleep(0.01)
    finally:
        (Path(folder) / f"{key}.closed").touch()
    return key


def announced(folder, *keys):
    """Return the ids that parts have written, once all have; the last attempt of each."""
    found = []
    for key in keys:
        path = Path(folder) / key
        end = time.monotonic() + 60
        while not path.exists() or not path.read_text().endswith("\n"):
            assert time.monotonic() < end, key
            time.sleep(0.01)
        found.append(int(path.read_text().split()[-1]))
    return found


def ended(process):
    """Return whether a process is gone, or only waits to be reaped, within some seconds."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False
