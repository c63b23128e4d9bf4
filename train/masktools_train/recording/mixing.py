"""Functions in which every element along some axes reads all the others: softmax and its like."""

from collections.abc import Sequence

from masktools_train.recording.arrangement import Arrangement
from masktools_train.recording.calls import Call
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.movement import only_source
from masktools_train.recording.recording import Recording, Traced

__all__ = ["MIXERS", "mix", "mixed"]

MIXERS = {"softmax": 1, "log_softmax": 1, "softmin": 1, "normalize": 2}
"""Functions that mix along one axis, and the place of that axis among the arguments."""


def mix(recording: Recording, call: Call) -> Traced:
    """Follow a function along one axis."""
    axis = call.argument(MIXERS[call.label], "dim", 1 if call.label == "normalize" else None)
    source = only_source(recording, call)
    if not isinstance(axis, int):
        raise UnfollowedError(f"along {axis} is not along one axis")
    number, arrangement = mixed(recording, source, [axis % source.shadow.ndim], call.label)
    return Traced(number, arrangement.shadow(recording.counts))


def mixed(recording: Recording, source: Traced, axes: Sequence[int], label: str) -> tuple[int, Arrangement]:
    """Append a mix along axes of a tensor, and return its number and how the tensor lies on it."""
    units, _ = recording.natural(source)
    # Where units have several axes, of which some are not mixed, the mixed ones are positions.
    kept = tuple(axis for axis in units if axis not in axes) or units
    node, arrangement = recording.arranged(source, kept)
    if any(arrangement.extents[axis].batch for axis in axes):
        raise UnfollowedError("reads several examples of the batch")
    places = tuple(sorted({arrangement.node_axis(axis) for axis in axes}))
    return recording.add("mix", (node,), arrangement.shape, axes=places, label=label), arrangement
