"""`torch.nn.MultiheadAttention`, which is a single function with several layers inside."""

import inspect
from typing import Any

import torch
from torch import Tensor

from masktools_train.recording.attention import BLOCKING, attention, is_causal
from masktools_train.recording.calls import Call
from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.layers import apply_linear
from masktools_train.recording.recording import Opaque, Recording, Traced

__all__ = ["multi_head_attention"]


def multi_head_attention(recording: Recording, call: Call) -> list[Traced | None]:
    """Follow ``multi_head_attention_forward``: projections, attention head by head, and a projection of its outputs."""
    given = inspect.signature(torch.nn.functional.multi_head_attention_forward).bind(*call.args, **call.kwargs)
    given.apply_defaults()
    options: dict[str, Any] = given.arguments
    inputs = [recording.traced(options[name]) for name in ("query", "key", "value")]
    for name in ("bias_k", "bias_v", "static_k", "static_v"):
        if options[name] is not None:
            raise UnfollowedError(f"{name} is given, which is not known")
    if options["add_zero_attn"]:
        raise UnfollowedError("add_zero_attn is set, which is not known")
    if None in inputs or options["query"].ndim != 3:
        raise UnfollowedError("a batch of queries, keys and values made from the input is needed")
    queries, keys, values = _projected(recording, [source for source in inputs if source is not None], options)
    count = options["num_heads"]
    length, batch = options["query"].shape[:2]
    queries, keys, values = (_by_heads(part, count) for part in (queries, keys, values))
    causal = _causal(options, (batch, count, length, keys.shadow.shape[-2]))
    mixed = attention(recording, queries, keys, values, causal=causal)
    whole = Traced(mixed.source, mixed.shadow.permute(2, 0, 1, 3).reshape(length, batch, -1))
    last = (recording.parameter(options[name]) for name in ("out_proj_weight", "out_proj_bias"))
    made = apply_linear(recording, whole, *last)
    weights = call.result[1]
    if not isinstance(weights, Tensor):
        return [made, None]
    blank = torch.zeros(weights.shape, dtype=torch.int64)
    return [made, Traced(Opaque("the weights that an attention returns beside its outputs"), blank)]


def _projected(recording: Recording, inputs: list[Traced], options: dict[str, Any]) -> list[Traced]:
    """Return queries, keys and values; the same input is projected once by a weight that is packed."""
    if options["use_separate_proj_weight"]:
        # The bias is packed all the same: no parameter has just the numbers that one of them adds.
        weights = [options[name] for name in ("q_proj_weight", "k_proj_weight", "v_proj_weight")]
        pairs = zip(inputs, weights, strict=True)
        return [apply_linear(recording, source, recording.parameter(weight)) for source, weight in pairs]
    weight, bias = (recording.parameter(options[name]) for name in ("in_proj_weight", "in_proj_bias"))
    size = options["embed_dim_to_check"]
    done: list[tuple[Traced, Traced]] = []
    parts_made = []
    for place, source in enumerate(inputs):
        packed = next((made for known, made in done if _same(recording, known, source)), None)
        if packed is None:
            packed = apply_linear(recording, source, weight, bias)
            done.append((source, packed))
        parts_made.append(Traced(packed.source, packed.shadow[..., place * size : (place + 1) * size]))
    return parts_made


def _same(recording: Recording, one: Traced, other: Traced) -> bool:
    return one.source == other.source and recording.counts.same(one.shadow, other.shadow)


def _by_heads(part: Traced, count: int) -> Traced:
    length, batch, size = part.shadow.shape
    return Traced(part.source, part.shadow.reshape(length, batch, count, size // count).permute(1, 2, 0, 3))


def _causal(options: dict[str, Any], shape: tuple[int, ...]) -> bool:
    padding, mask = (_blocked(options[name]) for name in ("key_padding_mask", "attn_mask"))
    if padding is not None and bool(padding.any()):
        raise UnfollowedError("has a mask that blocks other positions than all later ones")
    if mask is None:
        return bool(options["is_causal"])
    return is_causal(mask.view(shape) if mask.ndim == 3 else mask, shape)


def _blocked(mask: Tensor | None) -> Tensor | None:
    return mask if mask is None or mask.dtype == torch.bool else mask <= BLOCKING
