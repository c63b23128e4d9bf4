"""Functions of several tensors made from the input: sums, products, and tensors side by side."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from masktools_train.recording.arrangement import Arrangement
from masktools_train.recording.calls import Call
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.movement import only_source
from masktools_train.recording.pointwise import with_constants
from masktools_train.recording.recording import Recording, Traced

__all__ = ["PRODUCTS", "SUMS", "among_constants", "cat", "combine", "concatenated", "gate", "scatter"]

SUMS = frozenset("add iadd radd sub isub rsub subtract".split())
PRODUCTS = frozenset("mul imul rmul multiply div truediv itruediv rtruediv rdiv divide true_divide".split())


def combine(recording: Recording, call: Call) -> Traced:
    """Follow a sum, a difference, a product or a quotient of two tensors, or of one and constants."""
    operands = [call.first, call.argument(1, "other")]
    sources = [(value, recording.traced(value)) for value in operands]
    tracked = [source for _, source in sources if source is not None]
    if len(tracked) == 1:
        constants = [value for value, source in sources if source is None]
        bias = None
        if call.label in SUMS:
            bias = next((_offset(recording, value, tracked[0]) for value in constants), None)
        return with_constants(recording, call, tracked[0], bias)
    shape = call.result.shape
    parts = [Traced(source.source, torch.broadcast_to(source.shadow, shape)) for source in tracked]
    return _joined(recording, "add" if call.label in SUMS else "mul", parts, call.label)


def among_constants(recording: Recording, call: Call) -> Traced:
    """Follow a function of each element of several tensors of which one is made from the input, whichever it is."""
    sources = [traced for value in call.args if (traced := recording.traced(value)) is not None]
    if len(sources) != 1:
        raise UnfollowedError("of the tensors that it takes, more than one is made from the input")
    return with_constants(recording, call, sources[0])


def gate(recording: Recording, call: Call) -> Traced:
    """Follow a gated linear unit: the first half along an axis times a function of the second."""
    source, axis = only_source(recording, call), call.argument(1, "dim", -1)
    halves = [Traced(source.source, half) for half in source.shadow.chunk(2, axis)]
    return _joined(recording, "mul", halves, call.label)


def _offset(recording: Recording, value: object, source: Traced) -> str | None:
    """Return the name of a parameter with one number for each unit, in their order; None for any other constant."""
    found = recording.parameter(value)
    if found is None or found.shadow is None or len(found.shape) != 1 or not isinstance(value, Tensor):
        return None
    wide = [axis - value.ndim for axis, size in enumerate(value.shape) if size > 1]
    if found.shape == (1,):
        wide = [-1]
    if len(wide) != 1 or not torch.equal(found.shadow.flatten(), torch.arange(found.shape[0])):
        return None
    axis = source.shadow.ndim + wide[0]
    return found.name if axis >= 0 and recording.along_units(source, axis) else None


def _joined(recording: Recording, op: str, parts: Sequence[Traced], label: str) -> Traced:
    """Append a sum or a product of tensors of one shape."""
    sources = [recording.source(part) for part in parts]
    shapes = {recording.nodes[source].shape for source in sources}
    if len(shapes) == 1 and all(recording.counts.same(part.shadow, parts[0].shadow) for part in parts[1:]):
        return Traced(recording.add(op, sources, shapes.pop(), label=label), parts[0].shadow)
    units, positions = _leading(recording, parts)
    nodes, arrangement = _alike(recording, parts, units, positions)
    number = recording.add(op, nodes, arrangement.shape, label=label)
    return Traced(number, arrangement.shadow(recording.counts))


def _leading(recording: Recording, parts: Sequence[Traced]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the natural axes of the tensor with the most units; what the network is fed has no say if others have."""
    made = [part for part in parts if recording.nodes[recording.source(part)].op != "input"]
    parts = made or parts
    found = [recording.natural(part) for part in parts]
    sizes = [
        math.prod(part.shadow.shape[axis] for axis in units) for part, (units, _) in zip(parts, found, strict=True)
    ]
    return found[sizes.index(max(sizes))]


def _alike(
    recording: Recording,
    parts: Sequence[Traced],
    units: Sequence[int],
    positions: Sequence[int],
    free: int | None = None,
) -> tuple[list[int], Arrangement]:
    """Arrange tensors in the same way; they may differ in size along one free axis."""
    nodes, arrangements = [], []
    for part in parts:
        node, arrangement = recording.arranged(part, units, positions)
        nodes.append(node)
        arrangements.append(arrangement if free is None else arrangement.resized({free: 1}))
    if any(arrangement != arrangements[0] for arrangement in arrangements):
        raise UnfollowedError("joins tensors whose batches lie along different axes")
    return nodes, arrangements[0]


def cat(recording: Recording, call: Call) -> Traced:
    """Follow tensors that are put side by side along an axis, or along a new one."""
    values = list(call.first)
    axis = call.argument(1, "dim", call.kwargs.get("axis", 0)) % call.result.ndim
    parts: list[Traced | Tensor] = []
    for value in values:
        source = recording.traced(value)
        parts.append(value if source is None else source)
    if call.label == "stack":
        parts = [
            Traced(part.source, part.shadow.unsqueeze(axis)) if isinstance(part, Traced) else part for part in parts
        ]
    sizes = [1 if call.label == "stack" else value.shape[axis] for value in values]
    return concatenated(
        recording,
        [part if isinstance(part, Traced) else size for part, size in zip(parts, sizes, strict=True)],
        axis,
        call.label,
        [found.name if (found := recording.parameter(value)) else "" for value in values],
    )


def scatter(recording: Recording, call: Call) -> Traced:
    """Follow a tensor in which neighbours along an axis are replaced by another tensor."""
    values = [call.first, call.argument(1, "src")]
    whole, part = (recording.traced(value) for value in values)
    axis = call.argument(2, "dim", 0) % call.result.ndim
    size = call.result.shape[axis]
    if call.label == "select_scatter":
        first = call.argument(3, "index") % size
        last = first + 1
        part = None if part is None else Traced(part.source, part.shadow.unsqueeze(axis))
    else:
        start, end, step = call.argument(3, "start"), call.argument(4, "end"), call.argument(5, "step", 1)
        first, last, step = slice(start, end, step).indices(size)
        if step != 1:
            raise UnfollowedError("replaces every so manieth element")
    pieces: list[Traced | int] = []
    for begin, stop in ((0, first), (last, size)):
        if whole is None:
            pieces.append(stop - begin)
        else:
            pieces.append(Traced(whole.source, whole.shadow.narrow(axis, begin, stop - begin)))
    pieces.insert(1, last - first if part is None else part)
    return concatenated(recording, [p for p in pieces if _length(p, axis)], axis, call.label)


def _length(part: Traced | int, axis: int) -> int:
    return part if isinstance(part, int) else part.shadow.shape[axis]


def concatenated(
    recording: Recording, parts: Sequence[Traced | int], axis: int, label: str, names: Sequence[str] = ()
) -> Traced:
    """Append tensors side by side.

    Parameters
    ----------
    recording
        What is known so far.
    parts
        Tensors, and for constants their sizes along the axis.
    axis
        The axis of the tensors.
    label
        What the function is called.
    names
        What the constants are called.
    """
    tracked = [part for part in parts if isinstance(part, Traced)]
    if len(parts) == 1:
        return tracked[0]
    units, positions = _leading(recording, tracked)
    if axis in units and units != (axis,):
        units, positions = (axis,), tuple(other for other in range(tracked[0].shadow.ndim) if other != axis)
    nodes, arrangement = _alike(recording, tracked, units, positions, axis)
    queue = iter(nodes)
    sources = []
    for place, part in enumerate(parts):
        if isinstance(part, Traced):
            sources.append(next(queue))
        else:
            shape = arrangement.resized({axis: part}).shape
            sources.append(recording.add("constant", (), shape, label=names[place] if names else ""))
    made = arrangement.resized({axis: sum(_length(part, axis) for part in parts)})
    number = recording.add("concat", sources, made.shape, axes=(made.node_axis(axis),), label=label)
    return Traced(number, made.shadow(recording.counts))
