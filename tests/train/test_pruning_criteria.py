"""Which weights a criterion keeps, against the same scores in NumPy."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from pruned import brute_force, kept_masks
from small_runs import TRAIN, noisy, recipe
from torch import nn

from masktools.errors import RunError
from masktools.run_writer import RunWriter
from masktools.runs import open_run
from masktools.snapshot.content import SnapshotContent
from masktools.structure.values.scores import CRITERIA as MASK_CRITERIA
from masktools.structure.values.scores import LayerValues
from masktools_train import prune, train
from masktools_train.data import load_data
from masktools_train.reevaluate.pruning_criteria import loss_gradients
from masktools_train.reevaluate.restored import Restored
from masktools_train.reevaluate.trained_network import TrainedNetwork
from masktools_train.seeding import generator

SHARES = (0.73, 0.5, 0.25, 0.1)


@pytest.fixture(scope="module", params=["rigl", "dnw", "static"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / request.param
    train(recipe(request.param, algorithm__density=0.5), folder, device="cpu")
    return open_run(folder)


def network_of(run):
    return TrainedNetwork(Restored(run, run.final, torch.device("cpu")))


def rewritten(run, folder, *, epoch=None, **changes):
    """Copy a run and change the snapshot of an epoch: what each key makes of a layer."""
    shutil.copytree(run.path, folder)
    old = open_run(folder).at(epoch)
    layers = tuple(dataclasses.replace(layer, **{k: f(layer) for k, f in changes.items()}) for layer in old.contents())
    content = SnapshotContent(old.epoch, old.step, layers, old.config, old.tensors(), old.topology, old.extra)
    RunWriter(folder).snapshot(content)
    return open_run(folder)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_movement_against_brute_force(scope, run, monkeypatch):
    scores = {name: np.abs(run.final.weight(name) - run[0].weight(name)) for name in run.final.layers}
    _, seen = kept_masks(monkeypatch, run, scope=scope, shares=SHARES, criterion="movement")
    assert len(seen) == len(SHARES)
    for share, masks in seen:
        for name, mask in brute_force(run, share, scope, scores).items():
            np.testing.assert_array_equal(masks[name], mask)
    # It is the score of the mask criterion of that name.
    for name, score in scores.items():
        values = LayerValues(run[0].weight(name), run.final.weight(name))
        np.testing.assert_array_equal(MASK_CRITERIA["movement"].score(values), score)


def test_movement_needs_all_initial_weights(run, tmp_path):
    words = "criterion 'movement' needs the weights of epoch 0, all of them"
    shutil.copytree(run.path, tmp_path / "late")
    (tmp_path / "late" / "epoch-0000.h5").unlink()
    with pytest.raises(RunError, match=words):
        prune(tmp_path / "late", device="cpu", criterion="movement")
    with pytest.raises(RunError, match=words):
        prune(run.final.path, device="cpu", criterion="movement")
    sparse = rewritten(
        run,
        tmp_path / "sparse",
        epoch=0,
        kind=lambda layer: "active",
        values=lambda layer: layer.values[layer.mask.to_bool()],
    )
    with pytest.raises(RunError, match=words):
        prune(sparse, device="cpu", criterion="movement")


def first_inputs_and_targets(run, count):
    """Return training examples in the order of the first epoch, in double precision."""
    data = load_data(run.config["data"]["name"], {})
    order = torch.randperm(TRAIN, generator=generator("cpu", run.config["seed"], "order", 0))[:count]
    return data.normalized(data.train_inputs[order]).double().numpy(), data.train_targets[order].numpy()


def numpy_gradients(run, inputs, targets):
    """Differentiate the mean cross-entropy of a perceptron of three layers by hand."""
    weights = [run.final.weight(f"fc{k}.weight").astype(float) for k in (1, 2, 3)]
    biases = [run.final.tensors()[f"fc{k}.bias"].astype(float) for k in (1, 2, 3)]
    values, sums = [inputs], []
    for weight, bias in zip(weights, biases, strict=True):
        sums.append(values[-1] @ weight.T + bias)
        values.append(np.maximum(sums[-1], 0))
    shares = np.exp(sums[-1] - sums[-1].max(1, keepdims=True))
    back = shares / shares.sum(1, keepdims=True)
    back[np.arange(len(targets)), targets] -= 1
    back /= len(targets)
    found = {}
    for k in (2, 1, 0):
        found[f"fc{k + 1}.weight"] = back.T @ values[k]
        if k:
            back = (back @ weights[k]) * (sums[k - 1] > 0)
    return found


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("examples", [1, 10, 1024])
def test_saliency_against_brute_force(scope, examples, run, monkeypatch):
    inputs, targets = first_inputs_and_targets(run, examples)
    assert len(targets) == min(examples, TRAIN)
    gradients = numpy_gradients(run, inputs, targets)
    scores = {name: np.abs(run.final.weight(name) * gradients[name]) for name in run.final.layers}
    result, seen = kept_masks(monkeypatch, run, scope=scope, shares=SHARES, criterion="saliency", examples=examples)
    assert result.examples == examples
    for share, masks in seen:
        expected = brute_force(run, share, scope, scores)
        for name, mask in masks.items():
            # A handful of scores may be equal (units that no example excites) or as good as equal.
            differ = mask != expected[name]
            assert differ.sum() <= 2 or np.ptp(scores[name][differ]) < 1e-7
    found = loss_gradients(network_of(run), *network_of(run).first_examples(examples))
    for name, gradient in gradients.items():
        np.testing.assert_allclose(found[name].numpy(), gradient, rtol=1e-4, atol=1e-7)


def test_gradients_are_those_of_autograd_whatever_the_batches(tmp_path):
    train(recipe("dnw", model__name="small_runs:noisy"), tmp_path / "run", device="cpu")
    network = network_of(open_run(tmp_path / "run"))
    inputs, targets = network.first_examples(50)
    model = noisy((10,), 3).double()
    model.load_state_dict(network.model.state_dict())
    model.eval()
    nn.functional.cross_entropy(model(inputs.double()), targets).backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    modes = [module.training for module in network.model.modules()]
    for size in (1, 7, 50, 1000):
        found = loss_gradients(network, inputs, targets, size)
        for name in network.masks:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-7)
    for name, value in network.model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert [module.training for module in network.model.modules()] == modes
    assert all(parameter.grad is None for parameter in network.model.parameters())


def test_examples_are_the_first_that_training_saw_as_they_are_stored(tmp_path):
    for size in (7, 16, 40):
        made = recipe("static", data__name="small_runs:pictures", data__augment=["shift", "flip"], batch_size=size)
        train(made, tmp_path / f"{size}", device="cpu")
        network = network_of(open_run(tmp_path / f"{size}"))
        data = load_data("small_runs:pictures", {})
        order = torch.randperm(40, generator=generator("cpu", 0, "order", 0))
        for count, there in ((5, 5), (23, 23), (40, 40), (1000, 40)):
            inputs, targets = network.first_examples(count)
            torch.testing.assert_close(inputs, data.normalized(data.train_inputs[order[:there]]), rtol=0, atol=0)
            torch.testing.assert_close(targets, data.train_targets[order[:there]], rtol=0, atol=0)


@pytest.mark.parametrize("criterion", ["magnitude", "movement", "saliency"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_have_no_order(criterion, wrong, run, tmp_path):
    def spoiled(layer):
        values = np.array(layer.values)
        if layer.name == "fc2.weight":
            values[3] = wrong
        return values

    broken = rewritten(run, tmp_path / "broken", values=spoiled)
    with pytest.raises(RunError, match=rf"criterion '{criterion}': epoch 4 has scores in layer 'fc\d.weight'"):
        prune(broken, device="cpu", criterion=criterion)


@pytest.mark.parametrize("criterion", ["magnitude", "saliency"])
def test_what_a_mask_leaves_out_need_not_be_a_number(criterion, tmp_path):
    train(recipe("dnw", snapshot__weights="dense"), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")

    def spoiled(layer):
        return np.where(layer.mask.to_bool(), layer.values, np.nan).astype(np.float32)

    broken = rewritten(run, tmp_path / "broken", values=spoiled)
    assert np.isnan(broken.final.weight("fc1.weight")).any()
    found, expected = (prune(each, device="cpu", criterion=criterion, shares=[1, 0.5]) for each in (broken, run))
    assert found.curve == expected.curve
