"""Reachability through traced networks against the pattern of zeros of a gradient: two ways to the same fact."""

import numpy as np
import pytest
import torch
from oracle import salient
from oracle_networks import NETWORKS
from oracle_transformers import TRANSFORMERS

from masktools.topology.reach import effective_masks
from masktools_train.models.conv import Conv
from masktools_train.models.imagenet_resnet import Bottleneck, ResNet
from masktools_train.models.mlp import MLP
from masktools_train.models.mobilenet import MobileNetV2
from masktools_train.models.resnet import CifarResNet
from masktools_train.models.vit import VisionTransformer
from masktools_train.sparse_layer import prunable_weights
from masktools_train.tracing import trace

BUILT_IN = {
    "perceptron": (lambda: MLP([7, 9, 8, 4]), (7,)),
    "perceptron on images": (lambda: MLP([12, 6, 3]), (1, 3, 4)),
    "conv": (lambda: Conv((2, 5, 6), 3, (3, 4)), (2, 5, 6)),
    "resnet": (lambda: CifarResNet((2, 7, 6), 4, 1), (2, 7, 6)),
    "bottlenecks": (lambda: ResNet("small", (2, 9, 9), 3, Bottleneck, [1, 1], "imagenet"), (2, 9, 9)),
    "mobilenet": (lambda: MobileNetV2((2, 12, 12), 3, width=0.1), (2, 12, 12)),
    "built-in vision transformer": (lambda: VisionTransformer((2, 4, 6), 3, 2, 12, 2, 3), (2, 4, 6)),
}
NETS = BUILT_IN | NETWORKS | TRANSFORMERS


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("net", NETS)
def test_effective_weights_are_those_with_a_gradient(net):
    build, shape = NETS[net]
    torch.manual_seed(0)
    model = build()
    topology = trace(model, torch.rand(2, *shape), method="eager")
    shapes = {name: tuple(weight.shape) for name, weight in prunable_weights(model).items() if name in topology.layers}
    between = 0
    for density in (0.03, 0.08, 0.2, 0.5, 1.0):
        for seed in range(3):
            random = np.random.default_rng(seed)
            masks = {name: random.random(size) < density for name, size in shapes.items()}
            unused = {n: np.ones(tuple(w.shape), bool) for n, w in prunable_weights(model).items() if n not in shapes}
            expected = salient(model, masks | unused, shape)
            found = effective_masks(topology, masks)
            for name in shapes:
                np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name} at {density}, seed {seed}")
            assert not any(expected[name].any() for name in unused)
            kept, active = (sum(int(m.sum()) for m in part.values()) for part in (found, masks))
            between += 0 < kept < active
    assert between >= 3
