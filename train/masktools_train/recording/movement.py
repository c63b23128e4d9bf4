"""Functions that only move elements: what they do to a tensor is done to its shadow."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from masktools_train.recording.calls import Call, full_name
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.recording import Opaque, Parameter, Product, Recording, Traced

__all__ = ["CASTS", "MOVES", "RESHAPES", "SELECTIONS", "cast", "copy", "move", "moved_parameter", "only_source"]

CASTS = frozenset(
    "contiguous clone to float double half bfloat16 type type_as detach alias lift_fresh_copy cpu cuda to_copy "
    "requires_grad_ positive".split()
)
"""Functions that hand on the same elements in the same places."""

RESHAPES = frozenset(
    "view reshape flatten ravel unflatten squeeze unsqueeze view_as reshape_as unsafe_view view_copy unsqueeze_copy "
    "squeeze_copy".split()
)
"""Functions that keep the order of elements: the shape of the result says all."""

MOVES = frozenset(
    "permute transpose swapaxes swapdims movedim moveaxis t T mT adjoint H mH getitem select narrow slice chunk split "
    "split_with_sizes unsafe_chunk unsafe_split tensor_split unbind iter expand expand_as broadcast_to repeat "
    "repeat_interleave tile flip fliplr flipud rot90 pixel_shuffle pixel_unshuffle channel_shuffle "
    "native_channel_shuffle unfold permute_copy transpose_copy slice_copy expand_copy select_copy unbind_copy "
    "split_copy split_with_sizes_copy t_copy diagonal".split()
)
"""Functions that take elements to other places in regular steps."""

SELECTIONS = frozenset("roll index_select index gather take_along_dim".split())
"""Functions that may take elements to other places in any order."""

_HARMLESS = frozenset(
    "permute transpose swapaxes swapdims movedim moveaxis t T mT adjoint H mH select unbind iter expand expand_as "
    "broadcast_to repeat repeat_interleave tile flip fliplr flipud permute_copy transpose_copy t_copy".split()
)
"""Moves that cut no axis: what follows regular steps goes on to do so."""

_SHAPED_BY_ANOTHER = frozenset("to type_as view_as reshape_as expand_as".split())
"""Functions whose second tensor only says how the result looks."""


def only_source(recording: Recording, call: Call) -> Traced:
    """Return the one tensor made from the input that a function was given, as its first argument.

    Raises
    ------
    UnfollowedError
        If there are others.
    """
    traced = recording.traced(call.first)
    rest = (*call.args[1:], *call.kwargs.values())
    others = [value for value in _leaves(rest) if value is not call.first and recording.traced(value) is not None]
    if traced is None or others:
        raise UnfollowedError("of the tensors that it takes, more than the first is made from the input")
    return traced


def cast(recording: Recording, call: Call) -> Traced | None:
    """Follow a function that changes neither places nor (but for rounding) values."""
    source = recording.traced(call.first)
    if source is None and call.label in _SHAPED_BY_ANOTHER:
        return None
    if not isinstance(call.result, Tensor) or not call.result.is_floating_point():
        raise UnfollowedError(f"to {call.result.dtype} loses values")
    return only_source(recording, call) if call.label not in _SHAPED_BY_ANOTHER else source


def move(recording: Recording, call: Call) -> Traced | list[Traced] | None:
    """Follow a function that moves elements, by moving the shadow."""
    source = recording.traced(call.first)
    if call.label not in _SHAPED_BY_ANOTHER:
        source = only_source(recording, call)
    if source is None:
        return None
    if isinstance(source.source, Opaque):
        raise UnfollowedError(f"uses {source.source.what}, which cannot be followed")
    made = [Traced(source.source, shadow) for shadow in _moved(call, source.shadow, call.first)]
    if not isinstance(source.source, Product) and call.label not in _HARMLESS:
        made = [_kept_regular(recording, call, source, traced, place) for place, traced in enumerate(made)]
    return made[0] if isinstance(call.result, Tensor) else made


def _kept_regular(recording: Recording, call: Call, source: Traced, made: Traced, place: int) -> Traced:
    """Put what is in no regular order into a node at once: what comes next may cut its axes.

    An axis that runs through several axes of its node can be cut elsewhere, or shifted, once it is an axis of a node.
    """
    if recording.is_regular(made):
        return made
    node, arrangement = recording.arranged(source, *recording.natural(source))
    shadow = _moved(call, arrangement.shadow(recording.counts), call.first)[place]
    return recording.regular(Traced(node, shadow))[0]


def copy(recording: Recording, call: Call) -> Traced | None:
    """Follow what takes the place of all elements of another tensor."""
    source = recording.traced(call.argument(1, "src"))
    return None if source is None else Traced(source.source, source.shadow.expand(call.result.shape))


def moved_parameter(recording: Recording, call: Call, source: Tensor) -> list[Parameter]:
    """Return what the results of a function of a parameter are: its elements elsewhere, or something made of it."""
    known = recording.parameter(source)
    count = len(call.result) if isinstance(call.result, tuple | list) else 1
    if known is None:
        raise UnfollowedError("of no parameter")
    shadows: list[Tensor | None] = [None] * count
    if call.first is source and known.shadow is not None:
        if call.label in CASTS:
            shadows = [known.shadow]
        elif call.label in RESHAPES | MOVES | SELECTIONS:
            shadows = list(_moved(call, known.shadow, source))
    return [Parameter(known.name, known.shape, shadow) for shadow in shadows]


def _moved(call: Call, shadow: Tensor, source: Tensor) -> Sequence[Tensor]:
    if call.label in RESHAPES:
        if call.result.dtype != source.dtype:
            raise UnfollowedError("takes the memory of elements apart")
        return [shadow.reshape(call.result.shape)]
    if call.label == "unfold" and "Tensor" not in full_name(call.func) and "aten" not in full_name(call.func):
        raise UnfollowedError("its effect on connectivity is not known")
    # A view, so that functions in place change the shape of that alone.
    args = [shadow.view(shadow.shape), *(_near(value) for value in call.args[1:])]
    kwargs = {name: _near(value) for name, value in list(call.kwargs.items())[0 if call.args else 1 :]}
    moved = call.func(*args, **kwargs)
    return [moved] if isinstance(moved, Tensor) else list(moved)


def _near(value: Any) -> Any:
    """Bring indices to where shadows are."""
    if isinstance(value, tuple | list):
        return type(value)(_near(item) for item in value)
    return value.to(torch.device("cpu")) if isinstance(value, Tensor) else value


def _leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, tuple | list):
        for value in values:
            yield from _leaves(value)
    else:
        yield values
