"""Lengths of time as they are written in recipes: epochs or iterations."""

from masktools.errors import RecipeError

__all__ = ["DURATION", "steps_of"]

DURATION = r"^\d+(ep|it)$"
"""Pattern of a duration: ``2ep`` (epochs) or ``500it`` (iterations)."""


def steps_of(duration: str, steps_per_epoch: int | None, option: str) -> int:
    """Return the number of steps of a duration.

    Parameters
    ----------
    duration
        Fits `DURATION`.
    steps_per_epoch
        Length of an epoch; None where it is not known.
    option
        Whose duration it is, for the error.

    Raises
    ------
    RecipeError
        If it is in epochs and their length is not known.
    """
    number = int(duration[:-2])
    if duration.endswith("it"):
        return number
    if steps_per_epoch is None:
        raise RecipeError(f"{option} counts in epochs: give steps_per_epoch=, or iterations in place of {duration!r}")
    return number * steps_per_epoch
