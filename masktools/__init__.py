"""Look at the structure of sparse neural networks.

>>> import masktools as mt
>>> run = mt.open_run("runs/dnw-s0")  # doctest: +SKIP
>>> mt.emergence(run).emergence_epoch  # doctest: +SKIP

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING

from masktools.lazy import lazy_names

if TYPE_CHECKING:
    from masktools.errors import MasktoolsError, RecipeError, RunError, SnapshotError, StructureError, TrainingError
    from masktools.masks import PackedMask
    from masktools.runs import Run, open_run
    from masktools.snapshot.read import Snapshot
    from masktools.statistics.intervals import Interval, mean_interval
    from masktools.structure.comparison import Comparison, Comparisons, compare, compare_many
    from masktools.structure.connectivity import connectivity
    from masktools.structure.connectivity_result import Connectivity
    from masktools.structure.dynamics.emergence import Emergence, emergence
    from masktools.structure.overlap import Overlap, overlap_of
    from masktools.structure.summary import RunSummary, summarize
    from masktools.topology.graph import Topology
    from masktools.verification import Verification, verify

__version__ = "0.1.0"

_HOMES = {
    "Comparison": "masktools.structure.comparison",
    "Comparisons": "masktools.structure.comparison",
    "Connectivity": "masktools.structure.connectivity_result",
    "Emergence": "masktools.structure.dynamics.emergence",
    "Interval": "masktools.statistics.intervals",
    "MasktoolsError": "masktools.errors",
    "Overlap": "masktools.structure.overlap",
    "PackedMask": "masktools.masks",
    "RecipeError": "masktools.errors",
    "Run": "masktools.runs",
    "RunError": "masktools.errors",
    "RunSummary": "masktools.structure.summary",
    "Snapshot": "masktools.snapshot.read",
    "SnapshotError": "masktools.errors",
    "StructureError": "masktools.errors",
    "Topology": "masktools.topology.graph",
    "Verification": "masktools.verification",
    "TrainingError": "masktools.errors",
    "compare": "masktools.structure.comparison",
    "compare_many": "masktools.structure.comparison",
    "connectivity": "masktools.structure.connectivity",
    "emergence": "masktools.structure.dynamics.emergence",
    "mean_interval": "masktools.statistics.intervals",
    "open_run": "masktools.runs",
    "overlap_of": "masktools.structure.overlap",
    "summarize": "masktools.structure.summary",
    "verify": "masktools.verification",
}

__all__ = [
    "Comparison",
    "Comparisons",
    "Connectivity",
    "Emergence",
    "Interval",
    "MasktoolsError",
    "Overlap",
    "PackedMask",
    "RecipeError",
    "Run",
    "RunError",
    "RunSummary",
    "Snapshot",
    "SnapshotError",
    "StructureError",
    "Topology",
    "TrainingError",
    "Verification",
    "compare",
    "compare_many",
    "connectivity",
    "emergence",
    "mean_interval",
    "open_run",
    "overlap_of",
    "summarize",
    "verify",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
