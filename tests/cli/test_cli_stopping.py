"""Stopping a training in every way, as another process sees it."""

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

OPTIONS = ("--set", "model.options.widths=[16]", "--density", "0.2", "--epochs", "150", "-q", "--format", "json")


def start(path, *more):
    command = [sys.executable, "-m", "masktools", "train", "digits", "--out", path, *OPTIONS, *more]
    # A shell that runs the tests in the background has SIGINT ignored, and ignored signals are inherited.
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(path, process):
    end = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on_and_does(number, status, tmp_path):
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
    assert 3 <= stopped.epochs[-1] < 150
    assert len(stopped.metrics) == len(stopped)
    before = (path / "epoch-0003.h5").stat().st_mtime_ns
    resumed = start(path, "--resume")
    out, err = resumed.communicate(timeout=120)
    assert (resumed.returncode, err) == (0, "")
    assert json.loads(out)["runs"][0]["epochs"] == 150
    assert open_run(path).epochs == tuple(range(151))
    assert (path / "epoch-0003.h5").stat().st_mtime_ns == before


def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path):
    path = tmp_path / "run"
    first = start(path)
    wait_for(path / "epoch-0001.h5", first)
    for option in ("--resume", "--overwrite"):
        second = start(path, option)
        out, err = second.communicate(timeout=60)
        assert (second.returncode, out) == (2, "")
        assert err == f"masktools: error: {path}: another process (pid {first.pid}) writes to this run\n"
    out, err = first.communicate(timeout=120)
    assert (first.returncode, err) == (0, "")
    assert verify(path).problems == ()
    assert open_run(path).epochs[-1] == 150


@pytest.mark.skipif(os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="needs to mount a small disk")
def test_a_full_disk_is_one_clear_error_and_the_run_goes_on_when_there_is_room(tmp_path):
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
        assert 1 < len(epochs) < 150
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        resumed = start(disk / "run", "--resume")
        out, err = resumed.communicate(timeout=120)
        assert (resumed.returncode, err) == (0, "")
        whole = start(tmp_path / "whole")
        whole.communicate(timeout=120)
        for epoch in (epochs[-1], len(epochs), 150):
            name = f"epoch-{epoch:04d}.h5"
            assert (disk / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
        assert verify(disk / "run").problems == ()
    finally:
        subprocess.run(["umount", disk], check=False)
