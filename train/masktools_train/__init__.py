"""Train sparse neural networks and record a snapshot of their masks every epoch.

In a loop of your own, `Sparsifier` makes any model sparse and `Recorder` records it. `train` runs a recipe;
`reinit` and `prune` put the structure of a recorded run to the test, `compact` takes out of it what it does not need.
"""

from typing import TYPE_CHECKING

from masktools.lazy import lazy_names

if TYPE_CHECKING:
    from masktools_train.budgets import erk, uniform
    from masktools_train.compacting.compact import compact
    from masktools_train.compacting.network import CompactNetwork, compact_model
    from masktools_train.edges import topology_from_edges
    from masktools_train.recipe import Recipe, load_recipe, resolve_recipe
    from masktools_train.recorder import Recorder
    from masktools_train.reevaluate.prune import prune
    from masktools_train.reevaluate.reinit import reinit
    from masktools_train.sparsifier import Sparsifier
    from masktools_train.tracing import trace
    from masktools_train.training import TrainResult, train

_HOMES = {
    "CompactNetwork": "masktools_train.compacting.network",
    "Recipe": "masktools_train.recipe",
    "Recorder": "masktools_train.recorder",
    "Sparsifier": "masktools_train.sparsifier",
    "TrainResult": "masktools_train.training",
    "compact": "masktools_train.compacting.compact",
    "compact_model": "masktools_train.compacting.network",
    "erk": "masktools_train.budgets",
    "load_recipe": "masktools_train.recipe",
    "prune": "masktools_train.reevaluate.prune",
    "reinit": "masktools_train.reevaluate.reinit",
    "resolve_recipe": "masktools_train.recipe",
    "topology_from_edges": "masktools_train.edges",
    "trace": "masktools_train.tracing",
    "train": "masktools_train.training",
    "uniform": "masktools_train.budgets",
}

__all__ = [
    "CompactNetwork",
    "Recipe",
    "Recorder",
    "Sparsifier",
    "TrainResult",
    "compact",
    "compact_model",
    "erk",
    "load_recipe",
    "prune",
    "reinit",
    "resolve_recipe",
    "topology_from_edges",
    "trace",
    "train",
    "uniform",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
