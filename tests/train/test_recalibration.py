"""Batch-norm statistics estimated anew, against sums by hand and torch's own cumulative average."""

import copy

import numpy as np
import pytest
import torch
from pruned import brute_force
from small_runs import TRAIN, recipe
from torch import nn

from masktools.errors import RecipeError
from masktools.runs import open_run
from masktools_train import prune, train
from masktools_train.evaluation import evaluate
from masktools_train.reevaluate.recalibration import equal_batches, recalibrated, tracking_norms
from masktools_train.reevaluate.restored import Restored
from masktools_train.reevaluate.trained_network import TrainedNetwork


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3),
        nn.BatchNorm2d(4, momentum=0.3),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(4, 3, 3),
        nn.BatchNorm2d(3),
        nn.Flatten(),
        nn.Linear(27, 2),
        nn.BatchNorm1d(2, track_running_stats=False),
    )


def everything_of(model):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    return state, [module.training for module in model.modules()], [norm.momentum for norm in tracking_norms(model)]


def assert_equal_states(a, b):
    assert a[1:] == b[1:]
    assert a[0].keys() == b[0].keys()
    for name, value in a[0].items():
        torch.testing.assert_close(value, b[0][name], rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_statistics_are_the_mean_over_batches(training):
    model = convolutional().train(training)
    model(torch.randn(8, 2, 7, 7))  # the second norm, and the dropout, have been used before
    before = everything_of(model)
    batches = torch.randn(30, 2, 7, 7).tensor_split(4)
    assert [len(batch) for batch in batches] == [8, 8, 7, 7]

    clone = copy.deepcopy(model).eval()
    for place in (1, 5):
        clone[place].reset_running_stats()
        clone[place].momentum = None
        clone[place].train()
    means, variances = [], []
    with torch.no_grad():
        for batch in batches:
            clone(batch)
            maps = model[0](batch).double()
            means.append(maps.mean((0, 2, 3)))
            variances.append(maps.var((0, 2, 3)))

    with recalibrated(model, batches):
        for place in (1, 5):
            torch.testing.assert_close(model[place].running_mean, clone[place].running_mean, rtol=0, atol=0)
            torch.testing.assert_close(model[place].running_var, clone[place].running_var, rtol=0, atol=0)
            assert int(model[place].num_batches_tracked) == 4
        torch.testing.assert_close(model[1].running_mean.double(), torch.stack(means).mean(0), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(model[1].running_var.double(), torch.stack(variances).mean(0), rtol=1e-4, atol=1e-6)
        assert everything_of(model)[1] == before[1]
    assert_equal_states(everything_of(model), before)


def test_all_is_restored_after_an_error():
    model = convolutional()
    before = everything_of(model)
    with pytest.raises(RuntimeError), recalibrated(model, (torch.randn(5, 2, 7, 7), torch.randn(5, 1, 7, 7))):
        pass
    assert_equal_states(everything_of(model), before)


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(96, 16, [16] * 6), (17, 16, [17]), (9, 2, [3, 2, 2, 2]), (5, 1, [3, 2]), (3, 8, [3]), (47, 16, [24, 23])],
)
def test_batches_differ_by_one_example_at_most(count, size, expected):
    inputs = torch.arange(count)
    batches = equal_batches(inputs, size)
    assert [len(batch) for batch in batches] == expected
    torch.testing.assert_close(torch.cat(batches), inputs)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "noisy"
    train(recipe("dnw", model__name="small_runs:noisy", algorithm__density=0.5), folder, device="cpu")
    return open_run(folder)


def recalibrated_by_hand(run, masks, examples):
    """Return the accuracy with statistics of the hidden sums that NumPy averages."""
    network = TrainedNetwork(Restored(run, run.final, torch.device("cpu")))
    network.keep(masks)
    model, (inputs, _) = network.model, network.first_examples(examples)
    weight, bias = (model.state_dict()[f"0.{name}"].double().numpy() for name in ("weight", "bias"))
    sums = [batch.double().numpy() @ weight.T + bias for batch in equal_batches(inputs, run.config["batch_size"])]
    model[1].running_mean.copy_(torch.from_numpy(np.mean([part.mean(0) for part in sums], axis=0)))
    model[1].running_var.copy_(torch.from_numpy(np.mean([part.var(0, ddof=1) for part in sums], axis=0)))
    return evaluate(model, network.source.data).accuracy


@pytest.mark.parametrize("examples", [2, 40, 2048])
def test_both_accuracies_of_every_point(examples, run):
    shares = (1.0, 0.6, 0.3, 0.1, 0.0)
    plain = prune(run, device="cpu", shares=shares)
    found = prune(run, device="cpu", shares=shares, recalibrate=True, recalibration_examples=examples)
    assert found.recalibration_examples == min(examples, TRAIN)
    assert plain.recalibration_examples is None
    for point, without in zip(found.curve, plain.curve, strict=True):
        assert point.accuracies == without.accuracies
        assert without.recalibrated is None
        masks = {name: torch.from_numpy(mask) for name, mask in brute_force(run, point.share, "global").items()}
        assert point.recalibrated == (recalibrated_by_hand(run, masks, examples),)
    assert any(point.recalibrated != point.accuracies for point in found.curve)
    alone = prune(run, device="cpu", shares=[0.3], recalibrate=True, recalibration_examples=examples)
    assert alone.curve[0] == found.curve[2]


def test_every_draw_has_both(run):
    found = prune(run, device="cpu", shares=[0.5], criterion="random", draws=3, recalibrate=True)
    assert len(found.curve[0].recalibrated) == len(found.curve[0].accuracies) == 3
    plain = found.to_dict()
    assert plain["curve"][0]["recalibrated"] == pytest.approx(np.mean(found.curve[0].recalibrated))
    assert plain["curve"][0]["recalibrated_low"] <= plain["curve"][0]["recalibrated"]
    assert plain["recalibrated"]["half_share"] is None


def test_without_batch_norm_there_is_nothing_to_recalibrate(tmp_path):
    train(recipe("static"), tmp_path / "run", device="cpu")
    with pytest.raises(RecipeError, match=r"recalibrate: .*run has no batch norm with running statistics"):
        prune(tmp_path / "run", device="cpu", recalibrate=True)
    assert tracking_norms(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.InstanceNorm2d(3))) == []
