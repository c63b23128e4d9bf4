"""Errors that a user can cause: each message is one sentence that names the file, key or option."""

from collections.abc import Mapping

__all__ = [
    "CheckpointError",
    "MasktoolsError",
    "RecipeError",
    "RunError",
    "SnapshotError",
    "StructureError",
    "TaskError",
    "TrainingError",
]


class MasktoolsError(Exception):
    """Base class of every error that input, rather than a bug, can cause."""


class SnapshotError(MasktoolsError):
    """A snapshot file that cannot be read or written; names the file and the key."""


class RunError(MasktoolsError):
    """A run directory that is missing, incomplete, or already in use."""


class CheckpointError(MasktoolsError):
    """A file of another program that cannot be imported; names the file and the key."""


class RecipeError(MasktoolsError):
    """A training recipe, option, model or data set that cannot be used as asked."""


class StructureError(MasktoolsError):
    """Masks that cannot be compared or measured as asked, for example unequal layers."""


class TrainingError(MasktoolsError):
    """Training that cannot go on, for example because it diverged."""


class TaskError(MasktoolsError):
    """Parts of a computation that failed, or that cannot be run as asked.

    Parameters
    ----------
    message
        The sentence.
    reasons
        Why each part failed, by its key; empty where none was run.
    """

    def __init__(self, message: str, reasons: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reasons = dict(reasons or {})
