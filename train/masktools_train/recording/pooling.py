"""Pooling, and reductions along axes."""

from collections.abc import Sequence

from torch import Tensor

from masktools_train.recording.arrangement import Arrangement
from masktools_train.recording.calls import Call
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.mixing import mixed
from masktools_train.recording.movement import only_source
from masktools_train.recording.recording import Recording, Traced
from masktools_train.recording.windows import pool_window

__all__ = ["ADAPTIVE_POOLS", "POOLING", "REDUCTIONS", "adaptive_pool", "pool", "reduce"]

POOLING = {f"{kind}_pool{axes}d": axes for kind in ("max", "avg") for axes in (1, 2, 3)}
ADAPTIVE_POOLS = {f"adaptive_{kind}_pool{axes}d": axes for kind in ("max", "avg") for axes in (1, 2, 3)}
REDUCTIONS = {**dict.fromkeys("mean sum amax amin logsumexp std var".split(), 1), "norm": 2}
"""Functions that make one number of those along some axes, and the place of the axes among the arguments."""


def pool(recording: Recording, call: Call) -> Traced:
    """Follow a window that slides over each unit by itself."""
    axes = POOLING[call.label]
    made, node = _maps(recording, call, axes)
    window = pool_window(call, axes)
    number = recording.add(f"pool{axes}d", (node,), made.shape, window=window, label=call.label)
    return Traced(number, made.shadow(recording.counts))


def adaptive_pool(recording: Recording, call: Call) -> Traced:
    """Follow a split of the positions into even parts."""
    axes = ADAPTIVE_POOLS[call.label]
    made, node = _maps(recording, call, axes)
    number = recording.add(f"adaptive_pool{axes}d", (node,), made.shape, label=call.label)
    return Traced(number, made.shadow(recording.counts))


def _maps(recording: Recording, call: Call, axes: int) -> tuple[Arrangement, int]:
    source = only_source(recording, call)
    if source.shadow.ndim != axes + 2:
        raise UnfollowedError("a batch of maps of channels is needed")
    if not isinstance(call.result, Tensor):
        raise UnfollowedError("returns several tensors; where its indices lead is not known")
    node, arrangement = recording.arranged(source, (1,))
    return arrangement.resized({axis: call.result.shape[axis] for axis in range(2, axes + 2)}), node


def reduce(recording: Recording, call: Call) -> Traced:
    """Follow a mean, a sum or an extremum along some axes.

    Along positions it is pooling; along units every result reads all of them, as it would after a `mix`.
    """
    source = only_source(recording, call)
    axes = call.argument(REDUCTIONS[call.label], "dim", call.kwargs.get("axis"))
    if axes is None or axes == () or isinstance(axes, bool):
        raise UnfollowedError("reads all examples of the batch")
    ndim = source.shadow.ndim
    reduced = sorted({axis % ndim for axis in ([axes] if isinstance(axes, int) else axes)})
    units, positions = recording.natural(source)
    if set(units) & set(reduced):
        number, arrangement = mixed(recording, source, reduced, call.label)
        shadow = arrangement.shadow(recording.counts)
        for axis in reduced:
            shadow = shadow.narrow(axis, 0, 1)
        return Traced(number, shadow.reshape(call.result.shape))
    node, arrangement = recording.arranged(source, units, positions)
    return _along_positions(recording, call, node, arrangement, reduced)


def _along_positions(
    recording: Recording, call: Call, node: int, arrangement: Arrangement, reduced: Sequence[int]
) -> Traced:
    if any(axis not in arrangement.positions or arrangement.extents[axis].batch for axis in reduced):
        raise UnfollowedError("reads several examples of the batch")
    made = arrangement.resized(dict.fromkeys(reduced, 1))
    if set(reduced) == set(made.positions) and len(made.positions) <= 3:
        number = recording.add(f"adaptive_pool{len(made.positions)}d", (node,), made.shape, label=call.label)
    else:
        places = {arrangement.node_axis(axis) for axis in reduced}
        reads = tuple(
            (tuple(range(extent)),) if place in places else tuple((index,) for index in range(extent))
            for place, extent in enumerate(arrangement.shape)
        )
        number = recording.add("resample", (node,), made.shape, reads=reads[1:], label=call.label)
    return Traced(number, made.shadow(recording.counts).reshape(call.result.shape))
