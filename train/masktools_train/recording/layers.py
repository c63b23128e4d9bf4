"""Layers: functions with a weight that is a parameter of the model."""

from collections.abc import Sequence

from masktools_train.recording.arrangement import Arrangement
from masktools_train.recording.calls import Call
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.movement import only_source
from masktools_train.recording.recording import Parameter, Recording, Traced
from masktools_train.recording.windows import conv_window

__all__ = ["apply_linear", "conv", "linear", "padded"]


def linear(recording: Recording, call: Call) -> Traced:
    """Follow a linear layer along the last axis; its weight may be some neighbouring rows of a parameter."""
    weight, bias = recording.parameter(call.argument(1, "weight")), recording.parameter(call.argument(2, "bias"))
    return apply_linear(recording, only_source(recording, call), weight, bias)


def apply_linear(
    recording: Recording, source: Traced, weight: Parameter | None, bias: Parameter | None = None
) -> Traced:
    """Append a linear layer.

    Some rows of a parameter are followed as all of it, of whose outputs some are taken: the others lead nowhere.

    Parameters
    ----------
    recording
        What is known so far.
    source
        What it reads, along the last axis.
    weight
        Of shape (out, in).
    bias
        Of shape (out,), or None.
    """
    if weight is None or weight.shadow is None or len(weight.shape) != 2 or weight.shadow.ndim != 2:
        raise UnfollowedError("uses a weight that is no parameter of the model")
    rows, columns = weight.shape
    count, first = len(weight.shadow), int(weight.shadow[0, 0]) // columns
    taken = recording.counts.contiguous(weight.shape)[first : first + count]
    if weight.shadow.shape != taken.shape or not recording.counts.same(weight.shadow, taken):
        raise UnfollowedError(f"uses {weight.name}, but neither all of it nor some neighbouring rows")
    axis = source.shadow.ndim - 1
    node, arrangement = recording.arranged(source, (axis,))
    made = arrangement.resized({axis: rows})
    number = recording.add(
        "linear",
        (node,),
        made.shape,
        weight=weight.name,
        bias=None if bias is None else _bias(recording, bias, weight, taken.shape[0], first),
        label="linear",
    )
    return Traced(number, made.shadow(recording.counts)[..., first : first + count])


def _bias(recording: Recording, bias: Parameter, weight: Parameter, count: int, first: int) -> str | None:
    """Return the name of a parameter of which a bias takes the same rows as the weight."""
    if bias.shadow is None or bias.shape != weight.shape[:1]:
        return None
    rows = recording.counts.contiguous(bias.shape)[first : first + count]
    return bias.name if recording.counts.same(bias.shadow, rows) else None


def conv(recording: Recording, call: Call) -> Traced:
    """Follow a convolution; padding that differs from side to side is a node of its own."""
    source, weight, bias = only_source(recording, call), call.argument(1, "weight"), call.argument(2, "bias")
    name = recording.name(weight)
    if name is None:
        raise UnfollowedError("uses a weight that is no parameter of the model")
    axes = weight.ndim - 2
    if source.shadow.ndim != axes + 2:
        raise UnfollowedError("a batch of maps of channels is needed")
    window, further = conv_window(call, tuple(weight.shape[2:]))
    node, arrangement = recording.arranged(source, (1,))
    if arrangement.positions != tuple(range(2, axes + 2)):
        raise UnfollowedError("acts on several maps of each example, which lie along the axis of the batch")
    if any(further):
        sizes = source.shadow.shape[2:]
        reads = [[*range(size), *[-1] * more] for size, more in zip(sizes, further, strict=True)]
        node, arrangement = padded(recording, node, arrangement, reads)
    made = arrangement.resized({axis: call.result.shape[axis] for axis in range(1, axes + 2)})
    number = recording.add(
        f"conv{axes}d", (node,), made.shape, weight=name, bias=recording.name(bias), window=window, label=f"conv{axes}d"
    )
    return Traced(number, made.shadow(recording.counts))


def padded(
    recording: Recording, node: int, arrangement: Arrangement, reads: Sequence[Sequence[int]], label: str = "pad"
) -> tuple[int, Arrangement]:
    """Append a resampling of all positions, each from one other or from none (-1)."""
    after = arrangement.resized({axis: len(read) for axis, read in zip(arrangement.positions, reads, strict=True)})
    lists = tuple(tuple(() if index < 0 else (index,) for index in read) for read in reads)
    return recording.add("resample", (node,), after.shape, reads=lists, label=label), after
