"""Parts in processes of this machine, which die, are interrupted, or lose the one that started them."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import executor_parts as parts
import pytest

from masktools.errors import RunError, TaskError
from masktools.executor import local
from masktools.executor.run import run_tasks
from masktools.executor.tasks import Task

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _nothing_is_left():
    yield
    assert multiprocessing.active_children() == []


def test_results_keep_the_order_of_the_tasks_and_processes_are_used_again():
    seen = []
    tasks = [Task("late", parts.slow, (0.5, 1)), *(Task(f"n{n}", parts.pid) for n in range(6))]
    found = run_tasks(tasks, jobs=2, finished=lambda task, value: seen.append((task.key, value)))
    assert list(found) == [task.key for task in tasks]
    assert sorted(seen) == sorted(found.items())
    processes = {value for key, value in found.items() if key != "late"}
    assert os.getpid() not in processes
    assert len(processes) <= 2


@pytest.mark.parametrize(("before", "jobs"), [(None, 2), (None, 100), ("7", 2)])
def test_processes_share_the_cores(before, jobs, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if before is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = run_tasks([Task(f"n{n}", parts.threads) for n in range(2)], jobs=jobs)
    # A hundred processes for two parts are two.
    assert set(found.values()) == {before or str(max(1, cores // 2))}
    assert os.environ.get("OMP_NUM_THREADS") == before


def test_a_part_may_start_processes_of_its_own():
    assert run_tasks([Task("a", parts.with_a_process)], jobs=2) == {"a": 0}


def test_a_part_that_fails_leaves_the_others_alone():
    seen = []
    tasks = [
        Task("a", parts.square, (3,)),
        Task("closure", lambda: None),
        Task("refused", parts.refuse, ("runs/b: is full",)),
        Task("divided", parts.divide, (1,)),
        Task("left", parts.leave, (3,)),
        Task("stubborn", parts.stubborn),
        Task("unsendable", parts.unsendable),
        Task("z", parts.square, (4,)),
    ]
    with pytest.raises(TaskError, match=r"^6 of 8 parts failed, the first of them closure: it cannot be") as caught:
        run_tasks(tasks, jobs=2, finished=lambda task, value: seen.append((task.key, value)))
    assert sorted(seen) == [("a", 9), ("z", 16)]
    reasons = caught.value.reasons
    assert list(reasons) == [task.key for task in tasks[1:-1]]
    assert reasons["refused"] == "runs/b: is full"
    assert reasons["divided"] == "ZeroDivisionError: integer division or modulo by zero"
    assert reasons["left"] == "SystemExit: 3"
    assert reasons["stubborn"] == "StubbornError: one two"
    assert "unsendable" in reasons["unsendable"]
    with pytest.raises(TaskError) as caught:
        run_tasks(tasks[2:4], jobs=2)
    cause = caught.value.__cause__
    assert isinstance(cause, RunError)
    # Where it arose in the other process.
    assert "in refuse" in cause.__notes__[0]


def test_a_part_whose_process_dies_is_tried_again(tmp_path):
    tasks = [Task(f"n{n}", parts.die_once, (tmp_path / f"marker{n}", n)) for n in range(3)]
    assert run_tasks(tasks, jobs=2) == {"n0": 0, "n1": 1, "n2": 2}


def test_a_death_is_noticed_though_another_process_holds_its_files(tmp_path):
    begun = time.monotonic()
    tasks = [Task("a", parts.die_with_an_heir, (tmp_path / "marker", 5)), Task("b", parts.pid)]
    assert run_tasks(tasks, jobs=2)["a"] == 5
    assert time.monotonic() - begun < 5


def test_a_part_that_always_dies_takes_nobody_with_it(tmp_path):
    folder = str(tmp_path)
    tasks = [
        Task("killer", parts.die),
        Task("neighbour", parts.announce, (folder, "neighbour", 2)),
        *(Task(f"n{n}", parts.square, (n,)) for n in range(3)),
    ]
    seen = {}
    with pytest.raises(TaskError) as caught:
        run_tasks(tasks, jobs=2, finished=lambda task, value: seen.update({task.key: value}))
    assert str(caught.value) == (
        "1 of 5 parts failed, killer: its process died 3 times (SIGKILL, perhaps for want of memory)"
    )
    assert seen == {"neighbour": "neighbour", "n0": 0, "n1": 1, "n2": 4}
    # Alive all the time, while the other died three times beside it.
    assert len((tmp_path / "neighbour").read_text().split()) == 1


class UnwelcomeError(Exception):
    pass


def unwelcome(task, value):
    raise UnwelcomeError


def test_an_error_of_the_listener_ends_the_parts(tmp_path):
    tasks = [
        Task("long", parts.announce, (tmp_path, "long", 60)),
        Task("short", parts.wait_for, (tmp_path / "long", 1)),
    ]
    begun = time.monotonic()
    with pytest.raises(UnwelcomeError):
        run_tasks(tasks, jobs=2, finished=unwelcome)
    assert time.monotonic() - begun < 5
    assert parts.ended(*parts.announced(tmp_path, "long"))
    assert (tmp_path / "long.closed").exists()


def test_a_part_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_GRACE", 0.5)
    tasks = [Task("stay", parts.stay, (tmp_path,)), Task("short", parts.wait_for, (tmp_path / "stay", 1))]
    with pytest.raises(UnwelcomeError):
        run_tasks(tasks, jobs=2, finished=unwelcome)
    assert parts.ended(*parts.announced(tmp_path, "stay"))


PROGRAM = """
    import pathlib, sys, time
    if {start} and __name__ == "__mp_main__":
        pathlib.Path(sys.argv[1], "starting").touch()
        time.sleep({start})
    sys.path.insert(0, {tests!r})
    import executor_parts as parts
    from masktools.cli.signals import ending_on_sigterm
    from masktools.executor.run import run_tasks
    from masktools.executor.tasks import Task

    def main():
        tasks = [Task(key, parts.announce, (sys.argv[1], key, 60)) for key in ("a", "b", "c")]
        with ending_on_sigterm():
            run_tasks(tasks, jobs=2)

    {guard}main()
"""


@contextlib.contextmanager
def program(folder, guard="if __name__ == '__main__': ", start=0):
    """Start a program that runs three parts of a minute in two processes, a group of its own as in a terminal."""
    path = folder / "program.py"
    path.write_text(textwrap.dedent(PROGRAM.format(tests=str(Path(__file__).parent), guard=guard, start=start)))
    with subprocess.Popen(
        [sys.executable, path, folder],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell that runs the tests in the background has SIGINT ignored, and ignored signals are inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_an_interrupted_program_leaves_no_process(number, status, group, tmp_path):
    with program(tmp_path) as process:
        workers = parts.announced(tmp_path, "a", "b")
        begun = time.monotonic()
        (os.killpg if group else os.kill)(process.pid, number)
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - begun < 5
    assert process.returncode == status
    assert all(map(parts.ended, workers))
    assert sorted(path.name for path in tmp_path.glob("?.closed")) == ["a.closed", "b.closed"]
    assert not (tmp_path / "c").exists()
    # What Python says of Ctrl-C in the program itself, and nothing of the workers.
    assert err.count("Traceback") == (number == signal.SIGINT)
    assert err == "" or err.endswith("\nKeyboardInterrupt\n")


def test_processes_interrupted_while_they_start_say_nothing(tmp_path):
    with program(tmp_path, start=30) as process:
        parts.wait_for(tmp_path / "starting", None)
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert time.monotonic() - begun < 5
    assert err.count("Traceback") == 1
    assert "spawn_main" not in err


def test_processes_end_with_a_program_that_is_killed(tmp_path):
    with program(tmp_path) as process:
        workers = parts.announced(tmp_path, "a", "b")
        process.kill()
        assert all(map(parts.ended, workers))


def test_a_program_without_a_guard_is_told_so(tmp_path):
    with program(tmp_path, guard="") as process:
        _, err = process.communicate(timeout=60)
    assert "its process died 3 times before it began (exit status 1)" in err
    assert "has no if __name__ == '__main__'" in err
