"""Which format versions this program reads: "too new" is told apart from "damaged"."""

import re

__all__ = ["version_problem"]

_VERSION = re.compile(r"(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})")


def version_problem(version: object, newest: str) -> str | None:
    """Return what is wrong with a version, or None where it can be read.

    Every version from 1.0 to the newest known one is read.

    Parameters
    ----------
    version
        What the file says.
    newest
        The version that this program writes, for example ``1.0``.
    """
    match = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if match is None:
        return f"{version!r} is no version"
    found = (int(match[1]), int(match[2]))
    major, minor = newest.split(".")
    if found > (int(major), int(minor)):
        return f"{version} is too new, this masktools reads 1.0 to {newest}; upgrade masktools"
    if found < (1, 0):
        return f"{version} is not known, this masktools reads 1.0 to {newest}"
    return None
