"""Every function that can be followed, by its name; a new one is a function in a module of its kind and one line here.

The name is that of the function, the method or the operator of ATen alike, without underscores around it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from masktools_train.recording import attention, joining, movement, pointwise, pooling, products, resampling
from masktools_train.recording.calls import Call
from masktools_train.recording.heads import multi_head_attention
from masktools_train.recording.layers import conv, linear
from masktools_train.recording.mixing import MIXERS, mix
from masktools_train.recording.recording import Recording, Traced

__all__ = ["CONSTANTS", "FUNCTIONS", "SCORES", "Made"]

Made: TypeAlias = Traced | Sequence[Traced | None] | None
"""What is known of a result, or of several; None for what is no function of the input."""

CONSTANTS = frozenset(
    "zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full fill".split()
)
"""Functions that only look at the shape of what they are given."""

FUNCTIONS: Mapping[str, Callable[[Recording, Call], Made]] = {
    **dict.fromkeys(movement.CASTS, movement.cast),
    **dict.fromkeys(movement.RESHAPES | movement.MOVES | movement.SELECTIONS, movement.move),
    "copy": movement.copy,
    **dict.fromkeys(pointwise.POINTWISE, pointwise.pointwise),
    **dict.fromkeys(pointwise.NORMS, pointwise.norm),
    **dict.fromkeys(joining.SUMS | joining.PRODUCTS, joining.combine),
    **dict.fromkeys(("addcmul", "addcdiv", "maximum", "minimum"), joining.among_constants),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack"), joining.cat),
    **dict.fromkeys(("slice_scatter", "select_scatter"), joining.scatter),
    "glu": joining.gate,
    "linear": linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), conv),
    **dict.fromkeys(pooling.POOLING, pooling.pool),
    **dict.fromkeys(pooling.ADAPTIVE_POOLS, pooling.adaptive_pool),
    **dict.fromkeys(pooling.REDUCTIONS, pooling.reduce),
    **dict.fromkeys(resampling.PADDING, resampling.pad),
    **dict.fromkeys(resampling.UPSAMPLING, resampling.interpolate),
    **dict.fromkeys(MIXERS, mix),
    **dict.fromkeys(("matmul", "mm", "bmm"), products.matmul),
    **dict.fromkeys(("addmm", "baddbmm"), products.added),
    "einsum": products.einsum,
    "scaled_dot_product_attention": attention.scaled_dot_product_attention,
    "multi_head_attention_forward": multi_head_attention,
}
"""What becomes of tensors made from the input."""

SCORES: Mapping[str, Callable[[Recording, Call], Made]] = {
    **dict.fromkeys(movement.CASTS, movement.cast),
    **dict.fromkeys(movement.RESHAPES | movement.MOVES, movement.move),
    **dict.fromkeys(joining.SUMS | joining.PRODUCTS, attention.scaled),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "native_dropout", "identity"), attention.unblocked),
    **dict.fromkeys(("masked_fill", "where"), attention.masked),
    "softmax": attention.scores_softmax,
    **dict.fromkeys(("matmul", "bmm"), products.matmul),
    "einsum": products.einsum,
}
"""What becomes of products of queries and keys, and of their softmax."""
