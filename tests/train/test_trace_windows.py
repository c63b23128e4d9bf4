"""The geometry of convolutions and pooling, along one, two and three axes."""

import pytest
import torch
from small_networks import graph, images
from torch import nn

from masktools.topology.graph import Node, Window
from masktools_train.sparse_layer import prunable_weights
from masktools_train.tracing import trace


@pytest.mark.parametrize(
    ("options", "window"),
    [
        ({"kernel_size": 3, "padding": "same"}, Window((3, 3), padding=(1, 1))),
        (
            {"kernel_size": (3, 5), "padding": "same", "dilation": (2, 1)},
            Window((3, 5), padding=(2, 2), dilation=(2, 1)),
        ),
        ({"kernel_size": 2, "padding": "same", "dilation": 2}, Window((2, 2), padding=(1, 1), dilation=(2, 2))),
        ({"kernel_size": (2, 3), "padding": "valid", "stride": (2, 1)}, Window((2, 3), (2, 1))),
        ({"kernel_size": 1, "groups": 3, "bias": False}, Window((1, 1), groups=3)),
        ({"kernel_size": 3, "padding": (0, 2), "dilation": (1, 2)}, Window((3, 3), (1, 1), (0, 2), (1, 2))),
    ],
)
def test_windows_of_convolutions(options, window):
    layer = nn.Conv2d(3, 6, **options)
    topology = graph(lambda net, x: net.c(x), images(), c=layer)
    node = topology.nodes[1]
    assert node.window == window
    assert node.shape == tuple(layer(images()).shape[1:])
    assert node.bias == ("c.bias" if options.get("bias", True) else None)


@pytest.mark.parametrize(
    ("pool", "window"),
    [
        (nn.MaxPool2d(2), Window((2, 2), (2, 2))),
        (nn.MaxPool2d(3, 1, 1, dilation=2), Window((3, 3), (1, 1), (1, 1), (2, 2))),
        (nn.MaxPool2d((2, 3), ceil_mode=True), Window((2, 3), (2, 3))),
        (nn.AvgPool2d(3, 2, 1), Window((3, 3), (2, 2), (1, 1))),
        (nn.AvgPool2d(4, ceil_mode=True), Window((4, 4), (4, 4))),
        (lambda x: nn.functional.max_pool2d(x, kernel_size=[3], stride=[1]), Window((3, 3), (1, 1))),
        (lambda x: nn.functional.avg_pool2d(x, 2, stride=(1, 2), padding=1), Window((2, 2), (1, 2), (1, 1))),
        (lambda x: torch.max_pool2d(x, 2, 1), Window((2, 2), (1, 1))),
    ],
)
def test_windows_of_pooling(pool, window):
    topology = graph(lambda net, x: pool(x), images())
    assert topology.nodes[1].op == "pool2d"
    assert topology.nodes[1].window == window
    assert topology.nodes[1].shape == tuple(pool(images()).shape[1:])


@pytest.mark.parametrize(
    ("layer", "shape", "node"),
    [
        (
            nn.Conv1d(4, 6, 3, 2, 1, groups=2),
            (4, 9),
            Node("conv1d", (0,), (6, 5), "weight", "bias", Window((3,), (2,), (1,), (1,), 2), "conv1d"),
        ),
        (
            nn.Conv1d(4, 4, 5, dilation=2, padding="same", groups=4, bias=False),
            (4, 9),
            Node("conv1d", (0,), (4, 9), "weight", None, Window((5,), (1,), (4,), (2,), 4), "conv1d"),
        ),
        (
            nn.Conv3d(2, 3, (1, 2, 3), stride=(1, 2, 1), padding=(0, 1, 2)),
            (2, 3, 4, 5),
            Node(
                "conv3d",
                (0,),
                (3, 3, 3, 7),
                "weight",
                "bias",
                Window((1, 2, 3), (1, 2, 1), (0, 1, 2), (1, 1, 1)),
                "conv3d",
            ),
        ),
        (
            nn.MaxPool1d(3, 2, padding=1, dilation=1, ceil_mode=True),
            (4, 8),
            Node("pool1d", (0,), (4, 5), window=Window((3,), (2,), (1,), (1,)), label="max_pool1d"),
        ),
        (
            nn.AvgPool1d(2),
            (4, 8),
            Node("pool1d", (0,), (4, 4), window=Window((2,), (2,), (0,), (1,)), label="avg_pool1d"),
        ),
        (
            nn.AvgPool3d((1, 2, 2)),
            (2, 3, 4, 6),
            Node(
                "pool3d",
                (0,),
                (2, 3, 2, 3),
                window=Window((1, 2, 2), (1, 2, 2), (0, 0, 0), (1, 1, 1)),
                label="avg_pool3d",
            ),
        ),
        (nn.AdaptiveAvgPool1d(3), (4, 8), Node("adaptive_pool1d", (0,), (4, 3), label="adaptive_avg_pool1d")),
        (
            nn.AdaptiveMaxPool3d((1, None, 2)),
            (2, 3, 4, 6),
            Node("adaptive_pool3d", (0,), (2, 1, 4, 2), label="adaptive_max_pool3d"),
        ),
    ],
)
def test_one_and_three_axes(layer, shape, node):
    assert trace(layer, torch.rand(2, *shape), method="eager").nodes[1] == node
    assert len(prunable_weights(layer)) == (node.weight is not None)
