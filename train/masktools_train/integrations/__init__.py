"""Callbacks for the training loops of other packages, none of which masktools depends on.

`masktools_train.integrations.lightning` and `masktools_train.integrations.transformers` need the package that they are
named after.
"""

import importlib
from types import ModuleType

from masktools.errors import MasktoolsError

__all__ = ["MissingPackageError", "first_installed"]


class MissingPackageError(MasktoolsError, ImportError):
    """A package that masktools does not require is needed, and not installed."""


def first_installed(purpose: str, *names: str) -> ModuleType:
    """Return the first of some modules that is installed.

    Parameters
    ----------
    purpose
        What asks for it, for the error.
    names
        Modules, the one that is preferred first.

    Raises
    ------
    MissingPackageError
        If none is installed.
    """
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # What an installed package lacks itself is another matter, which its own error explains best.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
    packages = " or ".join(repr(name.partition(".")[0]) for name in names)
    raise MissingPackageError(f"{purpose} needs the package {packages}, which is not installed")
