"""The command line as it was typed, for messages that say what to type next."""

import contextlib
import contextvars
import shlex
from collections.abc import Iterator, Sequence

__all__ = ["remembering", "resuming"]

_arguments: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("arguments", default=())


@contextlib.contextmanager
def remembering(arguments: Sequence[str]) -> Iterator[None]:
    """Remember the arguments of the program inside the block."""
    token = _arguments.set(tuple(arguments))
    try:
        yield
    finally:
        _arguments.reset(token)


def resuming() -> str:
    """Return the command that goes on with what this one began: the same one, with ``--resume``."""
    arguments = [each for each in _arguments.get() if each not in ("--overwrite", "--resume")]
    # What follows a double dash is no option.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return shlex.join(["masktools", *arguments[:end], "--resume", *arguments[end:]])
