"""Parts on the workers of a Dask cluster: a scheduler and two workers as a user starts them."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import executor_parts as parts
import pytest

from masktools.errors import RunError, TaskError
from masktools.executor import dask_client
from masktools.executor.run import run_tasks
from masktools.executor.tasks import Task

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


@contextlib.contextmanager
def dask(folder, name, *words):
    """Run a program of Dask's with its output in a file."""
    tests = str(Path(__file__).parent)
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{name.split('-')[0]}", *words, "--no-dashboard"],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # The workers' processes too.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def cluster(folder, workers=2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(dask(folder, "scheduler", "--host", "127.0.0.1", "--port", port))]
        for number in range(workers):
            options = ("--nthreads", "1", "--local-directory", str(folder))
            started.append(stack.enter_context(dask(folder, f"worker-{number}", address, *options)))
        yield address, started


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("cluster")) as (address, _):
        run_tasks([Task("first", parts.pid)], scheduler=address)
        while len(set(run_tasks([Task(f"n{n}", parts.pid) for n in range(4)], scheduler=address).values())) < 2:
            pass
        yield address


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    assert logging.getLogger("distributed").level == logging.INFO
    assert [thread.name for thread in threading.enumerate() if thread.name == "IO loop"] == []


def test_results_keep_the_order_of_the_tasks_and_nothing_is_said(scheduler, capfd):
    seen = []
    tasks = [Task("late", parts.slow, (0.5, 1)), *(Task(f"n{n}", parts.square, (n,)) for n in range(6))]
    found = run_tasks(tasks, scheduler=scheduler, finished=lambda task, value: seen.append((task.key, value)))
    assert list(found.items()) == [("late", 1), *((f"n{n}", n * n) for n in range(6))]
    assert sorted(seen) == sorted(found.items())
    assert capfd.readouterr() == ("", "")


def test_a_part_that_fails_leaves_the_others_alone(scheduler):
    lock = threading.Lock()
    tasks = [
        Task("refused", parts.refuse, ("runs/b: is full",)),
        Task("divided", parts.divide, (1,)),
        Task("left", parts.leave, (3,)),
        Task("stubborn", parts.stubborn),
        # A function without a name travels as a whole, but not a lock.
        Task("lock", lambda: lock),
        Task("closure", lambda: 16),
    ]
    seen = []
    with pytest.raises(TaskError, match=r"^5 of 6 parts failed, the first of them refused: runs/b: is full$") as caught:
        run_tasks(tasks, scheduler=scheduler, finished=lambda task, value: seen.append((task.key, value)))
    assert seen == [("closure", 16)]
    reasons = caught.value.reasons
    assert reasons["divided"] == "ZeroDivisionError: integer division or modulo by zero"
    assert reasons["left"] == "SystemExit: 3"
    assert reasons["stubborn"] == "StubbornError: one two"
    assert "cannot pickle" in reasons["lock"]
    assert isinstance(caught.value.__cause__, RunError)


def test_a_part_whose_worker_is_killed_is_run_by_another(scheduler, tmp_path):
    names = [f"n{n}" for n in range(5)]
    tasks = [Task(name, parts.announce, (tmp_path, name, 1)) for name in names]

    def kill():
        os.kill(parts.announced(tmp_path, "n1")[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    seen = []
    assert run_tasks(tasks, scheduler=scheduler, finished=lambda task, value: seen.append(value)) == {
        name: name for name in names
    }
    killer.join()
    assert sorted(seen) == names
    assert {name: len((tmp_path / name).read_text().split()) for name in names} == dict.fromkeys(names, 1) | {"n1": 2}


def test_a_part_that_always_dies_takes_nobody_with_it(scheduler, tmp_path):
    tasks = [
        Task("killer", parts.die),
        *(Task(f"n{n}", parts.slow, (0.3, n)) for n in range(6)),
    ]
    seen = {}
    with pytest.raises(TaskError, match=r"^1 of 7 parts failed, killer: its process died 4 times$"):
        run_tasks(tasks, scheduler=scheduler, finished=lambda task, value: seen.update({task.key: value}))
    assert seen == {f"n{n}": n for n in range(6)}


PROGRAM = """
    import sys
    import executor_parts as parts
    from masktools.cli.signals import ending_on_sigterm
    from masktools.executor.run import run_tasks
    from masktools.executor.tasks import Task

    tasks = [Task(key, parts.announce, (sys.argv[1], key, 60)) for key in ("a", "b", "c")]
    with ending_on_sigterm():
        run_tasks(tasks, scheduler=sys.argv[2])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_parts_end_with_the_program_that_asked_for_them(number, scheduler, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), tmp_path, scheduler],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        workers = parts.announced(tmp_path, "a", "b")
        begun = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - begun < 5
    assert process.returncode == (143 if number == signal.SIGTERM else -number)
    assert err == "" or (number == signal.SIGINT and err.endswith("\nKeyboardInterrupt\n"))
    for name in ("a", "b"):
        parts.wait_for(tmp_path / f"{name}.closed", None)
    # The workers themselves are alive and take the next that comes.
    found = run_tasks([Task(f"n{n}", parts.slow_pid, (0.2,)) for n in range(2)], scheduler=scheduler)
    assert set(found.values()) == set(workers)
    assert not (tmp_path / "c").exists()


def test_a_lost_scheduler_is_one_error(tmp_path):
    with cluster(tmp_path, workers=1) as (address, (process, _)):
        threading.Thread(target=lambda: (parts.announced(tmp_path, "a"), process.kill())).start()
        with pytest.raises(TaskError, match=rf"^scheduler {address}: lost while 2 parts were still to be finished$"):
            run_tasks([Task(key, parts.announce, (tmp_path, key, 60)) for key in "ab"], scheduler=address)


def test_a_cluster_without_workers_is_one_error(tmp_path, monkeypatch):
    with cluster(tmp_path, workers=0) as (address, _):
        dask_client._call("127.0.0.1", int(address.rpartition(":")[2]))
        monkeypatch.setattr(dask_client, "_REACH", 1)
        with pytest.raises(TaskError, match=rf"it has no workers; start some with: dask worker {address} --nthreads 1"):
            run_tasks([Task("a", parts.pid)], scheduler=address)


@pytest.mark.parametrize("address", ["somewhere", "tcp://somewhere", "tcp://:8786", "http://a:1", "tcp://a:99999", ""])
def test_what_is_no_address_is_said_at_once(address):
    begun = time.monotonic()
    with pytest.raises(TaskError, match=r"^scheduler '.*': is not an address like tcp://host:8786$"):
        run_tasks([Task("a", parts.pid)], scheduler=address)
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("greeting", "message"),
    [(None, "refused"), (b"", "timed out"), (b"SSH-2.0-OpenSSH_9.6\r\n", "not a Dask scheduler")],
)
def test_a_scheduler_that_is_not_there_is_one_error(greeting, message, monkeypatch):
    assert dask_client._REACH == 10
    monkeypatch.setattr(dask_client, "_REACH", 1)
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.suppress(ConnectionError):
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"

        def greet():
            connections = []
            with contextlib.suppress(OSError):
                while True:
                    connections.append(server.accept()[0])
                    connections[-1].sendall(greeting)
            for connection in connections:
                connection.close()

        if greeting is None:
            server.close()
        else:
            threading.Thread(target=greet, daemon=True).start()
        begun = time.monotonic()
        with pytest.raises(TaskError, match=rf"^scheduler {address}: cannot be reached: .*{message}$"):
            run_tasks([Task("a", parts.pid)], scheduler=address)
        assert time.monotonic() - begun < 5
        server.close()
