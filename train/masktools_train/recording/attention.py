"""Attention: products of queries and keys, their softmax, and the values that it weighs."""

import dataclasses
import math

import torch
from torch import Tensor

from masktools.topology.graph import Heads
from masktools_train.recording.calls import Call
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.recording import Product, Recording, Traced

__all__ = [
    "BLOCKING",
    "attention",
    "blocked_scores",
    "is_causal",
    "masked",
    "product_of",
    "scaled",
    "scaled_dot_product_attention",
    "scores_softmax",
    "unblocked",
]

BLOCKING = -1e4
"""Scores this low are what people write for minus infinity."""


def product_of(recording: Recording, one: Traced, two: Traced) -> Traced:
    """Return the product of two matrices made from the input, of shapes (..., rows, n) and (..., n, columns).

    That of the softmax of scores and values is an attention; any other has to become such scores.
    """
    if isinstance(two.source, Product) and two.source.softmax:
        turned = product_of(recording, _transposed(two), _transposed(one))
        return _transposed(turned)
    if isinstance(one.source, Product) and one.source.softmax:
        product = _straight(recording, one)
        return attention(recording, product.queries, product.keys, two, causal=product.causal)
    recording.source(one)
    recording.source(two)
    lead = _broadcast(one.shadow.shape[:-2], two.shadow.shape[:-2])
    queries, keys = _expanded(one, lead), _expanded(_transposed(two), lead)
    shape = (*lead, one.shadow.shape[-2], two.shadow.shape[-1])
    return Traced(Product(queries, keys, shape), recording.counts.contiguous(shape))


def scaled(recording: Recording, call: Call) -> Traced:
    """Follow scores times a constant, or plus constants: nothing changes but where they become minus infinity."""
    values = [call.first, call.argument(1, "other")]
    scores, constant = values if recording.traced(values[0]) is not None else values[::-1]
    traced = recording.traced(scores)
    if traced is None or recording.traced(constant) is not None or not isinstance(traced.source, Product):
        raise UnfollowedError("joins scores of attention with another tensor made from the input")
    product = _straight(recording, traced)
    if call.result.shape != product.shape or product.softmax:
        raise UnfollowedError("changes the softmax of attention")
    if not isinstance(constant, Tensor) or call.label not in ("add", "iadd", "radd", "sub", "isub"):
        return unblocked(recording, call)
    return blocked_scores(recording, traced, (-constant if "sub" in call.label else constant) <= BLOCKING)


def masked(recording: Recording, call: Call) -> Traced:
    """Follow scores of which some are replaced by minus infinity."""
    scores, mask, value = call.first, call.argument(1, "mask"), call.argument(2, "value")
    if call.label == "where":
        chosen = recording.traced(scores) is None  # a function of the condition, not a method of what it chooses
        mask, scores = (call.first, call.argument(1, "input")) if chosen else (call.argument(1, "condition"), scores)
        mask, value = ~mask, call.argument(2, "other")
    traced = recording.traced(scores)
    if traced is None or any(recording.traced(other) is not None for other in (mask, value)):
        raise UnfollowedError("replaces scores of attention by another tensor made from the input")
    if float(value) > BLOCKING:
        raise UnfollowedError("replaces scores of attention by other numbers than minus infinity")
    return blocked_scores(recording, traced, mask)


def unblocked(recording: Recording, call: Call) -> Traced:
    """Follow scores, or their softmax, through a function that makes none of them zero for ever, such as dropout."""
    found = [traced for value in call.args if (traced := recording.traced(value)) is not None]
    if len(found) != 1:
        raise UnfollowedError("joins scores of attention with another tensor made from the input")
    return found[0]


def scores_softmax(recording: Recording, call: Call) -> Traced:
    """Follow the softmax of scores, along the positions of the keys."""
    traced = recording.traced(call.first)
    axis = call.argument(1, "dim")
    if traced is None or axis not in (-1, traced.shadow.ndim - 1):
        raise UnfollowedError(f"along axis {axis} of scores of attention, which is not their last")
    product = _straight(recording, traced)
    if product.softmax:
        raise UnfollowedError("changes the softmax of attention")
    product = dataclasses.replace(product, softmax=True)
    return Traced(product, recording.counts.contiguous(product.shape))


def scaled_dot_product_attention(recording: Recording, call: Call) -> Traced:
    """Follow the function of that name."""
    values = [call.argument(place, name) for place, name in enumerate(("query", "key", "value"))]
    sources = [traced for value in values if (traced := recording.traced(value)) is not None]
    mask, causal = call.argument(3, "attn_mask"), bool(call.argument(5, "is_causal", False))
    if len(sources) != len(values) or recording.traced(mask) is not None:
        raise UnfollowedError("queries, keys and values have to be made from the input, and the mask must not be")
    queries, keys, inputs = sources
    if call.kwargs.get("enable_gqa"):
        heads = queries.shadow.shape[-3]
        keys, inputs = (
            Traced(s.source, s.shadow.repeat_interleave(heads // s.shadow.shape[-3], -3)) for s in (keys, inputs)
        )
    if mask is not None:
        shape = (*queries.shadow.shape[:-1], keys.shadow.shape[-2])
        causal = is_causal(~mask if mask.dtype == torch.bool else mask <= BLOCKING, shape) or causal
    return attention(recording, queries, keys, inputs, causal=causal)


def attention(recording: Recording, queries: Traced, keys: Traced, values: Traced, *, causal: bool) -> Traced:
    """Append an attention.

    Axes before the last two are heads where they run through the units of the queries' node; else they are positions,
    which are kept apart.

    Parameters
    ----------
    recording
        What is known so far.
    queries, keys, values
        Of shapes (..., positions, features).
    causal
        Whether no later position is read.
    """
    lead = _broadcast(*(part.shadow.shape[:-2] for part in (queries, keys, values)))
    queries, layout = recording.regular(_expanded(queries, lead))
    stride = math.prod(recording.nodes[recording.source(queries)].shape[1:])
    factors = [factor for axis in range(len(lead)) for factor in layout.axes[axis]]
    split = [factor.size for factor in factors]
    heads = [place for place, f in enumerate(factors) if not f.batch and abs(f.stride) >= stride]
    tokens, features = len(split), len(split) + 1
    positions = [*(place for place in range(len(split)) if place not in heads), tokens]
    nodes, arrangements = [], []
    for part in (queries, keys, values):
        shadow = _expanded(part, lead).shadow
        cut = Traced(part.source, shadow.reshape(*split, *shadow.shape[-2:]))
        node, arrangement = recording.arranged(cut, [*heads, features], positions)
        if arrangement.extents[tokens].batch:
            raise UnfollowedError("reads several examples of the batch")
        nodes.append(node)
        arrangements.append(arrangement)
    if any(arrangement.extents[:tokens] != arrangements[0].extents[:tokens] for arrangement in arrangements):
        raise UnfollowedError("joins tensors whose batches lie along different axes")
    made = arrangements[0].resized({features: values.shadow.shape[-1]})
    count = math.prod(split[place] for place in heads)
    number = recording.add("attention", nodes, made.shape, heads=Heads(count, causal), label="attention")
    shadow = made.shadow(recording.counts)
    return Traced(number, shadow.reshape(*lead, *shadow.shape[-2:]))


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def _expanded(part: Traced, lead: tuple[int, ...]) -> Traced:
    return Traced(part.source, part.shadow.expand(*lead, *part.shadow.shape[-2:]))


def _transposed(part: Traced) -> Traced:
    return Traced(part.source, part.shadow.transpose(-1, -2))


def _straight(recording: Recording, traced: Traced) -> Product:
    """Move what was moved since the product was made into its factors, so that it is counted in order again."""
    product, shadow = traced.source, traced.shadow
    if not isinstance(product, Product):
        raise UnfollowedError("is not given scores of attention")
    if recording.counts.same(shadow, recording.counts.contiguous(product.shape)):
        return product
    rows, columns = product.shape[-2:]
    first = shadow[..., :1, :1]
    in_order = first + recording.counts.contiguous((rows, columns))
    if shadow.shape != in_order.shape or not torch.equal(shadow, in_order) or (first % (rows * columns)).any():
        raise UnfollowedError("moves rows or columns of scores of attention")
    matrix = (first // (rows * columns))[..., 0, 0]
    queries, keys = (
        Traced(part.source, part.shadow.reshape(-1, *part.shadow.shape[-2:])[matrix])
        for part in (product.queries, product.keys)
    )
    return dataclasses.replace(product, queries=queries, keys=keys, shape=tuple(shadow.shape))


def blocked_scores(recording: Recording, traced: Traced, blocked: Tensor) -> Traced:
    """Return scores of which some are blocked: none of them, or those of all later positions."""
    product = _straight(recording, traced)
    if product.softmax:
        raise UnfollowedError("changes the softmax of attention")
    causal = is_causal(blocked, product.shape) or product.causal
    product = dataclasses.replace(product, causal=causal)
    return Traced(product, recording.counts.contiguous(product.shape))


def is_causal(blocked: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether all later positions are blocked, and nothing else; False where nothing is.

    Raises
    ------
    UnfollowedError
        If anything else is blocked.
    """
    if not bool(blocked.any()):
        return False
    later = torch.ones(shape[-2:], dtype=torch.bool, device=blocked.device).triu(1)
    if not bool((blocked == later).all()) or _broadcast(blocked.shape, shape) != shape:
        raise UnfollowedError("has a mask that blocks other positions than all later ones")
    return True
