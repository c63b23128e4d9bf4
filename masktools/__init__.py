"""Look at the structure of sparse neural networks.

>>> import masktools as mt
>>> run = mt.open_run("runs/dnw-s0")  # doctest: +SKIP
>>> mt.emergence(run).emergence_epoch  # doctest: +SKIP

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from typing import TYPE_CHECKING

from masktools.lazy import lazy_names

if TYPE_CHECKING:
    import masktools.plots  # noqa: F401  # so that type checkers know `mt.plots`
    from masktools.errors import (
        MasktoolsError,
        RecipeError,
        RunError,
        SnapshotError,
        StructureError,
        TaskError,
        TrainingError,
    )
    from masktools.executor.run import run_tasks
    from masktools.executor.tasks import Task
    from masktools.masks import PackedMask
    from masktools.nulls.plan import DrawPlan
    from masktools.nulls.trial import Trial, run_trial
    from masktools.render.findings import Finding, publish, published
    from masktools.render.tabulate import tabulate
    from masktools.run_collections import group_runs, open_runs
    from masktools.runs import Run, open_run
    from masktools.snapshot.read import Snapshot
    from masktools.stacks import MaskStack
    from masktools.statistics.chance import Chance
    from masktools.statistics.corrections import benjamini_hochberg, holm
    from masktools.statistics.intervals import Interval, mean_interval
    from masktools.statistics.monte_carlo import NullLevel
    from masktools.statistics.paired import PairedDifference, paired_difference
    from masktools.statistics.pairs import PairMean, mean_over_pairs
    from masktools.statistics.ratios import ratio_of_means
    from masktools.statistics.survival import kaplan_meier
    from masktools.structure.alignment.matching import Alignment, align
    from masktools.structure.alignment.nnstd import Nnstd, nnstd
    from masktools.structure.comparison import Comparison, compare
    from masktools.structure.comparisons import Comparisons, compare_many
    from masktools.structure.connectivity import connectivity, connectivity_of
    from masktools.structure.connectivity_curve import ConnectivityCurve, connectivity_curve
    from masktools.structure.connectivity_result import Connectivity
    from masktools.structure.dynamics.emergence import emergence
    from masktools.structure.dynamics.emergence_result import Emergence
    from masktools.structure.dynamics.groups import Emergences, emergence_many
    from masktools.structure.epochs import EpochMatrix, compare_epochs
    from masktools.structure.explanation import Explanation, explain
    from masktools.structure.overlap import Overlap, overlap_of
    from masktools.structure.robustness import PruneResult
    from masktools.structure.robustness_groups import RobustnessGroup, robustness_groups
    from masktools.structure.summary import RunSummary, summarize
    from masktools.structure.values.criteria import criteria
    from masktools.structure.values.criteria_result import Criteria
    from masktools.structure.values.signs import SignStability, sign_stability
    from masktools.structure.wiring.clustering import clustering
    from masktools.structure.wiring.cores import layer_cores
    from masktools.structure.wiring.degree_shape import degree_shapes
    from masktools.structure.wiring.heavy_tail import heavy_tails
    from masktools.structure.wiring.non_backtracking import layer_non_backtracking
    from masktools.structure.wiring.persistence import network_persistence
    from masktools.structure.wiring.spectrum import layer_spectrum
    from masktools.structure.wiring.throughput import throughput
    from masktools.study import Study
    from masktools.topology.bottlenecks import Bottlenecks, bottlenecks
    from masktools.topology.graph import Topology
    from masktools.topology.neuron_graph import NeuronGraph, neuron_graph
    from masktools.topology.paths import log10_paths, log10_throughput
    from masktools.topology.permutation_groups import PermutationGroup, permutation_groups
    from masktools.topology.reach import effective_masks
    from masktools.verification import Verification, verify

__version__ = "0.1.0"

_HOMES = {
    "Alignment": "masktools.structure.alignment.matching",
    "Bottlenecks": "masktools.topology.bottlenecks",
    "Chance": "masktools.statistics.chance",
    "Comparison": "masktools.structure.comparison",
    "Comparisons": "masktools.structure.comparisons",
    "Connectivity": "masktools.structure.connectivity_result",
    "ConnectivityCurve": "masktools.structure.connectivity_curve",
    "Criteria": "masktools.structure.values.criteria_result",
    "DrawPlan": "masktools.nulls.plan",
    "Emergence": "masktools.structure.dynamics.emergence_result",
    "Emergences": "masktools.structure.dynamics.groups",
    "EpochMatrix": "masktools.structure.epochs",
    "Explanation": "masktools.structure.explanation",
    "Finding": "masktools.render.findings",
    "Interval": "masktools.statistics.intervals",
    "MaskStack": "masktools.stacks",
    "MasktoolsError": "masktools.errors",
    "NeuronGraph": "masktools.topology.neuron_graph",
    "Nnstd": "masktools.structure.alignment.nnstd",
    "NullLevel": "masktools.statistics.monte_carlo",
    "Overlap": "masktools.structure.overlap",
    "PackedMask": "masktools.masks",
    "PairMean": "masktools.statistics.pairs",
    "PairedDifference": "masktools.statistics.paired",
    "PermutationGroup": "masktools.topology.permutation_groups",
    "PruneResult": "masktools.structure.robustness",
    "RecipeError": "masktools.errors",
    "RobustnessGroup": "masktools.structure.robustness_groups",
    "Run": "masktools.runs",
    "RunError": "masktools.errors",
    "RunSummary": "masktools.structure.summary",
    "SignStability": "masktools.structure.values.signs",
    "Snapshot": "masktools.snapshot.read",
    "SnapshotError": "masktools.errors",
    "StructureError": "masktools.errors",
    "Study": "masktools.study",
    "Task": "masktools.executor.tasks",
    "TaskError": "masktools.errors",
    "Topology": "masktools.topology.graph",
    "TrainingError": "masktools.errors",
    "Trial": "masktools.nulls.trial",
    "Verification": "masktools.verification",
    "align": "masktools.structure.alignment.matching",
    "benjamini_hochberg": "masktools.statistics.corrections",
    "bottlenecks": "masktools.topology.bottlenecks",
    "clustering": "masktools.structure.wiring.clustering",
    "compare": "masktools.structure.comparison",
    "compare_epochs": "masktools.structure.epochs",
    "compare_many": "masktools.structure.comparisons",
    "connectivity": "masktools.structure.connectivity",
    "connectivity_curve": "masktools.structure.connectivity_curve",
    "connectivity_of": "masktools.structure.connectivity",
    "criteria": "masktools.structure.values.criteria",
    "degree_shapes": "masktools.structure.wiring.degree_shape",
    "effective_masks": "masktools.topology.reach",
    "emergence": "masktools.structure.dynamics.emergence",
    "emergence_many": "masktools.structure.dynamics.groups",
    "explain": "masktools.structure.explanation",
    "group_runs": "masktools.run_collections",
    "heavy_tails": "masktools.structure.wiring.heavy_tail",
    "holm": "masktools.statistics.corrections",
    "kaplan_meier": "masktools.statistics.survival",
    "layer_cores": "masktools.structure.wiring.cores",
    "layer_non_backtracking": "masktools.structure.wiring.non_backtracking",
    "layer_spectrum": "masktools.structure.wiring.spectrum",
    "log10_paths": "masktools.topology.paths",
    "log10_throughput": "masktools.topology.paths",
    "mean_interval": "masktools.statistics.intervals",
    "mean_over_pairs": "masktools.statistics.pairs",
    "network_persistence": "masktools.structure.wiring.persistence",
    "neuron_graph": "masktools.topology.neuron_graph",
    "nnstd": "masktools.structure.alignment.nnstd",
    "open_run": "masktools.runs",
    "open_runs": "masktools.run_collections",
    "overlap_of": "masktools.structure.overlap",
    "paired_difference": "masktools.statistics.paired",
    "permutation_groups": "masktools.topology.permutation_groups",
    "publish": "masktools.render.findings",
    "published": "masktools.render.findings",
    "robustness_groups": "masktools.structure.robustness_groups",
    "run_tasks": "masktools.executor.run",
    "ratio_of_means": "masktools.statistics.ratios",
    "run_trial": "masktools.nulls.trial",
    "sign_stability": "masktools.structure.values.signs",
    "summarize": "masktools.structure.summary",
    "tabulate": "masktools.render.tabulate",
    "throughput": "masktools.structure.wiring.throughput",
    "verify": "masktools.verification",
}

__all__ = [
    "Alignment",
    "Bottlenecks",
    "Chance",
    "Comparison",
    "Comparisons",
    "Connectivity",
    "ConnectivityCurve",
    "Criteria",
    "DrawPlan",
    "Emergence",
    "Emergences",
    "EpochMatrix",
    "Explanation",
    "Finding",
    "Interval",
    "MaskStack",
    "MasktoolsError",
    "NeuronGraph",
    "Nnstd",
    "NullLevel",
    "Overlap",
    "PackedMask",
    "PairMean",
    "PairedDifference",
    "PermutationGroup",
    "PruneResult",
    "RecipeError",
    "RobustnessGroup",
    "Run",
    "RunError",
    "RunSummary",
    "SignStability",
    "Snapshot",
    "SnapshotError",
    "StructureError",
    "Study",
    "Task",
    "TaskError",
    "Topology",
    "TrainingError",
    "Trial",
    "Verification",
    "align",
    "benjamini_hochberg",
    "bottlenecks",
    "clustering",
    "compare",
    "compare_epochs",
    "compare_many",
    "connectivity",
    "connectivity_curve",
    "connectivity_of",
    "criteria",
    "degree_shapes",
    "effective_masks",
    "emergence",
    "emergence_many",
    "explain",
    "group_runs",
    "heavy_tails",
    "holm",
    "kaplan_meier",
    "layer_cores",
    "layer_non_backtracking",
    "layer_spectrum",
    "log10_paths",
    "log10_throughput",
    "mean_interval",
    "mean_over_pairs",
    "network_persistence",
    "neuron_graph",
    "nnstd",
    "open_run",
    "open_runs",
    "overlap_of",
    "paired_difference",
    "permutation_groups",
    "publish",
    "published",
    "ratio_of_means",
    "robustness_groups",
    "run_tasks",
    "run_trial",
    "sign_stability",
    "summarize",
    "tabulate",
    "throughput",
    "verify",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, packages=("plots",))
