"""Writing in the background: order, bounded lag, no error lost."""

import threading
import time

import pytest

from masktools_train.background import BackgroundWriter


def test_jobs_run_in_order_and_all_of_them():
    done = []
    with BackgroundWriter() as writer:
        for number in range(50):
            writer.submit(lambda number=number: (time.sleep(0.001 if number % 7 else 0.005), done.append(number)))
    assert done == list(range(50))


def test_work_goes_on_while_a_job_runs_but_never_more_than_two_behind():
    gate, started = threading.Event(), threading.Event()
    writer = BackgroundWriter()
    writer.submit(lambda: (started.set(), gate.wait()))
    assert started.wait(5)
    writer.submit(lambda: None)  # waits in the queue
    third = threading.Thread(target=writer.submit, args=(lambda: None,))
    third.start()
    third.join(0.1)
    assert third.is_alive()  # memory is bounded: a third job waits for room
    gate.set()
    third.join(5)
    assert not third.is_alive()
    writer.close()


def test_an_error_reaches_the_next_submission_and_nothing_is_written_after_it():
    done = []

    def fail():
        raise OSError("disk full")

    writer = BackgroundWriter()
    writer.submit(fail)
    while writer._error is None:
        time.sleep(0.001)
    with pytest.raises(OSError, match="disk full"):
        writer.submit(lambda: done.append(1))
    with pytest.raises(OSError, match="disk full"):
        writer.close()
    assert done == []


def test_jobs_queued_behind_a_failure_do_not_run():
    done, gate = [], threading.Event()

    def fail():
        gate.wait()
        raise OSError("disk full")

    writer = BackgroundWriter()
    writer.submit(fail)
    writer.submit(lambda: done.append(1))
    gate.set()
    with pytest.raises(OSError, match="disk full"):
        writer.close()
    assert done == []


def test_an_error_of_the_last_job_is_raised_at_the_end():
    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), BackgroundWriter() as writer:
        writer.submit(fail)


def stop_after(*jobs):
    with BackgroundWriter() as writer:
        for job in jobs:
            writer.submit(job)
        raise KeyboardInterrupt


def test_the_reason_to_stop_is_not_hidden_by_a_failed_write():
    def fail():
        raise OSError("disk full")

    with pytest.raises(KeyboardInterrupt) as caught:
        stop_after(fail)
    assert "disk full" in "".join(caught.value.__notes__)


def test_what_was_submitted_is_written_even_if_training_is_interrupted():
    done = []
    with pytest.raises(KeyboardInterrupt):
        stop_after(lambda: (time.sleep(0.05), done.append(1)), lambda: done.append(2))
    assert done == [1, 2]
