"""The versions that matter in a bug report."""

import importlib.metadata
import platform

from masktools import __version__

__all__ = ["versions"]

_PACKAGES = ("torch", "numpy", "scipy", "h5py", "numkong", "networkx", "pydantic", "typer", "matplotlib")
"""What numbers, files and the program itself depend on."""


def versions() -> str:
    """Return the version of masktools, and below it those of Python, the packages and the system, a line each."""
    found = []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} is not installed")
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return "\n".join([f"masktools {__version__}", f"Python {platform.python_version()}", *found, system])
