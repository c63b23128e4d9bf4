"""Overlap of masks: of every epoch with every other, and of the runs."""

import numpy as np

from masktools.errors import StructureError
from masktools.plots.canvas import axes_of
from masktools.plots.overlap import plot_overlap
from masktools.report.inline import picture
from masktools.report.markup import clean, missing, paragraph, part
from masktools.report.material import Material
from masktools.report.readings import finals_reading, heat_map_reading
from masktools.runs import Run
from masktools.stacks import MaskStack
from masktools.structure.comparisons import compare_many
from masktools.structure.epochs import EpochMatrix, epoch_matrix
from masktools.structure.source import Recorded

__all__ = ["overlap"]

_RUNS, _EPOCHS, _PAIRED = 12, 100, 40
"""Heat maps at most, epochs in each, and runs in the matrix: the page has to open quickly."""


def overlap(material: Material) -> str:
    """Return the heat maps of each run, and the matrix of the final masks."""
    return _epochs(material) + _finals(material)


def _epochs(material: Material) -> str:
    shown = material.moving[:_RUNS]
    if not shown:
        return missing("every run has a single snapshot, and a heat map needs two epochs")
    drawn, thinned = [], 0
    for place, run in enumerate(shown):
        matrix = _matrix(run)
        thinned += len(matrix.epochs_a) < len(run)
        if np.isnan(matrix.total.kappa).all():
            drawn.append(missing(f"{material.name(run)}: kappa is not defined, because every mask is dense or empty"))
            continue
        ax = plot_overlap(matrix, axes_of(None, (3.0, 2.5)))
        ax.set(xlabel="epoch", ylabel="epoch")
        title = f"{material.name(run)}: kappa of the masks of every two epochs"
        drawn.append(picture(ax, f"overlap-{place}", title, f"{material.name(run)}: {heat_map_reading(matrix)}"))
    left = len(material.moving) - len(shown)
    words = paragraph(
        "Agreement (kappa, 0 by chance) of the masks of each run at every two epochs, all layers together. A block "
        "of one colour is a time in which the mask stood still.",
        f"The first {_RUNS} runs are shown, {left} are left out." if left else "",
        f"{thinned} runs have more than {_EPOCHS} snapshots; so many are shown, evenly spaced." if thinned else "",
    )
    return f'{words}<div class="plots small">{"".join(drawn)}</div>'


def _matrix(run: Run) -> EpochMatrix:
    places = np.unique(np.linspace(0, len(run) - 1, min(len(run), _EPOCHS)).round().astype(int)).tolist()
    snapshots = [run[place] for place in places]
    try:
        stack = MaskStack.of((Recorded(run.path, each, {}).packed for each in snapshots), len(snapshots))
    except StructureError as error:
        raise StructureError(f"{run.path}: {error}") from None
    epochs = tuple(snapshot.epoch for snapshot in snapshots)
    return EpochMatrix((str(run.path), str(run.path)), epochs, epochs, *epoch_matrix(stack))


def _finals(material: Material) -> str:
    title = "Final masks of the runs"
    if len(material.runs) < 2:
        return ""
    if len(material.runs) > _PAIRED:
        return part(title, missing(f"a matrix of more than {_PAIRED} runs cannot be read"))
    try:
        result = compare_many(material.runs)
    except StructureError as error:
        return part(title, missing(str(error)))
    caption = f"{finals_reading(result, material.groups)} Grey: a mask with itself, or undefined."
    drawn = picture(plot_overlap(result), "finals", f"Matrix of kappa between {len(result.runs)} final masks.", caption)
    again = (
        f"<p>{clean('Left out, because it is there already: ' + ', '.join(result.repeated))}</p>"
        if result.repeated
        else ""
    )
    return part(title, f'<div class="plots">{drawn}</div>', again)
