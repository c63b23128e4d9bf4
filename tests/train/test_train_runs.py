"""What training a recipe writes, and that it is the live model, exactly."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
from same_runs import differences
from small_runs import ALGORITHMS, CLASSES, TEST, TRAIN, recipe

from masktools.errors import RecipeError, RunError, TrainingError
from masktools.runs import STATE, open_run
from masktools_train import train
from masktools_train.evaluation import evaluate
from masktools_train.masked_layers import prunable_weights
from masktools_train.optimizers import build_optimizer
from masktools_train.progress import SilentObserver
from masktools_train.recipe import Recipe
from masktools_train.tracing import trace
from masktools_train.trainer import Trainer, initial_model
from masktools_train.training import plan, run_name

SIZE = 10 * 12 + 12 * 8 + 8 * 3
LEVELS = 4  # 240, 192, 154, 144: 20 % each, the last what is left to 60 %


class Listener(SilentObserver):
    def __init__(self):
        self.warnings, self.steps, self.epochs, self.announced = [], 0, [], None

    def started(self, title, steps, epochs):
        self.announced = (steps, epochs)

    def stepped(self, count):
        self.steps += count

    def epoch_done(self, record):
        self.epochs.append(record.epoch)

    def warned(self, message):
        self.warnings.append(message)


def expected_active(name):
    """The counts of the recipe at 20 % by hand."""
    return {
        # ERK: eps = (24 + 20 + 5) / (22 + 20 + 11); 22 eps = 20.3, 20 eps = 18.5, 11 eps = 10.2, rounded up.
        "static": 51, "rigl": 51, "rigl-frozen": 51,
        # Uniform: a fifth of 120, 96 and 24 weights, rounded up; global: of all 240.
        "dnw": 24 + 20 + 5, "dnw-frozen": 24 + 20 + 5, "dnw-global": 48,
        "dense": SIZE,
    }[name]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Train every algorithm once."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: (train(recipe(name), folder / name, device="cpu"), open_run(folder / name)) for name in ALGORITHMS}


EACH = pytest.mark.parametrize("name", ALGORITHMS)
NO_LTR = pytest.mark.parametrize("name", [name for name in ALGORITHMS if not name.startswith("ltr")])


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


@NO_LTR
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

    assert changes("static") == changes("dense") == [False] * 4
    # Updates at steps 3, 6, 9, 12 and 15 of 24; at the last int(21 * .15 * (1 + cos(pi 15 / 18))) = 0 are exchanged.
    assert changes("rigl") == [True, True, False, False]
    assert changes("rigl-frozen") == [True, True, False, False]
    assert changes("dnw-frozen")[2:] == [False, False]
    assert changes("dnw")[:2] == changes("dnw-global")[:2] == changes("dnw-frozen")[:2] == [True] * 2


@pytest.mark.parametrize(
    ("name", "cost"), [("dense", 24), ("static", 0), ("rigl", 5), ("rigl-frozen", 4), ("dnw", 24), ("dnw-frozen", 12)]
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


# -- refusals -------------------------------------------------------------------------------------------------


def test_a_directory_that_holds_a_run_is_not_overwritten(tmp_path):
    train(recipe("static", epochs=1), tmp_path / "run", device="cpu")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(RunError, match="run: holds a run already"):
        train(recipe("static", epochs=1), tmp_path / "run", device="cpu")
    with pytest.raises(RunError, match=r"another recipe: optimizer.lr was 0.1, is 0.2"):
        train(recipe("static", epochs=1, optimizer__lr=0.2), tmp_path / "run", device="cpu", resume=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_finished_run_is_returned_as_it_is(tmp_path):
    first = train(recipe("dnw"), tmp_path / "run", device="cpu")
    stamps = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    again = train(recipe("dnw"), tmp_path / "run", device="cpu", resume=True)
    assert again.records == first.records
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()} == stamps


@pytest.mark.parametrize("name", ["dense", "static", "rigl", "dnw", "ltr"])
def test_training_that_diverges_says_so(name, tmp_path):
    with pytest.raises(TrainingError, match=r"not finite in epoch \d: training diverged"):
        train(recipe(name, optimizer__lr=1e30), tmp_path / "run", device="cpu")
    for snapshot in open_run(tmp_path / "run"):
        assert all(np.isfinite(weight).all() for weight in snapshot.weights().values())


@pytest.mark.parametrize("name", ["static", "dnw"])
def test_training_that_diverges_in_its_very_last_step_says_so_too(name, tmp_path):
    """The only step starts from finite weights and leaves infinite ones: the training loss alone cannot tell."""
    last = recipe(name, epochs=1, batch_size=TRAIN, optimizer__lr=1e38, schedule__name="constant")
    with pytest.raises(TrainingError, match="diverged"):
        train(last, tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model__name": "vgg"}, "model 'vgg' is unknown"),
        ({"data__name": "cifar"}, "data 'cifar' is unknown"),
        ({"model__options": {"depth": 3}}, "does not take these options"),
        ({"data__options": {"rows": 3}}, "does not take these options"),
        ({"algorithm__dense_layers": ["fc9.weight"]}, "dense layer 'fc9.weight' is no layer"),
        ({"data__augment": ["flip"]}, "cannot be augmented"),
    ],
)
def test_recipes_that_do_not_fit_write_nothing(changes, words, tmp_path):
    with pytest.raises(RecipeError, match=words):
        train(recipe("static", **changes), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "run.json").exists()
    with pytest.raises(RecipeError, match=words):
        plan(recipe("static", **changes), "cpu")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", "device 'gpu' is unknown"),
        ("mps", "'mps' is not supported"),
        ("cuda:99", "'cuda:99' is not there"),
        ("", "device '' is unknown"),
    ],
)
def test_devices_that_are_not_there(device, words):
    with pytest.raises(RecipeError, match=words):
        train(recipe("static"), None, device=device)


def test_a_model_that_cannot_be_traced_is_trained_with_a_warning(tmp_path):
    listener = Listener()
    train(recipe("dnw", model__name="small_runs:odd"), tmp_path / "run", device="cpu", observer=listener)
    assert open_run(tmp_path / "run").final.topology is None
    (message,) = listener.warnings
    assert "log_softmax" in message


# -- options of the recipe ------------------------------------------------------------------------------------


def test_dense_layers_by_their_place(tmp_path):
    train(recipe("rigl", algorithm__dense_layers=["first", "last"]), tmp_path / "run", device="cpu")
    final = open_run(tmp_path / "run").final
    assert {name: (layer.active, layer.prunable) for name, layer in final.layers.items()} == {
        "fc1.weight": (120, False),
        "fc2.weight": (20, True),
        "fc3.weight": (24, False),
    }


@pytest.mark.parametrize("weights", ["active", "dense", "none"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_snapshots_store(weights, dtype, tmp_path):
    train(recipe("dnw", snapshot__weights=weights, snapshot__dtype=dtype), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    assert {layer.weights for layer in run.final.layers.values()} == {weights}
    if weights != "none":
        assert {array.dtype for snapshot in run for array in snapshot.weights().values()} == {np.dtype(dtype)}
        initial = initial_model(recipe("dnw"), (10,), CLASSES)
        for name, weight in prunable_weights(initial).items():
            np.testing.assert_array_equal(run.at(0).weight(name), weight.detach().numpy().astype(dtype))


def test_augmentation_and_other_optimizers_train(tmp_path):
    pictures = {"data__name": "small_runs:pictures", "model__options": {"widths": [20]}, "epochs": 8}
    plain = train(recipe("dnw", **pictures), None, device="cpu")
    shifted = train(recipe("dnw", data__augment=["flip", "shift"], data__shift=1, **pictures), None, device="cpu")
    assert plain.final.train_loss != shifted.final.train_loss
    for optimizer in ({"optimizer__name": "adamw", "optimizer__lr": 0.01}, {"optimizer__nesterov": True}):
        better = train(recipe("dnw", epochs=10, **optimizer), None, device="cpu")
        assert better.final.test_accuracy > 0.5
        assert better.final.train_loss < better.records[1].train_loss


@pytest.mark.parametrize(
    ("changes", "kind", "settings"),
    [
        (
            {"nesterov": True, "momentum": 0.7, "weight_decay": 0.01},
            torch.optim.SGD,
            {"nesterov": True, "momentum": 0.7, "weight_decay": 0.01, "dampening": 0},
        ),
        ({"momentum": 0.0}, torch.optim.SGD, {"momentum": 0, "weight_decay": 1e-3, "nesterov": False}),
        (
            {"name": "adamw", "betas": [0.8, 0.9], "eps": 1e-5, "weight_decay": 0.2},
            torch.optim.AdamW,
            {"betas": (0.8, 0.9), "eps": 1e-5, "weight_decay": 0.2, "amsgrad": False},
        ),
    ],
)
def test_optimizers_have_the_settings_of_the_recipe(changes, kind, settings):
    made = recipe("dnw", **{f"optimizer__{key}": value for key, value in changes.items()})
    model = initial_model(made, (10,), CLASSES)
    optimizer = build_optimizer(made.optimizer, model)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert {key: group[key] for key in settings} == settings
    assert group["lr"] == 0.1
    assert list(map(id, group["params"])) == list(map(id, model.parameters()))


def test_what_a_model_draws_itself_differs_from_epoch_to_epoch_and_level_to_level():
    trainer = Trainer(recipe("ltr-it", model__name="small_runs:noisy"), torch.device("cpu"), SilentObserver())
    epoch, seeds = trainer._batches.epoch, []

    def noted(number, start=0):
        seeds.append(torch.initial_seed())
        return epoch(number, start)

    trainer._batches.epoch = noted
    trainer.run(lambda now: None)
    assert len(set(seeds)) == len(seeds) == 16


def test_label_smoothing_and_the_schedule_reach_the_steps():
    records = train(
        recipe("static", schedule__name="step", schedule__milestones=[2, 3], schedule__warmup_epochs=1),
        None,
        device="cpu",
    ).records
    assert [record.lr for record in records[1:]] == pytest.approx([0.1, 0.1, 0.01, 0.001])
    smooth = train(recipe("dense", label_smoothing=0.5), None, device="cpu")
    sharp = train(recipe("dense"), None, device="cpu")
    assert smooth.final.train_loss > sharp.final.train_loss + 0.2
    cosine = train(recipe("static"), None, device="cpu").records
    assert cosine[4].lr == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi * 23 / 24)))


def test_test_metrics_do_not_depend_on_batches_and_leave_the_mode(tmp_path):
    trainer = Trainer(recipe("dense", model__name="small_runs:noisy"), torch.device("cpu"), SilentObserver())
    model, data = trainer.model, trainer.data
    model[1].eval()
    scores = [evaluate(model, data, size) for size in (1, 7, TEST, 1000)]
    assert all(score.accuracy == scores[0].accuracy for score in scores)
    assert all(score.loss == pytest.approx(scores[0].loss, rel=1e-5) for score in scores)
    assert model.training
    assert not model[1].training
    model.eval()
    logits = model(data.normalized(data.test_inputs)).double()
    assert scores[0].accuracy == (logits.argmax(1) == data.test_targets).double().mean()
    assert scores[0].loss == pytest.approx(
        torch.nn.functional.cross_entropy(logits, data.test_targets).item(), rel=1e-5
    )


def test_results_are_frozen(runs):
    result, _ = runs["static"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.device = "other"
