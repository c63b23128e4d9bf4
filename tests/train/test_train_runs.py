"""What training a recipe writes, and that it is the live model, exactly."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from same_runs import differences
from small_runs import ALGORITHMS, CLASSES, Listener, recipe

from masktools.runs import STATE, open_run
from masktools_train import train
from masktools_train.evaluation import evaluate
from masktools_train.initialization import initial_model
from masktools_train.progress import SilentObserver
from masktools_train.recipe import Recipe
from masktools_train.sparse_layer import prunable_weights
from masktools_train.tracing import trace
from masktools_train.trainer import Trainer
from masktools_train.training import plan, run_name

SIZE = 10 * 12 + 12 * 8 + 8 * 3


def expected_active(name):
    """The counts of the recipe at 20 % by hand."""
    return {
        # ERK: eps = (24 + 20 + 5) / (22 + 20 + 11); 22 eps = 20.3, 20 eps = 18.5, 11 eps = 10.2, rounded up.
        "static": 51, "rigl": 51, "rigl-frozen": 51, "set": 51, "snfs": 51,
        # Uniform: a fifth of 120, 96 and 24 weights, rounded up; global: of all 240.
        "dnw": 24 + 20 + 5, "dnw-frozen": 24 + 20 + 5, "dnw-global": 48, "dnw-settled": 49,
        "edge-popup": 49, "snip": 48, "grasp": 48, "synflow": 48,
        "dense": SIZE,
    }[name]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Train every algorithm once."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: (train(recipe(name), folder / name, device="cpu"), open_run(folder / name)) for name in ALGORITHMS}


EACH = pytest.mark.parametrize("name", ALGORITHMS)
FIXED = pytest.mark.parametrize("name", [name for name in ALGORITHMS if not name.startswith(("ltr", "gmp"))])


@EACH
def test_every_epoch_has_a_snapshot_and_a_line(runs, name):
    result, run = runs[name]
    epochs = {"ltr": 4 + 3 * 3, "ltr-it": 4 + 3 * 4, "ltr-start": 4 + 3 * 4}.get(name, 4)
    assert run.epochs == tuple(range(epochs + 1))
    assert [record.epoch for record in result.records] == list(range(epochs + 1))
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record.to_dict() for record in result.records]
    assert not (run.path / STATE).exists()
    assert not list(run.path.glob("*.tmp*"))
    for snapshot, record in zip(run, result.records, strict=True):
        assert snapshot.epoch == record.epoch
        assert snapshot.step == record.step
        assert snapshot.extra["level"] == record.level
        assert snapshot.config == recipe(name).to_dict()


@FIXED
def test_the_density_is_exact_at_every_epoch(runs, name):
    result, run = runs[name]
    for snapshot, record in zip(run, result.records, strict=True):
        masks = snapshot.masks()
        assert sum(int(mask.to_bool().sum()) for mask in masks.values()) == expected_active(name)
        assert snapshot.active == record.active == expected_active(name)
        assert record.density == expected_active(name) / SIZE
        assert record.level == 0
    assert run.final.size == SIZE


@pytest.mark.parametrize(("name", "k"), [("ltr", 6), ("ltr-it", 5), ("ltr-start", 0)])
def test_the_levels_of_lottery_tickets_are_exact(runs, name, k):
    result, run = runs[name]
    by_level = {}
    for snapshot, record in zip(run, result.records, strict=True):
        by_level.setdefault(record.level, set()).add(snapshot.active)
        assert snapshot.active == record.active
    assert by_level == {0: {240}, 1: {192}, 2: {154}, 3: {144}}
    assert result.final.step == 24 + 3 * (24 - k)
    assert result.final.dense_gradient_steps == 24
    assert run.final.extra["level_step"] == 24


def test_gradual_pruning_reaches_its_density_exactly(runs):
    # Pruned after steps 4, 8, 12, 16 and 18 (three quarters of 24): 240 - floor(192 (1 - (1 - p)^3)) stay.
    result, _ = runs["gmp"]
    assert [record.active for record in result.records] == [240, 139, 56, 48, 48]
    assert result.final.dense_gradient_steps == 4


@EACH
def test_epoch_0_holds_the_dense_initial_weights(runs, name):
    _, run = runs[name]
    model = initial_model(recipe(name), (10,), CLASSES)
    first = run.at(0)
    for layer, weight in prunable_weights(model).items():
        np.testing.assert_array_equal(first.weight(layer), weight.detach().numpy())
    for other, value in first.tensors().items():
        np.testing.assert_array_equal(value, model.state_dict()[other].numpy())
    assert first.step == 0
    record = run.metrics[0]
    assert (record["train_loss"], record["train_accuracy"], record["lr"]) == (None, None, None)


@EACH
def test_snapshots_are_the_live_model(runs, name):
    """Train once more, with an eye on the model itself."""
    live = []
    result, run = runs[name]
    trainer = Trainer(recipe(name), torch.device("cpu"), SilentObserver())
    trainer.run(
        lambda now: live.append(
            (
                {key: value.detach().clone() for key, value in now.model.state_dict().items()},
                now.sparsifier.masks(),
                evaluate(now.model, now.data),
            )
        )
    )
    topology = trace(trainer.model, torch.zeros(2, 10))
    for snapshot, record, (state, masks, score) in zip(run, result.records, live, strict=True):
        assert snapshot.topology == topology
        for layer in snapshot.layers:
            mask = masks[layer].numpy()
            np.testing.assert_array_equal(snapshot.mask(layer), mask)
            stored = snapshot.weight(layer)
            np.testing.assert_array_equal(stored * mask, state[layer].numpy())
            assert not stored[~mask].any() or snapshot.epoch == 0
        assert set(snapshot.layers) | set(snapshot.tensor_names) == set(state)
        for other, value in snapshot.tensors().items():
            np.testing.assert_array_equal(value, state[other].numpy())
        assert (record.test_loss, record.test_accuracy) == (score.loss, score.accuracy)


def test_the_masks_of_epochs_move_or_stay_as_the_algorithm_says(runs):
    def changes(name):
        _, run = runs[name]
        masks = [{layer: s.mask(layer) for layer in s.layers} for s in run]
        return [any((a[layer] != b[layer]).any() for layer in a) for a, b in itertools.pairwise(masks)]

    assert changes("static") == changes("dense") == changes("snip") == [False] * 4
    assert changes("grasp") == changes("synflow") == [False] * 4
    # Exchanged at the end of every epoch but the last.
    assert changes("set") == changes("snfs") == [True, True, True, False]
    # Updates at steps 3, 6, 9, 12 and 15 of 24; at the last int(21 * .15 * (1 + cos(pi 15 / 18))) = 0 are exchanged.
    assert changes("rigl") == [True, True, False, False]
    assert changes("rigl-frozen") == [True, True, False, False]
    assert changes("dnw-frozen")[2:] == [False, False]
    assert changes("dnw")[:2] == changes("dnw-global")[:2] == changes("dnw-frozen")[:2] == [True] * 2


@pytest.mark.parametrize(
    ("name", "cost"),
    [
        ("dense", 24),
        ("static", 0),
        ("rigl", 5),
        ("rigl-frozen", 4),
        ("dnw", 24),
        ("dnw-frozen", 12),
        ("set", 0),
        ("snfs", 24),
        ("snip", 0),
        ("grasp", 0),
        ("synflow", 0),
        ("edge-popup", 24),
    ],
)
def test_the_cost_in_dense_gradients_is_recorded(runs, name, cost):
    # RigL: steps 3, 6, .. before 18 (three quarters of 24); frozen after step 12.
    result, _ = runs[name]
    assert result.final.dense_gradient_steps == cost


def test_run_json_says_what_the_run_was(runs):
    _, run = runs["rigl"]
    info = run.info
    assert {"name", "seed", "config", "device", "created", "versions", "git", "format", "version"} <= set(info)
    assert info["config"] == recipe("rigl").to_dict()
    assert Recipe.model_validate(info["config"]) == recipe("rigl")
    assert info["versions"]["torch"] == torch.__version__
    assert {"python", "masktools", "numpy", "h5py"} <= set(info["versions"])
    assert info["device"].startswith("cpu")
    assert info["seed"] == 0
    json.dumps(info, allow_nan=False)


def test_the_result_adds_up(runs):
    result, run = runs["dnw"]
    plain = result.to_dict()
    assert plain["run"] == str(run.path)
    assert plain["epochs"] == 4
    assert plain["steps"] == 24
    assert plain["active"] == 49
    assert plain["seconds"] == pytest.approx(sum(record.seconds for record in result.records), abs=1e-3)
    json.dumps(plain, allow_nan=False)
    assert run_name(recipe("dnw", seed=7)) == "small-dnw-s7"


@EACH
def test_the_observer_hears_of_every_step_and_epoch(name):
    listener = Listener()
    result = train(recipe(name), None, device="cpu", observer=listener)
    assert result.run is None
    assert listener.announced == (result.final.step, result.final.epoch)
    assert listener.steps == result.final.step
    assert listener.epochs == list(range(result.final.epoch + 1))
    planned = plan(recipe(name), "cpu")
    assert (planned["steps"], planned["epochs"]) == listener.announced
    assert planned["target"] == result.final.active
    assert planned["size"] == SIZE
    assert sum(layer["size"] for layer in planned["layers"]) == SIZE


@pytest.mark.parametrize(
    ("name", "model"), [("rigl", "mlp"), ("dnw-frozen", "small_runs:noisy"), ("ltr-it", "small_runs:noisy")]
)
def test_a_seed_decides_everything(name, model, tmp_path):
    def run(folder, seed):
        torch.manual_seed(len(folder))  # what the process drew before must not matter
        changes = {"model.name": model, "seed": seed, "epochs": 3}
        train(recipe(name, **changes), tmp_path / folder, device="cpu")
        return open_run(tmp_path / folder)

    first = run("first", 3)
    assert differences(first, run("second one", 3)) == []
    other = differences(first, run("other", 4))
    layer = "fc1.weight" if model == "mlp" else "0.weight"
    assert {f"epoch 0 weight {layer}", f"epoch 3 weight {layer}", "metrics"} <= set(other)


def test_the_random_state_of_the_process_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    train(recipe("rigl", model__name="small_runs:noisy"), None, device="cpu")
    assert torch.equal(torch.rand(4), expected)


def test_results_are_frozen(runs):
    result, _ = runs["static"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.device = "other"
