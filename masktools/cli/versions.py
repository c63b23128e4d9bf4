"""The versions that matter in a bug report."""

import importlib.metadata
import importlib.util
import platform
import re
from pathlib import Path

from masktools import __version__

__all__ = ["versions"]

_PACKAGES = ("torch", "numpy", "scipy", "h5py", "numkong", "networkx", "pydantic", "typer", "matplotlib")
"""What numbers, files and the program itself depend on."""


def versions() -> str:
    """Return the version of masktools, and below it those of Python, the packages and the system, a line each."""
    found = []
    for name in _PACKAGES:
        try:
            version = importlib.metadata.version(name)
            found.append(f"{name} {_build_of_torch() or version if name == 'torch' else version}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} is not installed")
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return "\n".join([f"masktools {__version__}", f"Python {platform.python_version()}", *found, system])


def _build_of_torch() -> str | None:
    """Return the version of torch with its build (2.13.0+cu130), which its metadata may lack, without importing it."""
    spec = importlib.util.find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec is not None and spec.origin is not None else None
    if file is None or not file.is_file():
        return None
    found = re.search(r"^__version__ = ['\"](.+?)['\"]", file.read_text("utf-8"), re.MULTILINE)
    return found and found[1]
