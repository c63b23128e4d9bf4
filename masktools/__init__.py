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
    from masktools.nulls.trial import DrawPlan, Trial, run_trial
    from masktools.runs import Run, open_run
    from masktools.snapshot.read import Snapshot
    from masktools.stacks import MaskStack
    from masktools.statistics.bootstrap import PairMean, bootstrap_pairs
    from masktools.statistics.chance import Chance
    from masktools.statistics.corrections import benjamini_hochberg
    from masktools.statistics.intervals import Interval, mean_interval
    from masktools.statistics.monte_carlo import NullLevel
    from masktools.statistics.survival import kaplan_meier
    from masktools.structure.alignment.matching import Alignment, align
    from masktools.structure.alignment.nnstd import Nnstd, nnstd
    from masktools.structure.comparison import Comparison, compare
    from masktools.structure.comparisons import Comparisons, compare_many
    from masktools.structure.connectivity import connectivity, connectivity_of
    from masktools.structure.connectivity_result import Connectivity
    from masktools.structure.dynamics.emergence import emergence
    from masktools.structure.dynamics.emergence_result import Emergence
    from masktools.structure.dynamics.groups import Emergences, emergence_many
    from masktools.structure.epochs import EpochMatrix, compare_epochs
    from masktools.structure.explanation import Explanation, explain
    from masktools.structure.overlap import Overlap, overlap_of
    from masktools.structure.summary import RunSummary, summarize
    from masktools.structure.values.criteria import criteria
    from masktools.structure.values.criteria_result import Criteria
    from masktools.structure.values.signs import SignStability, sign_stability
    from masktools.topology.graph import Topology
    from masktools.topology.permutation_groups import PermutationGroup, permutation_groups
    from masktools.verification import Verification, verify

__version__ = "0.1.0"

_HOMES = {
    "Alignment": "masktools.structure.alignment.matching",
    "Chance": "masktools.statistics.chance",
    "Comparison": "masktools.structure.comparison",
    "Comparisons": "masktools.structure.comparisons",
    "Connectivity": "masktools.structure.connectivity_result",
    "Criteria": "masktools.structure.values.criteria_result",
    "DrawPlan": "masktools.nulls.trial",
    "Emergence": "masktools.structure.dynamics.emergence_result",
    "Emergences": "masktools.structure.dynamics.groups",
    "EpochMatrix": "masktools.structure.epochs",
    "Explanation": "masktools.structure.explanation",
    "Interval": "masktools.statistics.intervals",
    "MaskStack": "masktools.stacks",
    "MasktoolsError": "masktools.errors",
    "Nnstd": "masktools.structure.alignment.nnstd",
    "NullLevel": "masktools.statistics.monte_carlo",
    "Overlap": "masktools.structure.overlap",
    "PackedMask": "masktools.masks",
    "PairMean": "masktools.statistics.bootstrap",
    "PermutationGroup": "masktools.topology.permutation_groups",
    "RecipeError": "masktools.errors",
    "Run": "masktools.runs",
    "RunError": "masktools.errors",
    "RunSummary": "masktools.structure.summary",
    "SignStability": "masktools.structure.values.signs",
    "Snapshot": "masktools.snapshot.read",
    "SnapshotError": "masktools.errors",
    "StructureError": "masktools.errors",
    "Topology": "masktools.topology.graph",
    "TrainingError": "masktools.errors",
    "Trial": "masktools.nulls.trial",
    "Verification": "masktools.verification",
    "align": "masktools.structure.alignment.matching",
    "benjamini_hochberg": "masktools.statistics.corrections",
    "bootstrap_pairs": "masktools.statistics.bootstrap",
    "compare": "masktools.structure.comparison",
    "compare_epochs": "masktools.structure.epochs",
    "compare_many": "masktools.structure.comparisons",
    "connectivity": "masktools.structure.connectivity",
    "connectivity_of": "masktools.structure.connectivity",
    "criteria": "masktools.structure.values.criteria",
    "emergence": "masktools.structure.dynamics.emergence",
    "emergence_many": "masktools.structure.dynamics.groups",
    "explain": "masktools.structure.explanation",
    "kaplan_meier": "masktools.statistics.survival",
    "mean_interval": "masktools.statistics.intervals",
    "nnstd": "masktools.structure.alignment.nnstd",
    "open_run": "masktools.runs",
    "overlap_of": "masktools.structure.overlap",
    "permutation_groups": "masktools.topology.permutation_groups",
    "run_trial": "masktools.nulls.trial",
    "sign_stability": "masktools.structure.values.signs",
    "summarize": "masktools.structure.summary",
    "verify": "masktools.verification",
}

__all__ = [
    "Alignment",
    "Chance",
    "Comparison",
    "Comparisons",
    "Connectivity",
    "Criteria",
    "DrawPlan",
    "Emergence",
    "Emergences",
    "EpochMatrix",
    "Explanation",
    "Interval",
    "MaskStack",
    "MasktoolsError",
    "Nnstd",
    "NullLevel",
    "Overlap",
    "PackedMask",
    "PairMean",
    "PermutationGroup",
    "RecipeError",
    "Run",
    "RunError",
    "RunSummary",
    "SignStability",
    "Snapshot",
    "SnapshotError",
    "StructureError",
    "Topology",
    "TrainingError",
    "Trial",
    "Verification",
    "align",
    "benjamini_hochberg",
    "bootstrap_pairs",
    "compare",
    "compare_epochs",
    "compare_many",
    "connectivity",
    "connectivity_of",
    "criteria",
    "emergence",
    "emergence_many",
    "explain",
    "kaplan_meier",
    "mean_interval",
    "nnstd",
    "open_run",
    "overlap_of",
    "permutation_groups",
    "run_trial",
    "sign_stability",
    "summarize",
    "verify",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
