"""An exception of somebody else's code in one line."""

__all__ = ["first_line"]


def first_line(error: BaseException) -> str:
    """Return the type of an exception, and the first line of what it says.

    Parameters
    ----------
    error
        Of torch, for example, whose explanations may be pages long.

    Returns
    -------
    str
        One line.
    """
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
