"""Errors that a user can cause: each message is one sentence that names the file, key or option."""

__all__ = ["MasktoolsError", "RecipeError", "RunError", "SnapshotError", "StructureError", "TrainingError"]


class MasktoolsError(Exception):
    """Base class of every error that input, rather than a bug, can cause."""


class SnapshotError(MasktoolsError):
    """A snapshot file that cannot be read or written; names the file and the key."""


class RunError(MasktoolsError):
    """A run directory that is missing, incomplete, or already in use."""


class RecipeError(MasktoolsError):
    """A training recipe, option, model or data set that cannot be used as asked."""


class StructureError(MasktoolsError):
    """Masks that cannot be compared or measured as asked, for example unequal layers."""


class TrainingError(MasktoolsError):
    """Training that cannot go on, for example because it diverged."""
