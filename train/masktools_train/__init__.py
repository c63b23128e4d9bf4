"""Train sparse neural networks and record a snapshot of their masks every epoch.

In a loop of your own, `Sparsifier` makes any model sparse and `Recorder` records it. `train` runs a recipe, `sweep`
many; `reinit`, `freeze` and `prune` put the structure of recorded runs to the test, `compact` takes out of it what it
does not need. `import_run` makes runs of the checkpoints of other programs.
"""

from typing import TYPE_CHECKING

from masktools.lazy import lazy_names

if TYPE_CHECKING:
    from masktools_train.budgets import erk, uniform
    from masktools_train.compacting.compact import compact
    from masktools_train.compacting.network import CompactNetwork, compact_model
    from masktools_train.edges import topology_from_edges
    from masktools_train.importing.importing import import_run
    from masktools_train.own_graph import UntracedWarning
    from masktools_train.recipe import Recipe, load_recipe, resolve_recipe
    from masktools_train.recorder import Recorder
    from masktools_train.reevaluate.freeze import freeze, freezings
    from masktools_train.reevaluate.prune import prune
    from masktools_train.reevaluate.reinit import reinit, retrainings
    from masktools_train.reevaluate.retraining import Retrained, Retraining, retrain
    from masktools_train.sparsifier import Sparsifier
    from masktools_train.sweeps import Training, sweep, train_part, trainings
    from masktools_train.tracing import trace
    from masktools_train.train_result import TrainResult
    from masktools_train.training import train

_HOMES = {
    "CompactNetwork": "masktools_train.compacting.network",
    "Recipe": "masktools_train.recipe",
    "Recorder": "masktools_train.recorder",
    "Retrained": "masktools_train.reevaluate.retraining",
    "Retraining": "masktools_train.reevaluate.retraining",
    "Sparsifier": "masktools_train.sparsifier",
    "TrainResult": "masktools_train.train_result",
    "Training": "masktools_train.sweeps",
    "UntracedWarning": "masktools_train.own_graph",
    "compact": "masktools_train.compacting.compact",
    "compact_model": "masktools_train.compacting.network",
    "erk": "masktools_train.budgets",
    "freeze": "masktools_train.reevaluate.freeze",
    "freezings": "masktools_train.reevaluate.freeze",
    "import_run": "masktools_train.importing.importing",
    "load_recipe": "masktools_train.recipe",
    "prune": "masktools_train.reevaluate.prune",
    "reinit": "masktools_train.reevaluate.reinit",
    "resolve_recipe": "masktools_train.recipe",
    "retrain": "masktools_train.reevaluate.retraining",
    "retrainings": "masktools_train.reevaluate.reinit",
    "sweep": "masktools_train.sweeps",
    "topology_from_edges": "masktools_train.edges",
    "trace": "masktools_train.tracing",
    "train": "masktools_train.training",
    "train_part": "masktools_train.sweeps",
    "trainings": "masktools_train.sweeps",
    "uniform": "masktools_train.budgets",
}

__all__ = [
    "CompactNetwork",
    "Recipe",
    "Recorder",
    "Retrained",
    "Retraining",
    "Sparsifier",
    "TrainResult",
    "Training",
    "UntracedWarning",
    "compact",
    "compact_model",
    "erk",
    "freeze",
    "freezings",
    "import_run",
    "load_recipe",
    "prune",
    "reinit",
    "resolve_recipe",
    "retrain",
    "retrainings",
    "sweep",
    "topology_from_edges",
    "trace",
    "train",
    "train_part",
    "trainings",
    "uniform",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
