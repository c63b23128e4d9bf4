"""Draw the pictures of docs/concepts.md into docs/pictures: from small masks, seeded, so that anybody gets the same.

``python docs/make_pictures.py [FOLDER]``; a test draws them anew and holds the committed ones against them.
"""

import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping

import numpy as np
from mask_pictures import Masks, figure, ladder, overlap, plain, random_mask, snapshots
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

import masktools as mt
from masktools.plots.canvas import BLUE, INK, MUTED, ORANGE, PALETTE
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.snapshot.write import write_snapshot
from masktools.topology.graph import Node, Topology
from masktools_train.budgets import erk, uniform

__all__ = ["FOLDER", "PICTURES", "draw"]

FOLDER = pathlib.Path(__file__).with_name("pictures")

WHITE = {"fc": "white", "ec": "none", "pad": 0.6}
"""Behind words that a line would cross."""


def budgets() -> Figure:
    """Draw the densities that three rules give the layers of LeNet-300-100."""
    shapes = {"fc1": (300, 784), "fc2": (100, 300), "fc3": (10, 100)}
    rng, density = np.random.default_rng(0), 0.05
    # Weights as they are initialised, uniform within ±1/sqrt(fan-in): of all together the largest stay.
    drawn = {name: np.abs(rng.uniform(-1, 1, size=shape)) / np.sqrt(shape[1]) for name, shape in shapes.items()}
    whole = np.concatenate([values.ravel() for values in drawn.values()])
    least = np.sort(whole)[-uniform({"all": whole.shape}, density)["all"]]
    rules = {
        "uniform": uniform(shapes, density),
        "ERK": erk(shapes, density),
        "global, by initial magnitude": {name: int((values >= least).sum()) for name, values in drawn.items()},
    }
    drawing = figure(6.4, 2.9)
    ax = plain(drawing.subplots())
    for place, (rule, counts) in enumerate(rules.items()):
        at = np.arange(3) + 0.27 * (place - 1)
        heights = [100 * counts[name] / np.prod(shape) for name, shape in shapes.items()]
        ax.bar(at, heights, 0.25, color=PALETTE[place], label=rule)
        for x, height in zip(at, heights, strict=True):
            ax.text(x, height * 1.15, f"{height:.3g}", ha="center", fontsize=8, bbox=WHITE)
    ax.axhline(100 * density, color=INK, lw=0.9, ls="--", label="of the network: 5 %")
    names = [f"{name}\n{shape[0]} × {shape[1]}" for name, shape in shapes.items()]
    ax.set_xticks(range(3), names)
    ax.set(yscale="log", ylim=(0.2, 200), ylabel="active weights, %")
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return drawing


def chance() -> Figure:
    """Draw what independent masks have in common, at every density."""
    rng = np.random.default_rng(0)
    densities = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
    shape = (100, 300)
    found = []
    for density in densities:
        active = round(density * shape[0] * shape[1])
        found.append(overlap(*({"fc": random_mask(rng, shape, active)} for _ in "ab")).total)
    drawing = figure(7.2, 2.9)
    left, right = (plain(ax) for ax in drawing.subplots(1, 2))
    line = np.linspace(0.001, 0.999, 200)
    left.plot(line, line / (2 - line), color=MUTED, lw=1, label="p / (2 − p)")
    left.plot(densities, [each.jaccard for each in found], "o", ms=4, color=ORANGE, label="two random masks")
    left.set(ylabel="Jaccard index", title="Jaccard: chance follows density")
    right.axhline(0, color=MUTED, lw=1, label="chance: 0")
    right.plot(densities, [each.kappa for each in found], "o", ms=4, color=BLUE, label="the same masks")
    right.set(ylabel="kappa", ylim=(-0.25, 1.02), title="kappa: chance is 0")
    for ax in (left, right):
        ax.set(xlabel="density p", xlim=(0, 1))
        ax.legend(fontsize=8, frameon=False, loc="upper left")
        ax.title.set_fontsize(10)
    left.set_ylim(0, 1.02)
    return drawing


def perceptron(*sizes: int) -> Topology:
    """Return the operator graph of linear layers ``fc1``, ``fc2``, ... with ReLU between them."""
    nodes = [Node("input", (), (sizes[0],))]
    for number, width in enumerate(sizes[1:], start=1):
        nodes.append(Node("linear", (len(nodes) - 1,), (width,), weight=f"fc{number}.weight", bias=f"fc{number}.bias"))
        if number < len(sizes) - 1:
            nodes.append(Node("identity", (len(nodes) - 1,), (width,), label="relu"))
    return Topology((*nodes, Node("output", (len(nodes) - 1,), (sizes[-1],))))


def recorded(masks: Masks, path: pathlib.Path) -> mt.Snapshot:
    """Write a snapshot of masks of a perceptron without weights, and open it."""
    first, *others = masks.values()
    topology = perceptron(first.shape[1], *(len(mask) for mask in (first, *others)))
    layers = tuple(LayerContent.from_dense(name, mask, None, "none") for name, mask in masks.items())
    write_snapshot(path, SnapshotContent(0, 0, layers, topology=topology))
    return mt.Snapshot(path)


def network() -> Figure:
    """Draw a small network with live, dead and ghost edges."""
    rng, sizes = np.random.default_rng(74), (7, 7, 7, 4)
    masks = {
        f"fc{number}.weight": random_mask(rng, (after, before), active)
        for number, (before, after, active) in enumerate(zip(sizes, sizes[1:], (9, 11, 8), strict=False), start=1)
    }
    drawing = figure(5.6, 3.6)
    with tempfile.TemporaryDirectory() as folder:
        mt.plots.plot_network(recorded(masks, pathlib.Path(folder) / "small.h5"), drawing.subplots())
    for line in drawing.axes[0].lines:
        line.set(linewidth=1.4, alpha=1)
    drawing.axes[0].get_legend().remove()
    lines = sorted(drawing.axes[0].lines, key=lambda line: str(line.get_label()))
    drawing.legend(handles=lines, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return drawing


def order() -> Figure:
    """Draw a network, and the same with its hidden units in another order."""
    rng = np.random.default_rng(1)
    a = {"fc1.weight": random_mask(rng, (7, 6), 14), "fc2.weight": random_mask(rng, (4, 7), 10)}
    places = np.array([3, 5, 0, 6, 1, 4, 2])
    b = {"fc1.weight": a["fc1.weight"][places], "fc2.weight": a["fc2.weight"][:, places]}
    back = mt.align(a, b, perceptron(6, 7, 4)).apply(b)
    titles = ("A", "B: A with its hidden units reordered", "B, aligned to A")
    drawing = figure(7.6, 3.2)
    for ax, title, masks in zip(
        drawing.subplots(1, 3, gridspec_kw={"wspace": 0.12}), titles, (a, b, back), strict=True
    ):
        same = places if masks is b else np.arange(7)
        for column, (mask, width) in enumerate(((masks["fc1.weight"], 6), (masks["fc2.weight"], 7))):
            for out, fed in zip(*np.nonzero(mask), strict=True):
                unit = same[out if column == 0 else fed]
                ends = ((fed + 0.5) / width, (out + 0.5) / len(mask))
                ax.plot((column, column + 1), ends, color=PALETTE[unit % 6], ls="-" if unit < 6 else ":", lw=1.4)
        for column, count in enumerate((6, 7, 4)):
            ax.plot([column] * count, (0.5 + np.arange(count)) / count, "o", ms=4, color=INK)
        kappa = overlap(a, masks).total.kappa
        ax.set_title(title, fontsize=9)
        ax.set_xticks(range(3), ("inputs", "hidden", "outputs"), fontsize=8)
        ax.set(yticks=[], xlabel="" if masks is a else f"kappa with A: {kappa:.2f}")
        ax.spines[:].set_visible(False)
        ax.tick_params(bottom=False)
    return drawing


def emergence() -> Figure:
    """Draw the emergence of masks from weights that only drift at random, at a constant and a decaying rate."""
    rng, epochs = np.random.default_rng(0), 40
    rates = {"constant": np.ones(epochs), "decaying": (1 + np.cos(np.pi * np.arange(epochs) / epochs)) / 2}
    drawing = figure(6.4, 3.6)
    top, low = (plain(ax) for ax in drawing.subplots(2, 1, sharex=True, height_ratios=(3, 1)))
    for tone, (name, rate) in zip((ORANGE, BLUE), rates.items(), strict=True):
        weights = rng.standard_normal((100, 300))
        masks = [_largest(weights)]
        for step in rate:
            weights = weights + 0.2 * step * rng.standard_normal(weights.shape)
            masks.append(_largest(weights))
        kappas = [overlap({"fc": mask}, {"fc": masks[-1]}).total.kappa or 0.0 for mask in masks]
        arrived = 1 + max(t for t, kappa in enumerate(kappas) if kappa < 0.9)
        top.plot(kappas, color=tone, marker=".", ms=4, label=f"{name} rate: emergence epoch {arrived}")
        low.plot(range(1, epochs + 1), rate, color=tone)
    others = [overlap({"fc": random_mask(rng, (100, 300), 600)}, {"fc": masks[-1]}).total.kappa for _ in masks]
    top.plot(others, ".", ms=4, color=MUTED, label="a new random mask each epoch")
    top.axhline(0, color=INK, lw=0.9, ls="--")
    top.axhline(0.9, color=INK, lw=0.9, ls=":")
    top.text(0, 0.92, "threshold 0.9", fontsize=8)
    top.set(ylabel="kappa with the final mask", ylim=(-0.08, 1.05))
    low.set(ylabel="rate", xlabel="epoch", ylim=(0, 1.1))
    drawing.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return drawing


def _largest(weights: NDArray[np.float64], share: float = 0.02) -> NDArray[np.bool_]:
    return np.abs(weights) >= np.sort(np.abs(weights), axis=None)[-round(share * weights.size)]


def intervals() -> Figure:
    """Draw forty studies of five seeds each: their intervals, and the mean that all of them look for."""
    rng, studies = np.random.default_rng(5), 40
    drawing = figure(6.4, 2.8)
    ax = plain(drawing.subplots())
    missed = 0
    for study in range(studies):
        values = rng.standard_normal(5)
        found = mt.mean_interval(values)
        low, high = float(found.low or 0), float(found.high or 0)
        miss = not low <= 0 <= high
        missed += miss
        ax.plot([study] * 2, [low, high], color=ORANGE if miss else BLUE, lw=1.6, solid_capstyle="butt")
        ax.plot([study] * 5, values, ".", ms=3, color=MUTED)
    ax.axhline(0, color=INK, lw=0.9, ls="--")
    handles = [Patch(fc=tone, label=words) for tone, words in ((BLUE, "holds the mean"), (ORANGE, "misses it"))]
    drawing.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    ax.set(
        xlabel=f"study; {missed} of {studies} intervals miss the mean", ylabel="standard deviations", xlim=(-1, studies)
    )
    return drawing


PICTURES: Mapping[str, Callable[[], Figure]] = {
    function.__name__: function
    for function in (snapshots, budgets, chance, ladder, order, network, emergence, intervals)
}
"""What draws each picture, by the name of its file."""


def draw(folder: pathlib.Path) -> None:
    """Draw all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, function in PICTURES.items():
        drawing = function()
        mt.plots.save_plot(drawing.axes[0], folder / f"{name}.svg")


if __name__ == "__main__":
    draw(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
