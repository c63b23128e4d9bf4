"""Parts in this process, and what is asked for wrongly; other processes are the matter of the tests beside this one."""

import sys
import time

import executor_parts as parts
import pytest

import masktools as mt
from masktools.errors import RunError, TaskError
from masktools.executor.run import run_tasks
from masktools.executor.tasks import Task


def squares(count):
    return [Task(f"n{number}", parts.square, (number,)) for number in range(count)]


def test_results_come_by_key_in_the_order_of_the_tasks():
    seen = []
    found = run_tasks(squares(4), finished=lambda task, value: seen.append((task.key, value)))
    assert list(found.items()) == [("n0", 0), ("n1", 1), ("n2", 4), ("n3", 9)]
    assert seen == list(found.items())


def test_nothing_to_do_is_no_error():
    assert run_tasks([]) == {}
    assert run_tasks([], jobs=3) == {}


def test_a_part_that_fails_leaves_the_others_alone():
    seen = []
    tasks = [
        Task("a", parts.square, (3,)),
        Task("b", parts.refuse, ("runs/b: another process\nwrites to this run",)),
        Task("c", parts.divide, (1,)),
        Task("d", parts.square, (4,)),
    ]
    with pytest.raises(TaskError) as caught:
        run_tasks(tasks, finished=lambda task, value: seen.append(task.key))
    reason = "runs/b: another process writes to this run"
    assert str(caught.value) == f"2 of 4 parts failed, the first of them b: {reason}"
    assert caught.value.reasons == {
        "b": reason,
        "c": "ZeroDivisionError: integer division or modulo by zero",
    }
    assert isinstance(caught.value.__cause__, RunError)
    assert seen == ["a", "d"]
    with pytest.raises(TaskError, match=r"^1 of 1 parts failed, c: ZeroDivisionError: integer") as caught:
        run_tasks([tasks[2]])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_interrupts_a_part_interrupts_all():
    seen = []
    with pytest.raises(SystemExit, match="3"):
        run_tasks([Task("a", parts.leave, (3,)), *squares(2)], finished=lambda task, value: seen.append(task.key))
    assert seen == []


@pytest.mark.parametrize(
    ("tasks", "options", "message"),
    [
        ([*squares(3), Task("n1", parts.pid)], {}, "two parts are called 'n1'"),
        (squares(1), {"jobs": 0}, "jobs must be 1 or more, not 0"),
        (squares(1), {"jobs": 2, "scheduler": "tcp://127.0.0.1:1"}, "give one of them"),
    ],
)
def test_what_cannot_be_run_as_asked_is_one_error(tasks, options, message):
    with pytest.raises(TaskError, match=message) as caught:
        run_tasks(tasks, **options)
    assert caught.value.reasons == {}


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(TaskError, match=r"needs Dask: pip install masktools\[dask\]$"):
        run_tasks(squares(1), scheduler="tcp://127.0.0.1:1")


def test_the_names_are_public():
    assert mt.run_tasks([mt.Task("a", time.monotonic)])["a"] > 0
