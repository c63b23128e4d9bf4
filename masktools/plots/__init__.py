"""Pictures of results: each takes what a function of the library returned, draws into axes and returns them.

>>> import masktools as mt
>>> axes = mt.plots.plot_emergence(mt.emergence("runs/dnw-s0"))  # doctest: +SKIP
>>> mt.plots.save_plot(axes, "emergence.svg")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from masktools.lazy import lazy_names

if TYPE_CHECKING:
    from masktools.plots.accuracy import plot_accuracy
    from masktools.plots.degrees import plot_degrees
    from masktools.plots.emergence import plot_emergence
    from masktools.plots.freeze import plot_freeze
    from masktools.plots.layers import plot_layers
    from masktools.plots.network import plot_network
    from masktools.plots.overlap import plot_overlap
    from masktools.plots.prune import plot_prune
    from masktools.plots.reinit import plot_reinit
    from masktools.plots.saving import save_plot
    from masktools.plots.survival import plot_survival

_HOMES = {
    "plot_accuracy": "masktools.plots.accuracy",
    "plot_degrees": "masktools.plots.degrees",
    "plot_emergence": "masktools.plots.emergence",
    "plot_freeze": "masktools.plots.freeze",
    "plot_layers": "masktools.plots.layers",
    "plot_network": "masktools.plots.network",
    "plot_overlap": "masktools.plots.overlap",
    "plot_prune": "masktools.plots.prune",
    "plot_reinit": "masktools.plots.reinit",
    "plot_survival": "masktools.plots.survival",
    "save_plot": "masktools.plots.saving",
}

__all__ = [
    "plot_accuracy",
    "plot_degrees",
    "plot_emergence",
    "plot_freeze",
    "plot_layers",
    "plot_network",
    "plot_overlap",
    "plot_prune",
    "plot_reinit",
    "plot_survival",
    "save_plot",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
