"""Structural robustness: what is kept at each share, and what is left of the network."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from pruned import accuracy_by_hand, brute_force, kept_masks
from small_runs import recipe
from torch import nn

from masktools.errors import RecipeError, RunError
from masktools.run_writer import RunWriter
from masktools.runs import open_run
from masktools.snapshot.content import SnapshotContent
from masktools.topology.reach import effective_masks
from masktools_train import prune, train
from masktools_train.reevaluate.prune import CRITERIA

SHARES = (1.0, 0.73, 0.5, 0.25, 0.1, 0.0)


@pytest.fixture(scope="module", params=["dnw", "static-images"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / request.param
    if request.param == "dnw":
        made = recipe("dnw", model__name="small_runs:noisy", algorithm__density=0.5)
    else:
        made = recipe("static", data__name="small_runs:pictures", algorithm__dense_layers=["last"])
    train(made, folder, device="cpu")
    return open_run(folder)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_magnitudes_against_brute_force(scope, run, monkeypatch):
    result, seen = kept_masks(monkeypatch, run, scope=scope, shares=SHARES)
    assert [share for share, _ in seen] == sorted(SHARES, reverse=True)
    assert result.draws == 1
    for (share, masks), point in zip(seen, result.curve, strict=True):
        expected = brute_force(run, share, scope)
        for name, mask in masks.items():
            np.testing.assert_array_equal(mask, expected[name])
        assert point.active == sum(int(mask.sum()) for mask in expected.values())
        assert point.density == point.active / run.final.size
        assert point.accuracies == (accuracy_by_hand(run, expected),)
        topology = run.final.topology
        effective = sum(int(mask.sum()) for mask in effective_masks(topology, expected).values())
        assert point.effective_densities == (effective / run.final.size,)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_counts_are_exact(scope, run):
    active = {name: layer.active for name, layer in run.final.layers.items()}
    result = prune(run, device="cpu", scope=scope, shares=[k / 20 for k in range(21)], criterion="random", draws=1)
    for k, point in zip(range(20, -1, -1), result.curve, strict=True):
        if scope == "global":
            assert abs(point.active - k / 20 * sum(active.values())) <= 0.5
        else:
            assert point.active == sum(round(k / 20 * count) for count in active.values())


@pytest.mark.parametrize("criterion", list(CRITERIA))
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_share_one_is_the_run_itself(criterion, scope, run, monkeypatch):
    result, seen = kept_masks(monkeypatch, run, criterion=criterion, scope=scope, shares=[1], draws=3)
    (point,) = result.curve
    for _, masks in seen:
        for name, mask in masks.items():
            np.testing.assert_array_equal(mask, run.final.mask(name))
    assert set(point.accuracies) == {run.metrics[-1]["test_accuracy"]}
    assert point.active == run.final.active
    assert point.density == run.final.density
    assert len(point.accuracies) == (3 if criterion == "random" else 1)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_random_orders_are_nested_differ_and_stay_within_the_mask(scope, run, monkeypatch):
    result, seen = kept_masks(monkeypatch, run, scope=scope, shares=SHARES, criterion="random", draws=4)
    orders = [seen[draw::4] for draw in range(4)]
    for order in orders:
        assert [share for share, _ in order] == list(SHARES)
        for (_, larger), (_, smaller) in itertools.pairwise(order):
            for name in larger:
                assert not (smaller[name] & ~larger[name]).any()
        for name, mask in order[0][1].items():
            np.testing.assert_array_equal(mask, run.final.mask(name))
    assert any((orders[0][2][1][name] != orders[1][2][1][name]).any() for name in orders[0][2][1])
    for number, point in enumerate(result.curve):
        assert point.accuracies == tuple(accuracy_by_hand(run, order[number][1]) for order in orders)
    assert prune(run, device="cpu", scope=scope, shares=SHARES, criterion="random", draws=4) == result
    other = prune(run, device="cpu", scope=scope, shares=SHARES, criterion="random", draws=4, seed=1)
    assert other != result


def test_random_orders_are_uniform(run, monkeypatch):
    hits, draws = {}, 120
    _, seen = kept_masks(monkeypatch, run, shares=[0.5], criterion="random", draws=draws)
    for _, masks in seen:
        for name, mask in masks.items():
            hits[name] = hits.get(name, 0) + mask
    for name, count in hits.items():
        active = count[run.final.mask(name)]
        assert active.min() > draws / 2 - 6 * math.sqrt(draws) / 2
        assert active.max() < draws / 2 + 6 * math.sqrt(draws) / 2


def test_nothing_is_effective_that_is_not_active(run):
    for criterion in CRITERIA:
        for point in prune(run, device="cpu", criterion=criterion, draws=2).curve:
            assert all(0 <= effective <= point.density for effective in point.effective_densities)
    last = prune(run, device="cpu", shares=[0]).curve[-1]
    assert (last.active, last.density, last.effective_densities) == (0, 0, (0,))


def test_the_curve_falls_in_density_and_counts_a_share_once(run):
    result = prune(run, device="cpu", shares=[0.1, 1, 0.5, 0.1])
    assert [round(point.active / run.final.active, 1) for point in result.curve] == [1, 0.5, 0.1]
    plain = result.to_dict()
    assert {"run", "criterion", "scope", "curve"} <= set(plain)
    assert {"density", "accuracy", "effective_density"} <= set(plain["curve"][0])
    assert plain["chance_accuracy"] == pytest.approx(1 / 3, abs=0.02)
    assert [point["share"] for point in plain["curve"]] == [1, 0.5, 0.1]
    assert (plain["algorithm"], plain["variant"]) == (run.config["algorithm"]["name"], None)
    assert (plain["active"], plain["density"]) == (run.final.active, run.final.density)
    assert (plain["recalibrated"], plain["finetuned"], plain["examples"]) == (None, None, None)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_active_weights_that_are_zero_are_active(scope, tmp_path, monkeypatch):
    """They are the smallest, but a weight that the mask left out cannot take their place."""
    train(recipe("static"), tmp_path / "run", device="cpu")
    old = open_run(tmp_path / "run").final
    layers = [dataclasses.replace(layer, values=layer.values * (layer.values > 0)) for layer in old.contents()]
    content = SnapshotContent(old.epoch, old.step, tuple(layers), old.config, old.tensors(), old.topology, old.extra)
    RunWriter(tmp_path / "run").snapshot(content)
    run = open_run(tmp_path / "run")
    assert sum((layer.values == 0).sum() for layer in run.final.contents()) > 10
    _, seen = kept_masks(monkeypatch, run, scope=scope, shares=SHARES)
    for share, masks in seen:
        for name, mask in brute_force(run, share, scope).items():
            np.testing.assert_array_equal(masks[name], mask)


def test_the_files_of_the_run_are_left_alone(run):
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    prune(run, device="cpu", shares=[0.5])
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


def test_another_epoch(run):
    point = prune(run, device="cpu", epoch=2, shares=[1]).curve[0]
    assert point.accuracies == (run.metrics[2]["test_accuracy"],)
    first = prune(run, device="cpu", epoch=0, shares=[1]).curve[0]
    # At epoch 0 the file holds all initial weights; the network is what the mask leaves of them.
    assert first.accuracies == (run.metrics[0]["test_accuracy"],)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (
            {"criterion": "size"},
            RecipeError,
            "'size' is unknown; choose from magnitude, random, movement, saliency",
        ),
        ({"scope": "all"}, RecipeError, "scope 'all' is unknown; choose from global, layer"),
        ({"shares": []}, RecipeError, "shares"),
        ({"shares": [1.01]}, RecipeError, "shares must lie between 0 and 1"),
        ({"shares": [-0.1]}, RecipeError, "shares"),
        ({"shares": [math.nan]}, RecipeError, "shares"),
        ({"draws": 0, "criterion": "random"}, RecipeError, "draws must be at least 1"),
        ({"epoch": 9}, RunError, "no snapshot of epoch 9"),
        ({"examples": 0}, RecipeError, "examples must be at least 1, got 0"),
        ({"recalibration_examples": 1}, RecipeError, "recalibration_examples must be at least 2, got 1"),
        ({"finetune_epochs": 0}, RecipeError, "finetune_epochs must be at least 1, got 0"),
        ({"finetune_lr": 0.1}, RecipeError, "finetune_lr 0.1 goes with finetune_epochs, which is not given"),
        ({"finetune_lr": 0.0, "finetune_epochs": 1}, RecipeError, "finetune_lr must be above 0, got 0"),
        ({"finetune_lr": math.inf, "finetune_epochs": 1}, RecipeError, "finetune_lr must be above 0, got inf"),
    ],
)
def test_what_cannot_be_asked(options, error, words, run):
    with pytest.raises(error, match=words):
        prune(run, device="cpu", **options)


def test_a_network_without_a_graph_has_no_effective_density(tmp_path):
    train(recipe("dnw", model__name="small_runs:odd"), tmp_path / "run", device="cpu")
    point = prune(tmp_path / "run", device="cpu", shares=[0.5]).curve[0]
    assert point.effective_densities is None
    assert point.to_dict()["effective_density"] is None


@pytest.mark.parametrize("name", ["dnw", "rigl"])
def test_dense_snapshots_are_evaluated_under_their_mask(name, tmp_path):
    train(recipe(name, snapshot__weights="dense"), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    for epoch in (0, 4):
        point = prune(run, device="cpu", shares=[1], epoch=epoch).curve[0]
        assert point.accuracies == (run.metrics[epoch]["test_accuracy"],)


def test_layers_that_share_a_weight(tmp_path):
    train(recipe("dnw", model__name="small_runs:tied"), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    for epoch in (0, 4):
        point = prune(run, device="cpu", shares=[1], epoch=epoch).curve[0]
        assert point.accuracies == (run.metrics[epoch]["test_accuracy"],)


class Shown(nn.Module):
    """Holds the weight of a linear layer, under another name, before the layer does: as tied embeddings are held."""

    def __init__(self, weight):
        super().__init__()
        self.table = weight


class Borrowing(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        layer = nn.Linear(features, features)
        self.shown, self.layer, self.head = Shown(layer.weight), layer, nn.Linear(features, classes)

    def forward(self, inputs):
        return self.head(torch.relu(self.layer(inputs)) @ self.shown.table)


def borrowing(input_shape, classes):
    return Borrowing(input_shape[0], classes)


def test_a_weight_that_another_module_holds_first(tmp_path):
    train(recipe("dnw", model__name="test_prune:borrowing"), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    assert list(run.final.layers) == ["layer.weight", "head.weight"]
    result = prune(run, device="cpu", shares=[1, 0.5], criterion="saliency", out=tmp_path / "out")
    assert result.curve[0].accuracies == (run.metrics[-1]["test_accuracy"],)
    half = open_run(tmp_path / "out" / "saliency-global-0.5")
    assert prune(half, device="cpu", shares=[1]).curve[0].accuracies == result.curve[1].accuracies
