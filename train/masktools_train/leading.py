"""The first of several processes decides and writes; the others do as it says."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from masktools.errors import MasktoolsError, TrainingError
from masktools_train.distributed import Processes
from masktools_train.progress import EpochRecord
from masktools_train.trainer import Trainer

__all__ = ["Leader", "follow"]


class Leader:
    """What the first process says to the others, none of which looks at the run directory.

    Parameters
    ----------
    processes
        Who trains together; with nobody else, nothing is said.
    made
        Makes the trainer: in every process at the same time, since they meet in it.
    """

    def __init__(self, processes: Processes, made: Callable[[], Trainer]) -> None:
        self.processes, self._made = processes, made
        self._listening = True

    def _say(self, word: str, content: Any = None) -> None:
        self.processes.sent((word, content))

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the others where the first process fails alone inside the block."""
        try:
            yield
        except MasktoolsError:
            if self._listening:
                self._listening = False
                self._say("failed")
            raise

    def make(self) -> Trainer:
        """Make the trainer; what is wrong with the recipe is found by all processes alike."""
        self._say("make")
        self._listening = False
        trainer = self._made()
        self._listening = True
        return trainer

    def run(
        self,
        trainer: Trainer,
        state: dict[str, Any] | None,
        each_epoch: Callable[[Trainer], None],
        source: str = "the saved state",
    ) -> Sequence[EpochRecord]:
        """Train from a state, which comes from `source`, or from the beginning, and return the records."""
        self._say("run", state)
        self._listening = False
        if state is not None:
            trainer.load_state_dict(state, source)
        trainer.run(each_epoch)
        return trainer.records

    def finished(self, records: Sequence[EpochRecord]) -> None:
        """Say that there is nothing to do."""
        self._listening = False
        self._say("finished", list(records))


def follow(processes: Processes, made: Callable[[], Trainer]) -> Sequence[EpochRecord]:
    """Do as the first process says, and return the records.

    Parameters
    ----------
    processes, made
        As for `Leader`.

    Raises
    ------
    TrainingError
        If the first process could not go on.
    """
    trainer: Trainer | None = None
    while True:
        try:
            word, content = processes.sent(None)
            if word == "make":
                trainer = made()
            elif word == "run" and trainer is not None:
                if content is not None:
                    trainer.load_state_dict(content)
                trainer.run(lambda _: None)
                return trainer.records
            elif word == "finished":
                return list(content)
            else:
                raise TrainingError(f"process {processes.rank} stops, as the first one did")
        except RuntimeError as error:
            if not processes.lost(error):
                raise
            raise TrainingError(f"process {processes.rank} lost the others: {error}") from error
