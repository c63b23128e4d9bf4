"""Recording a model in a loop of one's own."""

import numpy as np
import pytest
import torch
from torch import nn

from masktools.errors import SnapshotError
from masktools.runs import open_run
from masktools_train import Recorder, Sparsifier
from masktools_train.algorithms import DNW, RigL
from masktools_train.sparse_layer import prunable_weights
from masktools_train.tracing import trace


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 6), nn.Linear(6, 3)
    )


def train_and_record(path, algorithm, epochs=2, **options):
    model = net()
    start = {name: value.detach().clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    sparsifier = Sparsifier(model, optimizer, algorithm, density=0.3, total_steps=20, dense_layers=["5.weight"])
    recorder = Recorder(path, model, sparsifier, **options)
    recorder.snapshot(0)
    for epoch in range(1, epochs + 1):
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.randn(8, 1, 4, 4)).square().mean().backward()
            optimizer.step()
        recorder.snapshot(epoch, step=4 * epoch, level=0, note="warm")
    return open_run(path), model, sparsifier, start


@pytest.mark.parametrize("algorithm", [RigL(delta_t=2), DNW()], ids=lambda a: a.name)
@pytest.mark.parametrize("kind", ["active", "dense", "none"])
def test_a_snapshot_is_the_model_as_it_is(algorithm, kind, tmp_path):
    run, model, sparsifier, start = train_and_record(
        tmp_path, algorithm, weights=kind, config={"mine": 1}, topology=trace(net(), torch.rand(2, 1, 4, 4))
    )
    final, state = run.final, model.state_dict()
    assert final.config == {"mine": 1}
    assert (final.epoch, final.step) == (2, 8)
    assert final.extra == {"level": 0, "note": "warm"}
    assert list(final.layers) == list(prunable_weights(model)) == list(final.topology.layers)
    for layer in sparsifier.layers:
        mask = layer.mask.bool().numpy()
        np.testing.assert_array_equal(final.mask(layer.name), mask)
        assert final.layer(layer.name).prunable == (layer.name != "5.weight")
        if kind == "active":
            np.testing.assert_array_equal(final.weight(layer.name), state[layer.name].numpy())
            np.testing.assert_array_equal(run.at(0).weight(layer.name), start[layer.name].numpy())
        elif kind == "dense":
            # What trains behind the mask is the whole point of storing all weights.
            np.testing.assert_array_equal(final.weight(layer.name), layer.dense_values.numpy())
            np.testing.assert_array_equal(run.at(0).weight(layer.name), start[layer.name].numpy())
            hidden = bool(final.weight(layer.name)[~mask].any())
            assert hidden == (algorithm.name == "dnw" and layer.name != "5.weight")
        else:
            with pytest.raises(SnapshotError, match="without weights"):
                final.weight(layer.name)
    others = final.tensors()
    assert set(others) == set(state) - set(final.layers)
    for name, value in others.items():
        np.testing.assert_array_equal(value, state[name].numpy())
        assert value.dtype == state[name].numpy().dtype
    assert others["1.num_batches_tracked"] == 8


def test_a_mask_is_not_derived_from_the_weights(tmp_path):
    run, model, sparsifier, _ = train_and_record(tmp_path / "a", RigL(delta_t=2))
    layer = sparsifier.layers[1]
    with torch.no_grad():
        layer.parameter.zero_()
    recorder = Recorder(tmp_path / "b", model, sparsifier, dtype="float16")
    recorder.snapshot(3)
    final = open_run(tmp_path / "b").final
    np.testing.assert_array_equal(final.mask(layer.name), layer.mask.bool().numpy())
    assert final.active == sparsifier.active == run.final.active


def test_without_a_sparsifier_every_layer_is_dense(tmp_path):
    model = net()
    recorder = Recorder(tmp_path, model)
    recorder.snapshot(0)
    recorder.snapshot(7, step=3)
    for snapshot in open_run(tmp_path):
        assert snapshot.density == 1
        for name, weight in prunable_weights(model).items():
            np.testing.assert_array_equal(snapshot.weight(name), weight.detach().numpy())


def test_a_snapshot_does_not_change_with_the_model(tmp_path):
    model = net()
    content = Recorder(tmp_path, model).content(1, 2)
    before = content.layers[0].values.copy(), content.tensors["0.bias"].copy()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    np.testing.assert_array_equal(content.layers[0].values, before[0])
    np.testing.assert_array_equal(content.tensors["0.bias"], before[1])


def test_bfloat16_and_float64_models(tmp_path):
    for number, dtype in enumerate((torch.bfloat16, torch.float64)):
        model = nn.Linear(4, 3).to(dtype)
        Recorder(tmp_path / str(number), model).snapshot(1)
        final = open_run(tmp_path / str(number)).final
        np.testing.assert_array_equal(final.weight("weight"), model.weight.detach().float().numpy())
        np.testing.assert_array_equal(final.tensors()["bias"], model.bias.detach().double().numpy())
