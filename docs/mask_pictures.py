"""Pictures of masks as cells, and what all pictures of docs/make_pictures.py share."""

import pathlib
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

import masktools as mt
from masktools.nulls.ladder import LADDER
from masktools.plots.canvas import BLUE, GRID, INK, MUTED, ORANGE

__all__ = ["Masks", "figure", "ladder", "overlap", "plain", "random_mask", "snapshots"]

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"

EMPTY = "#F0F0F0"
"""Cells of inactive weights."""

Masks = Mapping[str, NDArray[np.bool_]]


def figure(width: float, height: float) -> Figure:
    """Return a figure on white: a page may be dark, and the panel stays readable."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def plain(ax: Axes) -> Axes:
    """Take away what does not speak, and return the axes."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color=GRID, lw=0.6)
    ax.set_axisbelow(True)
    return ax


def cells(ax: Axes, *kinds: tuple[NDArray[np.bool_], str], title: str = "") -> None:
    """Draw matrices over each other, each with its colour: outputs downwards, inputs to the right."""
    rows, columns = kinds[0][0].shape
    ax.set(facecolor=EMPTY, xticks=[], yticks=[], aspect="equal", xlim=(0, columns), ylim=(rows, 0))
    for mask, tone in kinds:
        at = [(x + 0.06, y + 0.06) for y, x in np.argwhere(mask)]
        if at:
            # One path for all cells: a file stays small.
            squares = [Path.unit_rectangle().transformed(Affine2D().scale(0.88).translate(*place)) for place in at]
            ax.add_patch(PathPatch(Path.make_compound_path(*squares), color=tone, lw=0))
    ax.set_title(title, fontsize=9)


def random_mask(rng: np.random.Generator, shape: tuple[int, ...], active: int) -> NDArray[np.bool_]:
    """Return a mask with so many active weights, at random."""
    mask = np.zeros(int(np.prod(shape)), dtype=np.bool_)
    mask[rng.choice(mask.size, active, replace=False)] = True
    return mask.reshape(shape)


def overlap(a: Masks, b: Masks) -> mt.Overlap:
    """Return what two sets of masks have in common."""
    packed = [{name: mt.PackedMask.from_bool(mask) for name, mask in masks.items()} for masks in (a, b)]
    return mt.overlap_of(*packed)


def snapshots() -> Figure:
    """Draw the first layer of an archived run, epoch by epoch: what came, what went."""
    run = mt.open_run(FIXTURES / "v1" / "dnw")
    drawing = figure(7.2, 3.5)
    before = run[0].mask("fc1.weight")
    for ax, snapshot in zip(drawing.subplots(len(run), 1), run, strict=True):
        mask = snapshot.mask("fc1.weight")
        born, gone = int(np.sum(mask & ~before)), int(np.sum(before & ~mask))
        change = f", {born} born and {gone} gone since the epoch before" if snapshot.epoch else ""
        title = f"epoch {snapshot.epoch}: {mask.sum()} active{change}"
        cells(ax, (mask & before, INK), (mask & ~before, BLUE), (before & ~mask, ORANGE), title=title)
        ax.set_ylabel("8 outputs", fontsize=8)
        before = mask
    ax.set_xlabel("64 inputs", fontsize=8)
    handles = [Patch(fc=c, label=t) for c, t in ((INK, "active before and now"), (BLUE, "born"), (ORANGE, "gone"))]
    drawing.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return drawing


def ladder() -> Figure:
    """Draw a mask of two layers, and a random one from every rung of the null ladder."""
    rng = np.random.default_rng(3)
    odds = np.outer(1 / (1 + rng.permutation(10)), 1 / (1 + rng.permutation(12))).ravel()
    hubs = np.zeros(120, dtype=np.bool_)
    hubs[rng.choice(120, 36, replace=False, p=odds / odds.sum())] = True
    masks = {"first": hubs.reshape(10, 12), "second": random_mask(rng, (5, 10), 22)}
    keeps = {"global": "keeps the count", "layer": "+ every layer's", "neuron": "+ fan-in", "degree": "+ fan-out"}
    rungs = {name: LADDER[name].draw(masks, np.random.default_rng(1), {}) for name in keeps}
    drawing = figure(9.6, 3.9)
    grid = drawing.subplots(3, 5, height_ratios=(0.9, 2.6, 1.3))
    for (top, middle, low), (name, drawn) in zip(grid.T, ({"the mask": masks} | rungs).items(), strict=True):
        kept = list(rungs).index(name) if name in rungs else 3
        tones = [BLUE if kept >= least else MUTED for least in (1, 2, 3)]
        top.bar(np.arange(12) + 0.5, drawn["first"].sum(axis=0), 0.8, color=tones[2])
        top.set(xlim=(0, 12), ylim=(0, 9), xticks=[], yticks=[])
        top.spines[["top", "right", "left"]].set_visible(False)
        top.set_title(f"{name}\n{keeps.get(name, '')}", fontsize=9)
        cells(middle, (drawn["first"], INK))
        for row, count in enumerate(drawn["first"].sum(axis=1)):
            middle.text(12.2, row + 0.5, str(count), fontsize=7.5, va="center", color=tones[1])
        cells(low, (drawn["second"], INK))
        low.set_xlabel(f"{drawn['first'].sum()} and {drawn['second'].sum()} active", fontsize=8, color=tones[0])
    for ax, words in zip(grid[:, 0], ("fan-out", "first layer,\nfan-in beside it", "second layer"), strict=True):
        ax.set_ylabel(words, fontsize=8)
    return drawing
