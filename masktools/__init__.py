"""Look at the structure of sparse neural networks.

>>> import masktools as mt
>>> run = mt.open_run("runs/dnw-s0")  # doctest: +SKIP
>>> mt.emergence(run).emergence_epoch  # doctest: +SKIP

Names are loaded when they are first used, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from masktools.errors import MasktoolsError, RecipeError, RunError, SnapshotError, StructureError
    from masktools.masks import PackedMask
    from masktools.runs import Run, open_run
    from masktools.snapshot.read import Snapshot
    from masktools.topology.graph import Topology

__version__ = "0.1.0"

_HOMES = {
    "MasktoolsError": "masktools.errors",
    "PackedMask": "masktools.masks",
    "RecipeError": "masktools.errors",
    "Run": "masktools.runs",
    "RunError": "masktools.errors",
    "Snapshot": "masktools.snapshot.read",
    "SnapshotError": "masktools.errors",
    "StructureError": "masktools.errors",
    "Topology": "masktools.topology.graph",
    "open_run": "masktools.runs",
}

__all__ = [
    "MasktoolsError",
    "PackedMask",
    "RecipeError",
    "Run",
    "RunError",
    "Snapshot",
    "SnapshotError",
    "StructureError",
    "Topology",
    "open_run",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
