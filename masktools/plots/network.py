"""The network itself: neurons and edges of a small one, the operators of a large one."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle

from masktools.plots.canvas import BLUE, INK, MUTED, ORANGE, axes_of, legend, text
from masktools.plots.neurons import EdgeKinds, edge_kinds
from masktools.structure.measures.network import Network
from masktools.structure.source import Source, recorded

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

__all__ = ["plot_network"]

_UNITS, _EDGES = 160, 2000
"""What can still be told apart as neurons and edges."""

_CROWDED, _UPRIGHT = 300, 5
"""Edges from which on live ones are paler, and columns up to which their names stand upright."""

_SHADES = "cividis"

_PARTS = (0.0, "none"), (0.5, "half"), (1.0, "all effective")
"""What shades mean: the part of the active weights of a layer that is effective."""

_KINDS = {
    "live": (BLUE, "-", "edges on a path"),
    "dead": (ORANGE, "--", "dead: no output is reached"),
    "ghost": ("#CC79A7", ":", "ghosts: carry a constant"),
}


def plot_network(source: Source, ax: Axes | None = None, *, epoch: int | None = None) -> Axes:
    """Draw a network under its mask.

    A network of up to 160 units and 2000 edges is drawn as such: an edge is live if it lies on a path from input to
    output, dead if nothing that it feeds reaches an output, else a ghost, which carries a constant. A larger one is
    drawn as its operators, a box a layer with the part of its active weights that is effective.

    Parameters
    ----------
    source
        A run, a snapshot, or the path of either.
    ax
        Axes to draw into; None makes a figure.
    epoch
        Which snapshot of a run: negative numbers count from the end, None is the last.

    Returns
    -------
    Axes
        The axes that were drawn into.

    Raises
    ------
    StructureError
        If the snapshot holds no operator graph, or one that does not fit its layers.
    RunError, SnapshotError
        If the source cannot be read or has no such epoch.
    """
    moment = recorded(source, epoch)
    network = Network(moment.topology, moment.masks)
    widths = [node.shape[0] for node in network.topology.nodes if node.op == "input" or node.weight is not None]
    active = sum(int(np.count_nonzero(mask)) for mask in network.masks.values())
    # A convolution has fewer edges between channels than weights, so that this only spares making too large a graph.
    if sum(widths) <= _UNITS and active <= 10 * _EDGES and network.neurons.adjacency.nnz <= _EDGES:
        return _neurons(network, edge_kinds(network.neurons), ax)
    return _operators(network, ax)


def _neurons(network: Network, kinds: EdgeKinds, ax: Axes | None) -> Axes:
    graph = network.neurons
    ax = axes_of(ax, (4.6, 3.6))
    at = np.zeros((graph.units, 2))
    for column, place in enumerate(graph.places):
        at[place.first : place.first + place.units, 0] = column
        at[place.first : place.first + place.units, 1] = (0.5 + np.arange(place.units)) / place.units
    handles: list[Line2D | Patch] = []
    crowded = graph.adjacency.nnz > _CROWDED
    # What is not live is drawn last and stronger, or it would not be seen where edges are many.
    for name, (tone, dashes, words) in _KINDS.items():
        near, far = getattr(kinds, name)
        width, opacity = (0.4, 0.5) if crowded and name == "live" else (0.8, 0.9)
        # One line with gaps is one path in a file, whatever the number of edges.
        xs = np.column_stack([at[near, 0], at[far, 0], np.full(len(near), np.nan)]).ravel()
        ys = np.column_stack([at[near, 1], at[far, 1], np.full(len(near), np.nan)]).ravel()
        handles += ax.plot(xs, ys, color=tone, ls=dashes, lw=width, alpha=opacity, label=f"{len(near):,} {words}")
    live = kinds.live_units
    ax.plot(at[live, 0], at[live, 1], ls="none", marker="o", ms=3.5, color=INK, label="live units")
    ax.plot(at[~live, 0], at[~live, 1], ls="none", marker="o", ms=3.5, mfc="none", color=MUTED, label="other units")
    labels = [text(name.removesuffix(".weight")) for name in dict(graph.labels)]
    ax.set_xticks(range(len(graph.places)), labels)
    if len(labels) > _UPRIGHT:
        for label in ax.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.tick_params(bottom=False)
    legend(ax, handles)
    return ax


def _operators(network: Network, ax: Axes | None) -> Axes:
    nodes = network.topology.nodes
    shown = [
        index
        for index, node in enumerate(nodes)
        if node.op in ("input", "output") or node.weight is not None or len(node.inputs) > 1
    ]
    ax = axes_of(ax, (4.6, max(2.4, 0.8 + 0.27 * len(shown))))
    rows = {index: row for row, index in enumerate(shown)}
    origin: dict[int, set[int]] = {}
    for index, node in enumerate(nodes):
        behind = {row for source in node.inputs for row in ({rows[source]} if source in rows else origin[source])}
        origin[index] = behind
    for index, row in rows.items():
        _connect(ax, sorted(origin[index]), row)
        node = nodes[index]
        if node.weight is None:
            ax.add_patch(Rectangle((-0.5, row - 0.32), 1, 0.64, fc="none", ec=INK, lw=0.9))
            ax.text(0.7, row, text(node.label or node.op), va="center", fontsize=8.5)
            continue
        mask, effective = network.masks[node.weight], network.effective[node.weight]
        active, live = int(np.count_nonzero(mask)), int(np.count_nonzero(effective))
        part = live / active if active else 0.0
        ax.add_patch(Rectangle((-0.5, row - 0.32), 1, 0.64, fc=_shade(part), ec=INK, lw=0.9))
        densities = f"{100 * active / mask.size:.3g} % active, {100 * live / mask.size:.3g} % effective"
        ax.text(0.7, row, f"{text(node.weight.removesuffix('.weight'))}: {densities}", va="center", fontsize=8.5)
    ax.set(xlim=(-1.6, 8), ylim=(len(shown) - 0.4, -0.6))
    ax.axis("off")
    legend(ax, [Patch(fc=_shade(part), ec=INK, lw=0.7, label=words) for part, words in _PARTS])
    return ax


def _connect(ax: Axes, sources: list[int], row: int) -> None:
    """Draw an arrow from each source; one that skips operators swings out to the left."""
    for source in sources:
        skips = row - source > 1
        x = -0.5 if skips else 0.0
        rad = min(0.5, 2.2 / (row - source)) if skips else 0.0
        start, end = (source + (0 if skips else 0.32)), (row - (0 if skips else 0.32))
        style = f"arc3,rad={rad}"
        ax.add_patch(FancyArrowPatch((x, start), (x, end), connectionstyle=style, arrowstyle="-", color=MUTED, lw=1))


def _shade(part: float) -> tuple[float, float, float, float]:
    red, green, blue, alpha = colormaps[_SHADES](Normalize(0, 1)(part))
    return float(red), float(green), float(blue), float(alpha)
