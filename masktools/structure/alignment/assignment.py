"""Linear assignment: which column goes with which row, so that the chosen entries sum to the most."""

import functools
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_assignment"]

_Solver: TypeAlias = Callable[..., tuple[NDArray[np.intp], NDArray[np.intp]]]

_EXTENSION = "_lsap"
"""The compiled module of scipy.optimize that holds the solver."""


def best_assignment(gain: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Return the permutation with the largest sum of gains.

    Parameters
    ----------
    gain
        Square matrix of finite numbers.

    Returns
    -------
    ndarray
        For each row its column, each column once; shape (rows,). Of equally good ones always the same.

    Notes
    -----
    The algorithm is `scipy.optimize.linear_sum_assignment`: shortest augmenting paths (Crouse, 2016).

    Examples
    --------
    >>> best_assignment(np.array([[1.0, 2.0], [0.0, 2.5]])).tolist()
    [0, 1]
    """
    return _solver()(gain, maximize=True)[1]


@functools.cache
def _solver() -> _Solver:
    # The package scipy.optimize takes a quarter of a second to import; the solver is one of its files.
    if "scipy.optimize" not in sys.modules:
        solver = _from_file()
        if solver is not None:
            return solver
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment


def _from_file() -> _Solver | None:
    """Load the solver without its package; None where the installed scipy keeps it elsewhere."""
    import scipy

    folders = [str(Path(folder) / "optimize") for folder in scipy.__path__]
    found = importlib.machinery.PathFinder.find_spec(_EXTENSION, folders)
    if found is None or found.loader is None:
        return None
    before = sys.modules.get(_EXTENSION)
    try:
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
    except ImportError:
        return None
    finally:
        # Python registers an extension of one phase by itself, under a name that is not ours to take.
        if before is None:
            sys.modules.pop(_EXTENSION, None)
        else:
            sys.modules[_EXTENSION] = before
    return cast("_Solver | None", getattr(module, "linear_sum_assignment", None))
