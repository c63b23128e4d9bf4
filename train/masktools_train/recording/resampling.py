"""Padding and interpolation: each unit by itself, from other positions."""

from typing import Any

import torch
from torch import nn

from masktools_train.recording.calls import Call, full_name
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.joining import concatenated
from masktools_train.recording.layers import padded
from masktools_train.recording.movement import only_source
from masktools_train.recording.recording import Recording, Traced

__all__ = ["PADDING", "UPSAMPLING", "interpolate", "pad"]

PADDING = {
    "pad": None,
    "constant_pad_nd": "constant",
    **{f"reflection_pad{axes}d": "reflect" for axes in (1, 2, 3)},
    **{f"replication_pad{axes}d": "replicate" for axes in (1, 2, 3)},
}
"""Functions that pad, and how, where the name says so."""

UPSAMPLING = {
    "interpolate": None,
    **{f"upsample_nearest{axes}d": "nearest" for axes in (1, 2, 3)},
    **{f"upsample_nearest_exact{axes}d": "nearest-exact" for axes in (1, 2, 3)},
    "upsample_linear1d": "linear",
    "upsample_bilinear2d": "bilinear",
    "upsample_trilinear3d": "trilinear",
    "upsample_bicubic2d": "bicubic",
}
"""Functions that interpolate, and how, where the name says so."""

_ROUNDING = 1e-12
"""Weights of an interpolation below this are zeros."""


def pad(recording: Recording, call: Call) -> Traced:
    """Follow padding: of positions by nothing or by other positions, of units by a constant."""
    source = only_source(recording, call)
    widths, mode = list(call.argument(1, "pad")), PADDING[call.label] or call.argument(2, "mode", "constant")
    ndim = source.shadow.ndim
    sides = {ndim - 1 - axis: (widths[2 * axis], widths[2 * axis + 1]) for axis in range(len(widths) // 2)}
    sides = {axis: pair for axis, pair in sides.items() if any(pair)}
    if not sides:
        return source
    for axis, (before, after) in sides.items():  # what is cut off
        size = source.shadow.shape[axis] + min(before, 0) + min(after, 0)
        source = Traced(source.source, source.shadow.narrow(axis, max(-before, 0), size))
    units, positions = recording.natural(source)
    widened = {axis: [max(width, 0) for width in pair] for axis, pair in sides.items()}
    if any(any(widened[axis]) for axis in positions if axis in widened):
        node, arrangement = recording.arranged(source, units, positions)
        reads = [
            _padded_indices(source.shadow.shape[axis], widened.get(axis, [0, 0]), mode)
            for axis in arrangement.positions
        ]
        if any(arrangement.extents[axis].batch for axis in arrangement.positions):
            raise UnfollowedError("the examples of the batch lie among the positions")
        number, arrangement = padded(recording, node, arrangement, reads)
        source = Traced(number, arrangement.shadow(recording.counts))
    for axis in units:
        before, after = widened.get(axis, [0, 0])
        if mode != "constant" and before + after:
            raise UnfollowedError(f"pads units by {mode}")
        parts: list[Traced | int] = [before, source, after]
        if before + after:
            source = concatenated(recording, [part for part in parts if part != 0], axis, "pad")
    return source


def _padded_indices(size: int, widths: list[int], mode: str) -> list[int]:
    if mode == "constant":
        return [-1] * widths[0] + list(range(size)) + [-1] * widths[1]
    indices = nn.functional.pad(torch.arange(size, dtype=torch.float64).view(1, 1, size), widths, mode)
    return [round(index) for index in indices.flatten().tolist()]


def interpolate(recording: Recording, call: Call) -> Traced:
    """Follow an interpolation: each position reads those to which it gives a weight."""
    source = only_source(recording, call)
    node, arrangement = recording.arranged(source, (1,))
    axes = source.shadow.ndim - 2
    if arrangement.positions != tuple(range(2, axes + 2)):
        raise UnfollowedError("a batch of maps of channels is needed")
    options = _options(call)
    reads = []
    for axis in range(axes):
        lengths = [size if other == axis else 1 for other, size in enumerate(source.shadow.shape[2:])]
        probe = torch.eye(lengths[axis], dtype=torch.float64).view(lengths[axis], 1, *lengths)
        weights = nn.functional.interpolate(probe, **{k: _along(v, axis, axes) for k, v in options.items()})
        rows = weights.reshape(lengths[axis], -1).abs() > _ROUNDING
        reads.append(tuple(tuple(row.nonzero().flatten().tolist()) for row in rows.T))
    made = arrangement.resized({axis + 2: call.result.shape[axis + 2] for axis in range(axes)})
    number = recording.add("resample", (node,), made.shape, reads=tuple(reads), label=f"interpolate_{options['mode']}")
    return Traced(number, made.shadow(recording.counts))


def _options(call: Call) -> dict[str, Any]:
    mode = UPSAMPLING[call.label]
    if mode is None:
        names = ("size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias")
        options = {name: call.argument(place, name) for place, name in enumerate(names, 1)}
        options["mode"] = options["mode"] or "nearest"
    else:
        if not full_name(call.func).endswith(".vec"):
            raise UnfollowedError("its effect on connectivity is not known")
        corners = call.argument(2, "align_corners") if "linear" in mode or mode == "bicubic" else None
        scale = call.argument(2 if corners is None else 3, "scale_factors")
        options = {"size": call.argument(1, "output_size"), "scale_factor": scale, "mode": mode}
        options["align_corners"] = corners
    return {name: value for name, value in options.items() if value is not None}


def _along(value: Any, axis: int, axes: int) -> Any:
    """Return a size or a factor that changes one axis alone; anything else as it is."""
    if isinstance(value, bool | str):
        return value
    each = [value] * axes if isinstance(value, int | float) else list(value)
    one = type(each[axis])(1)
    chosen = [number if other == axis else one for other, number in enumerate(each)]
    return tuple(chosen) if axes > 1 else chosen[0]
