"""What can go wrong while a model is traced."""

from masktools.errors import StructureError

__all__ = ["TraceError", "UnfollowedError"]


class TraceError(StructureError):
    """An operation whose effect on connectivity is not known."""


class UnfollowedError(Exception):
    """Why one call cannot be followed, in half a sentence: who handles the call says which one it is."""
