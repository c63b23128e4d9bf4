"""Write files while training goes on: in order, never more than one epoch behind, no error lost."""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["BackgroundWriter"]

Job = Callable[[], None]


class BackgroundWriter:
    """Runs jobs one after the other in a thread of its own.

    One job is at work and one may wait; whoever submits a third waits too, so that memory stays bounded and no
    epoch is dropped. After a job has failed, none of the later ones runs: what is on disk ends with the last
    epoch that was written whole.
    """

    def __init__(self) -> None:
        self._jobs: queue.Queue[Job | None] = queue.Queue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="masktools-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Run a job after those that were submitted before.

        Raises
        ------
        BaseException
            What an earlier job raised.
        """
        self._complain()
        self._jobs.put(job)
        self._complain()

    def close(self) -> None:
        """Wait until everything that was submitted is done.

        Raises
        ------
        BaseException
            What a job raised.
        """
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()
        self._complain()

    def _complain(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._error is None:
                try:
                    job()
                except BaseException as error:  # told to whoever submits or closes
                    self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except BaseException as unwritten:
            # Why training ended comes first, if it ended for another reason than this.
            if error is None or error is unwritten:
                raise
            error.add_note(f"moreover, not everything could be written: {unwritten}")
