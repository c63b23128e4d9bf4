"""What leads through an attention, against the pattern of zeros of the derivatives of torch's own."""

import numpy as np
import pytest
import torch

from masktools.topology.fields import Field
from masktools.topology.graph import Heads, Node
from masktools.topology.mixing import attended, attended_back


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("asking", "read"), [(3, 3), (2, 4), (4, 2), (3, 1)])
def test_paths_are_where_derivatives_are_not_zero(causal, asking, read):
    heads, rng = 2, np.random.default_rng(0)
    node = Node("attention", (0, 1, 2), (4, asking), heads=Heads(heads, causal=causal))
    for share in (0.2, 0.4, 0.7):
        for _ in range(8):
            shapes = (6, asking), (6, read), (4, read)
            reached = [rng.random(shape) < share for shape in shapes]
            leads = rng.random(node.shape) < share
            numbers = [
                torch.from_numpy(mask * (rng.random(mask.shape) + 0.5)).T.requires_grad_()  # positions first
                for mask in reached
            ]
            split = [x.unflatten(1, (heads, -1)).transpose(0, 1) for x in numbers]
            out = torch.nn.functional.scaled_dot_product_attention(*split, is_causal=causal)
            out = out.transpose(0, 1).flatten(1)
            # Terms of different outputs must not cancel: derivatives are taken one by one.
            shown = [np.zeros(shape, dtype=bool) for shape in shapes]
            for unit, position in np.argwhere(leads):
                gradients = torch.autograd.grad(out[position, unit], numbers, retain_graph=True)
                for array, gradient in zip(shown, gradients, strict=True):
                    array |= gradient.T.abs().numpy() > 1e-12
            fields = [Field.from_array(mask) for mask in reached]
            found = attended_back(Field.from_array(leads), *fields, node)
            for field, expected in zip(found, shown, strict=True):
                np.testing.assert_array_equal(field.to_array(), expected)
            np.testing.assert_array_equal(attended(fields[2], node).to_array(), out.detach().T.numpy() != 0)
