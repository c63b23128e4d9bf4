"""Errors that come out of code of the user's: told as such, with the function that a recipe names and the place."""

import contextlib
import sys
import traceback
from collections.abc import Iterator

from masktools.errors import MasktoolsError, RecipeError
from masktools_train.distributed import Processes
from masktools_train.error_text import first_line

__all__ = ["own_failure", "telling_own_failures"]


def own_failure(kind: str, name: str, error: BaseException) -> RecipeError:
    """Return what to say when a function of the user's fails.

    Parameters
    ----------
    kind
        ``model`` or ``data``.
    name
        What the recipe calls it: ``package.module:function``.
    error
        What came out of it.
    """
    place = _place(name, error)
    return RecipeError(f"{kind} {name!r} fails: {first_line(error)}{'' if place is None else f' ({place})'}")


@contextlib.contextmanager
def telling_own_failures(model: str, data: str) -> Iterator[None]:
    """Tell errors that came through the module of the user's model or data inside the block from bugs of ours.

    Parameters
    ----------
    model, data
        What the recipe calls them; built-in ones have no module of the user's.

    Raises
    ------
    RecipeError
        In place of such an error; it names the function and the line.
    """
    try:
        yield
    except MasktoolsError:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and Processes.lost(error):  # met within a layer: the others say why
            raise
        for kind, name in (("model", model), ("data", data)):
            if _place(name, error) is not None:
                raise own_failure(kind, name, error) from error
        raise


def _place(name: str, error: BaseException) -> str | None:
    """Return the innermost line of the named module that an error came through, or None where it did not."""
    module, separator, _ = name.partition(":")
    file = getattr(sys.modules.get(module), "__file__", None) if separator else None
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}, line {frames[-1].lineno}" if frames else None
