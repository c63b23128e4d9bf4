"""Products of matrices, however they are written: with the weight of a layer, or within an attention."""

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from masktools_train.recording.attention import BLOCKING, blocked_scores, product_of
from masktools_train.recording.calls import Call
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.layers import apply_linear
from masktools_train.recording.recording import Parameter, Recording, Traced

__all__ = ["added", "einsum", "matmul"]

Factor = TypeVar("Factor", Traced, Parameter)


def matmul(recording: Recording, call: Call) -> Traced:
    """Follow a product of queries with keys, of softmax with values, or of an input with the weight of a layer."""
    left, right = call.first, call.argument(1, "mat2", call.kwargs.get("other"))
    if min(left.ndim, right.ndim) < 2:
        raise UnfollowedError("is a product with a vector")
    return _multiplied(recording, _known(recording, left), _known(recording, right))


def added(recording: Recording, call: Call) -> Traced:
    """Follow a mask plus a product of matrices, or a bias plus an input times a weight."""
    start, left, right = call.first, call.argument(1, "mat1"), call.argument(2, "mat2")
    if recording.traced(start) is not None:
        raise UnfollowedError("of the tensors that it takes, more than the factors are made from the input")
    made = _multiplied(recording, _known(recording, left), _known(recording, right), recording.parameter(start))
    return made if isinstance(made.source, int) else blocked_scores(recording, made, start <= BLOCKING)


def einsum(recording: Recording, call: Call) -> Traced:
    """Follow a product of two factors, of which every index is summed in both or kept."""
    equation, operands = call.first, call.args[1:]
    tensors = list(operands[0] if isinstance(operands[0], list | tuple) else operands)
    terms, _, out = equation.replace(" ", "").partition("->")
    indices = terms.split(",")
    if len(tensors) != 2 or len(indices) != 2 or not out or "." in equation:
        raise UnfollowedError(f"{equation!r} is not a product of two factors with all indices named")
    left, right = indices
    lead = [i for i in out if i in left and i in right]
    rows, columns = [i for i in left if i not in right], [i for i in right if i not in left]
    summed = [i for i in left if i in right and i not in out]
    if any(i not in out for i in rows + columns) or any(len(set(term)) != len(term) for term in (left, right, out)):
        raise UnfollowedError(f"{equation!r} is not a product of two factors with all indices named once in each")
    one = _turned(_known(recording, tensors[0]), left, (lead, rows, summed))
    two = _turned(_known(recording, tensors[1]), right, (lead, summed, columns))
    made = _multiplied(recording, one, two)
    sizes = {
        i: size
        for term, tensor in zip(indices, tensors, strict=True)
        for i, size in zip(term, tensor.shape, strict=True)
    }
    order = lead + rows + columns
    shadow = made.shadow.reshape([sizes[i] for i in order])
    return Traced(made.source, shadow.permute([order.index(i) for i in out]))


def _known(recording: Recording, value: Tensor) -> Traced | Parameter:
    found = recording.traced(value) or recording.parameter(value)
    if found is None:
        raise UnfollowedError("multiplies by a matrix that is no weight of the model")
    return found


def _multiplied(
    recording: Recording, left: Traced | Parameter, right: Traced | Parameter, bias: Parameter | None = None
) -> Traced:
    if isinstance(left, Traced) and isinstance(right, Traced):
        return product_of(recording, left, right)
    if isinstance(left, Parameter) and isinstance(right, Traced):
        turned = apply_linear(recording, _swapped(right), _squeezed(left))
        return _swapped(turned)
    if isinstance(left, Traced) and isinstance(right, Parameter):
        return apply_linear(recording, left, _swapped(_squeezed(right)), bias)
    raise UnfollowedError("multiplies two parameters")


def _turned(
    factor: Traced | Parameter, term: str, groups: tuple[Sequence[str], Sequence[str], Sequence[str]]
) -> Traced | Parameter:
    """Bring a factor of an einsum into the shape (*lead, rows, columns)."""
    if factor.shadow is None:
        return factor
    order = [term.index(i) for group in groups for i in group]
    shadow = factor.shadow.permute(order)
    lead = len(groups[0])
    last = len(groups[1])
    shadow = shadow.flatten(lead, lead + last - 1) if last else shadow.unsqueeze(lead)
    shadow = shadow.flatten(lead + 1) if groups[2] else shadow.unsqueeze(lead + 1)
    return dataclasses.replace(factor, shadow=shadow)


def _squeezed(weight: Parameter) -> Parameter:
    shadow = weight.shadow
    while shadow is not None and shadow.ndim > 2 and shadow.shape[0] == 1:
        shadow = shadow[0]
    return dataclasses.replace(weight, shadow=shadow)


def _swapped(factor: Factor) -> Factor:
    shadow = factor.shadow
    return factor if shadow is None else dataclasses.replace(factor, shadow=shadow.transpose(-1, -2))
