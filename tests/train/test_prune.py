"""Structural robustness: what is kept at each share, and what is left of the network."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from small_runs import CLASSES, recipe

from masktools.errors import RecipeError, RunError
from masktools.runs import RunWriter, open_run
from masktools.snapshot.content import SnapshotContent
from masktools.topology.reach import effective_masks
from masktools_train import prune, train
from masktools_train.data import load_data
from masktools_train.initialization import initial_model
from masktools_train.reevaluate import prune as pruning

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


def kept_masks(monkeypatch, run, **options):
    """Return the masks of every point of the curve, draw by draw, beside the result."""
    seen = []
    scope = options.get("scope", "global")
    original = pruning.SCOPES[scope]

    def noted(scores, share, active):
        masks = original(scores, share, active)
        seen.append((share, {name: mask.numpy().copy() for name, mask in masks.items()}))
        return masks

    monkeypatch.setattr(pruning, "SCOPES", {**pruning.SCOPES, scope: noted})
    return prune(run, device="cpu", **options), seen


def accuracy_by_hand(run, masks):
    """Evaluate the network of the last snapshot under other masks."""
    config = run.config
    data = load_data(config["data"]["name"], config["data"]["options"])
    made = recipe("dnw", model__name=config["model"]["name"])
    model = initial_model(made, data.input_shape, CLASSES)
    if config["model"]["name"] == "mlp":
        model = initial_model(recipe("dnw", data__name="small_runs:pictures"), data.input_shape, CLASSES)
    state = {name: torch.from_numpy(np.array(value)) for name, value in run.final.tensors().items()}
    state |= {name: torch.from_numpy(run.final.weight(name) * mask) for name, mask in masks.items()}
    model.load_state_dict(state)
    model.eval()
    with torch.no_grad():
        predicted = model(data.normalized(data.test_inputs)).argmax(1)
    return float((predicted == data.test_targets).double().mean())


def brute_force(run, share, scope):
    """Sort the active weights by falling magnitude, equal ones by their place, and keep the first."""
    rows = []
    for number, name in enumerate(run.final.layers):
        weight, mask = run.final.weight(name).ravel(), run.final.mask(name).ravel()
        rows += [(-abs(weight[i]), number, i) for i in np.flatnonzero(mask)]
    names = list(run.final.layers)
    kept = {name: np.zeros(run.final.layers[name].size, dtype=bool) for name in names}
    groups = [rows] if scope == "global" else [[row for row in rows if row[1] == n] for n in range(len(names))]
    for group in groups:
        for _, number, index in sorted(group)[: round(share * len(group))]:
            kept[names[number]][index] = True
    return {name: mask.reshape(run.final.layers[name].shape) for name, mask in kept.items()}


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


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_share_one_is_the_run_itself(criterion, scope, run):
    result = prune(run, device="cpu", criterion=criterion, scope=scope, shares=[1], draws=3)
    (point,) = result.curve
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
    for criterion in ("magnitude", "random"):
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
        ({"criterion": "size"}, RecipeError, "criterion 'size' is unknown; choose from magnitude, random"),
        ({"scope": "all"}, RecipeError, "scope 'all' is unknown; choose from global, layer"),
        ({"shares": []}, RecipeError, "shares"),
        ({"shares": [1.01]}, RecipeError, "shares must lie between 0 and 1"),
        ({"shares": [-0.1]}, RecipeError, "shares"),
        ({"shares": [math.nan]}, RecipeError, "shares"),
        ({"draws": 0, "criterion": "random"}, RecipeError, "draws must be at least 1"),
        ({"epoch": 9}, RunError, "no snapshot of epoch 9"),
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
