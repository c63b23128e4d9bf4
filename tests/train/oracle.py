"""Which weights have a gradient, when every path through a network adds a positive term to it.

Weights are set to the mask and inputs are positive; activations and norms are identities, maxima are means, and all
that is added whatever the input is (biases, positions, class tokens) is zero. The softmax of attention is replaced by
one plus the scores: its weights are never zero, and queries and keys matter where their product meets a value.
"""

import copy

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from masktools_train.sparse_layer import prunable_weights

functional = nn.functional


def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False):
    scores = 1 + query @ key.transpose(-1, -2)
    if is_causal or attn_mask is not None:
        scores = scores.tril()
    return scores @ value


def multi_head(query, key, value, dim, heads, weight, bias, *rest, **options):
    parts = [
        functional.linear(inputs, rows).unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
        for inputs, rows in zip((query, key, value), weight.chunk(3), strict=True)
    ]
    mixed = attention(*parts, options.get("attn_mask")).permute(2, 0, 1, 3).flatten(2)
    return functional.linear(mixed, rest[4]), None


def first(inputs, *_, **__):
    return inputs


def softmax(inputs, *_, **__):
    return 1 + inputs


REPLACED = {
    functional.relu: first,
    torch.relu: first,
    torch.Tensor.relu_: first,
    functional.relu6: first,
    functional.hardtanh: first,
    functional.gelu: first,
    functional.silu: first,
    functional.batch_norm: first,
    functional.layer_norm: first,
    functional.group_norm: first,
    functional.dropout: first,
    functional.softmax: softmax,
    torch.Tensor.softmax: softmax,
    functional.scaled_dot_product_attention: attention,
    functional.multi_head_attention_forward: multi_head,
    functional.max_pool2d: lambda x, kernel, stride=None, padding=0, **_: functional.avg_pool2d(
        x, kernel, stride, padding
    ),
}


class Linearised(TorchFunctionMode):
    """Replaces what is not linear."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return REPLACED.get(func, func)(*args, **(kwargs or {}))


def salient(model, masks, shape):
    """Return where the derivative of the summed output by a weight, times the weight, is not zero."""
    model = copy.deepcopy(model).double().eval()
    weights = prunable_weights(model)
    kept = {id(weight) for weight in weights.values()}
    with torch.no_grad():
        for parameter in model.parameters():
            if id(parameter) not in kept:
                parameter.zero_()
        for name, weight in weights.items():
            weight.copy_(torch.from_numpy(masks[name]))
    inputs = torch.rand(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    with Linearised():
        total = model(inputs).sum()
    gradients = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    return {
        name: np.zeros(masks[name].shape, bool) if g is None else (g * weights[name]).detach().numpy() != 0
        for name, g in zip(weights, gradients, strict=True)
    }
