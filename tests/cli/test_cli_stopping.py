"""Stopping a training in every way, as another process sees it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from masktools.runs import open_run
from masktools.verification import verify

pytestmark = pytest.mark.slow

OPTIONS = ("--set", "model.options.widths=[16]", "--density", "0.2", "--epochs", "200", "-q", "--format", "json")


@pytest.fixture
def start():
    """Return a function that starts a training; what still runs when the test ends is killed."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(training(*arguments))


@contextlib.contextmanager
def training(path, *more):
    command = [sys.executable, "-m", "masktools", "train", "digits", "--out", path, *OPTIONS, *more]
    # A shell that runs the tests in the background has SIGINT ignored, and ignored signals are inherited.
    with subprocess.Popen(
        command,
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
def test_a_stopped_run_says_how_to_go_on_and_does(number, status, start, tmp_path):
    path = tmp_path / "run"
    process = start(path)
    wait_for(path / "epoch-0003.h5", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, "")
    assert f"the same command with --resume goes on with {path}" in err
    assert "Traceback" not in err
    assert list(path.glob("*.tmp")) == []
    assert verify(path).problems == ()
    stopped = open_run(path)
    assert 3 <= stopped.epochs[-1] < 200
    assert len(stopped.metrics) == len(stopped)
    before = (path / "epoch-0003.h5").stat().st_mtime_ns
    resumed = start(path, "--resume")
    out, err = resumed.communicate(timeout=120)
    assert (resumed.returncode, err) == (0, "")
    assert json.loads(out)["runs"][0]["epochs"] == 200
    assert open_run(path).epochs == tuple(range(201))
    assert (path / "epoch-0003.h5").stat().st_mtime_ns == before


def test_a_second_process_is_refused_and_the_first_goes_on(start, tmp_path):
    path = tmp_path / "run"
    first = start(path, "--epochs", "100000")
    wait_for(path / "epoch-0001.h5", first)
    for option in ("--resume", "--overwrite"):
        second = start(path, "--epochs", "100000", option)
        out, err = second.communicate(timeout=60)
        assert (second.returncode, out) == (2, "")
        assert err == f"masktools: error: {path}: another process (pid {first.pid}) writes to this run\n"
    reached = open_run(path).epochs[-1]
    wait_for(path / f"epoch-{reached + 5:04d}.h5", first)
    first.terminate()
    assert first.wait(timeout=60) == 143
    assert verify(path).problems == ()


@pytest.mark.skipif(os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="needs to mount a small disk")
def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_when_there_is_room(start, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        process = start(disk / "run")
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (2, "")
        assert err.count("\n") == 1
        assert "cannot be written" in err
        assert "No space left on device" in err or "full" in err.lower() or "write" in err.lower()
        assert verify(disk / "run").problems == ()
        epochs = open_run(disk / "run").epochs
        assert epochs == tuple(range(len(epochs)))
        assert 1 < len(epochs) < 200
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        resumed = start(disk / "run", "--resume")
        out, err = resumed.communicate(timeout=120)
        assert (resumed.returncode, err) == (0, "")
        whole = start(tmp_path / "whole")
        whole.communicate(timeout=120)
        for epoch in (epochs[-1], len(epochs), 200):
            name = f"epoch-{epoch:04d}.h5"
            assert (disk / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        assert verify(disk / "run").problems == ()
    finally:
        subprocess.run(["umount", disk], check=False)
