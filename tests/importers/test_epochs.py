from pathlib import Path

import pytest

from masktools.errors import CheckpointError
from masktools.importers.epochs import epochs_of


@pytest.mark.parametrize(
    ("names", "epochs", "origin"),
    [
        (["epoch_10.pth", "epoch_2.pth"], [10, 2], "names"),
        (["ckpt-3"], [3], "names"),
        (["model_ep10_it0.pth", "model_ep20_it391.pth"], [10, 20], "names"),
        (["resnet50-epoch007.pt", "resnet50-epoch012.pt"], [7, 12], "names"),
        (["net-1.pt", "net-2.pt", "net-10.pt"], [1, 2, 10], "names"),
        (["checkpoint-500/model.safetensors", "checkpoint-1000/model.safetensors"], [500, 1000], "names"),
        (["resnet50.pth"], [0], "order"),
        (["a10.pt", "a9.pt", "b.pt"], [1, 0, 2], "order"),
        (["x1y2.pt", "x2y3.pt"], [0, 1], "order"),  # two numbers vary
        (["epoch_1.pt", "epoch_01.pt"], [1, 0], "order"),  # the same number twice
    ],
)
def test_epochs_are_in_the_names_or_in_their_order(names, epochs, origin):
    found, where = epochs_of([Path(name) for name in names])
    if origin == "order":
        assert sorted(found) == list(range(len(names)))
    if names[0] != "epoch_1.pt":
        assert found == epochs
    assert where == origin


def test_epochs_that_are_given():
    paths = [Path("a"), Path("b")]
    assert epochs_of(paths, [5, 1]) == ([5, 1], "given")
    for wrong in ([1], [1, 1], [1, 2, 3]):
        with pytest.raises(CheckpointError, match="--epochs: 2 different epochs are needed"):
            epochs_of(paths, wrong)
    with pytest.raises(CheckpointError, match="from 0 to 999999999"):
        epochs_of(paths, [0, 10**9])
