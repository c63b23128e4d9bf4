"""Functions that act on every element by itself, and norms."""

import torch
from torch import Tensor

from masktools_train.recording.calls import Call, full_name
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.movement import only_source
from masktools_train.recording.recording import Opaque, Recording, Traced

__all__ = ["NORMS", "POINTWISE", "norm", "pointwise", "with_constants"]

POINTWISE = frozenset(
    "relu relu6 leaky_relu rrelu elu selu celu gelu silu mish sigmoid logsigmoid log_sigmoid tanh hardtanh hardswish "
    "hardsigmoid softplus softsign tanhshrink prelu dropout dropout1d dropout2d dropout3d feature_dropout "
    "alpha_dropout feature_alpha_dropout native_dropout identity neg negative abs clamp clamp_min clamp_max clip "
    "exp expm1 log log1p sqrt rsqrt square pow reciprocal sin cos erf".split()
)
"""Functions that act on every element by itself."""

NORMS = {
    "batch_norm": (3, 4),
    "native_batch_norm_legit_no_training": (2, 2),
    "cudnn_batch_norm": (2, 2),
    "instance_norm": (3, 4),
    "group_norm": (3, 3),
    "layer_norm": (3, 3),
    "rms_norm": (None, None),
    "native_layer_norm": (3, 3),
    "native_group_norm": (2, 2),
}
"""Norms, and the place of the offset among the arguments: of `torch.nn.functional`, and of `torch` itself."""


def pointwise(recording: Recording, call: Call) -> Traced | list[Traced | None]:
    """Follow a function of each element of its first argument."""
    made = with_constants(recording, call, only_source(recording, call))
    return made if isinstance(call.result, Tensor) else _first_of(call, made)


def with_constants(recording: Recording, call: Call, source: Traced, bias: str | None = None) -> Traced:
    """Follow a function of each element and of constants, which may repeat the elements along other axes."""
    result = call.result if isinstance(call.result, Tensor) else call.result[0]
    made = recording.pointwise(source, label=call.label, bias=bias)
    return Traced(made.source, torch.broadcast_to(made.shadow, result.shape))


def norm(recording: Recording, call: Call) -> Traced | list[Traced | None]:
    """Follow a norm: for connectivity each element by itself; its offset counts as a bias of the units."""
    source = only_source(recording, call)
    places = NORMS[call.label]
    place = places[0 if full_name(call.func).startswith("torch.nn.functional.") else 1]
    offset = None if place is None else recording.name(call.argument(place, "bias"))
    label = call.label.removeprefix("native_").removesuffix("_legit_no_training").removeprefix("cudnn_")
    axis = 1
    if label in ("layer_norm", "rms_norm"):
        axis = source.shadow.ndim - 1
        if len(call.argument(1, "normalized_shape")) > 1:
            offset = None  # a constant for each unit and position
    if offset is not None and not recording.along_units(source, axis):
        node, arrangement = recording.arranged(source, (axis,))
        source = Traced(node, arrangement.shadow(recording.counts))
    made = recording.pointwise(source, bias=offset, label=label)
    return made if isinstance(call.result, Tensor) else _first_of(call, made)


def _first_of(call: Call, made: Traced) -> list[Traced | None]:
    """Give the first of several results to what follows; the others are for gradients."""
    others = call.result[1:]
    if any(not isinstance(other, Tensor) for other in others):
        raise UnfollowedError("returns more than tensors")
    opaque = [
        Traced(Opaque(f"a further result of {call.label}"), torch.zeros(o.shape, dtype=torch.int64)) for o in others
    ]
    return [made, *opaque]
