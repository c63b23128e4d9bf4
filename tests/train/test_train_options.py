"""What training refuses, and what the options of a recipe do to it."""

import math

import numpy as np
import pytest
import torch
from small_runs import CLASSES, TEST, TRAIN, Listener, recipe

from masktools.errors import RecipeError, RunError, TrainingError
from masktools.runs import open_run
from masktools_train import train
from masktools_train.evaluation import evaluate
from masktools_train.initialization import initial_model
from masktools_train.optimizers import build_optimizer
from masktools_train.progress import SilentObserver
from masktools_train.sparse_layer import prunable_weights
from masktools_train.trainer import Trainer
from masktools_train.training import plan


def test_a_directory_that_holds_a_run_is_not_overwritten(tmp_path):
    train(recipe("static", epochs=1), tmp_path / "run", device="cpu")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(
        RunError, match=r"run: holds a run already; resume it .resume=True., overwrite it .overwrite=True., or"
    ):
        train(recipe("static", epochs=1), tmp_path / "run", device="cpu")
    with pytest.raises(RunError, match=r"another recipe: optimizer.lr was 0.1, is 0.2"):
        train(recipe("static", epochs=1, optimizer__lr=0.2), tmp_path / "run", device="cpu", resume=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_a_finished_run_is_returned_as_it_is(tmp_path):
    def stamps():
        return {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir() if not p.name.startswith(".")}

    first = train(recipe("dnw"), tmp_path / "run", device="cpu")
    before = stamps()
    again = train(recipe("dnw"), tmp_path / "run", device="cpu", resume=True)
    assert again.records == first.records
    assert len(before) == 5 + 2
    assert stamps() == before


@pytest.mark.parametrize("name", ["dense", "static", "set", "snfs", "rigl", "dnw", "ltr", "gmp"])
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
    assert "cumsum" in message


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


def test_large_inputs_are_evaluated_in_smaller_batches():
    """Small ones as ever, a thousand at a time; of large ones, as many as have 64 MiB, and one at least."""

    class Asked(Exception):  # noqa: N818
        pass

    class Pictures:
        def __init__(self, shape):
            self.input_shape, self.test_targets = shape, torch.zeros(5, dtype=torch.int64)

        def testing(self, size, processes=None):
            raise Asked(size)

    sizes = {(3, 32, 32): 1024, (64,): 1024, (1, 128, 128): 1024, (3, 224, 224): 111, (3, 20000, 20000): 1}
    for shape, size in sizes.items():
        with pytest.raises(Asked, match=f"^{size}$"):
            evaluate(torch.nn.Linear(2, 2), Pictures(shape))
        assert size == 1 or size * 4 * math.prod(shape) <= 2**26


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
