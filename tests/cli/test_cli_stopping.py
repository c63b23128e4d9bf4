"""Stopping a training in every way, as another process sees it; what need not be one runs in this process."""

import contextlib
import faulthandler
import gc
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from masktools.runs import open_run
from masktools.verification import verify

pytestmark = pytest.mark.slow

SMALL = ("--set", "model.options.widths=[16]", "--set", "data.options.test_share=0.8", "--density", "0.2")


def command(path, epochs, *more):
    return ("train", "digits", "--out", path, *SMALL, "--epochs", epochs, "-q", "--format", "json", *more)


@pytest.fixture
def start():
    """Return a function that starts a training; what still runs when the test ends is killed."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(training(*arguments))


@contextlib.contextmanager
def training(*arguments):
    words = [sys.executable, "-m", "masktools", *map(str, command(*arguments))]
    # A shell that runs the tests in the background has SIGINT ignored, and ignored signals are inherited.
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(path, process):
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on_and_does(number, status, start, output, tmp_path):
    path, last = tmp_path / "run", 80
    process = start(path, last)
    wait_for(path / "epoch-0003.h5", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    told = err.partition(f"masktools: warning: stopped; this goes on with {path}: masktools ")[2].splitlines()[0]
    assert "Traceback" not in err
    assert list(path.glob("*.tmp")) == []
    assert verify(path).problems == ()
    stopped = open_run(path)
    assert 3 <= stopped.epochs[-1] < last
    assert len(stopped.metrics) == len(stopped)
    before = (path / "epoch-0003.h5").stat().st_mtime_ns
    assert shlex.split(told) == [*map(str, command(path, last)), "--resume"]
    assert json.loads(output(*shlex.split(told)))["runs"][0]["epochs"] == last
    assert open_run(path).epochs == tuple(range(last + 1))
    assert (path / "epoch-0003.h5").stat().st_mtime_ns == before


def test_a_second_process_is_refused_and_the_first_goes_on(start, failure, tmp_path):
    path, far = tmp_path / "run", 100_000
    first = start(path, far)
    wait_for(path / "epoch-0001.h5", first)
    # Were it not refused, it would train for hours.
    faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__)
    for option in ("--resume", "--overwrite"):
        err = failure(*command(path, far, option))
        assert err == f"masktools: error: {path}: another process (pid {first.pid}) writes to this run\n"
    faulthandler.cancel_dump_traceback_later()
    reached = open_run(path).epochs[-1]
    wait_for(path / f"epoch-{reached + 5:04d}.h5", first)
    first.terminate()
    assert first.wait(timeout=60) == 143
    assert verify(path).problems == ()


@pytest.mark.skipif(os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="needs to mount a small disk")
def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_when_there_is_room(output, failure, tmp_path):
    disk, last = tmp_path / "disk", 40
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        err = failure(*command(disk / "run", last))
        assert "cannot be written" in err
        assert "No space left on device" in err or "full" in err.lower() or "write" in err.lower()
        assert verify(disk / "run").problems == ()
        epochs = open_run(disk / "run").epochs
        assert epochs == tuple(range(len(epochs)))
        assert 1 < len(epochs) < last
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        output(*command(disk / "run", last, "--resume"))
        output(*command(tmp_path / "whole", last))
        for epoch in (epochs[-1], len(epochs), last):
            name = f"epoch-{epoch:04d}.h5"
            assert (disk / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        assert verify(disk / "run").problems == ()
    finally:
        gc.collect()  # the file that torch could not write to the end is closed with its error
        subprocess.run(["umount", disk], check=True)
