"""Structure alone: what each variant really starts from, and what it trains."""

import numpy as np
import pytest
import torch
from small_runs import CLASSES, recipe

from masktools.errors import RecipeError, RunError, SnapshotError, TaskError
from masktools.runs import open_run
from masktools_train import reinit, train
from masktools_train.initialization import initial_model
from masktools_train.progress import SilentObserver
from masktools_train.sparse_layer import prunable_weights
from masktools_train.trainer import Trainer

VARIANTS = ("original", "new", "layer-shuffled")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A DNW run whose final mask is far from its first."""
    folder = tmp_path_factory.mktemp("source") / "dnw"
    train(recipe("dnw", model__name="small_runs:noisy", optimizer__lr=0.5), folder, device="cpu")
    run = open_run(folder)
    first, final = run.at(0).mask("0.weight"), run.final.mask("0.weight")
    assert (final & ~first).sum() > 5
    return run


@pytest.fixture(scope="module")
def again(source, tmp_path_factory):
    """All variants with two seeds, and their runs."""
    folder = tmp_path_factory.mktemp("again")
    result = reinit(source, seeds=2, device="cpu", out=folder, overrides={"epochs": 2})
    return result, {name: [open_run(folder / f"{name}-epochs=2-s{seed}") for seed in (1, 2)] for name in VARIANTS}


def masks(snapshot):
    return {name: snapshot.mask(name) for name in snapshot.layers}


def first_step_weights(monkeypatch, source, variant, seed=1, **options):
    """Return the effective weights that a variant's training really starts from."""
    seen = {}
    run = Trainer.run

    def watched(self, each_epoch):
        seen.update({name: value.detach().clone().numpy() for name, value in self.model.state_dict().items()})
        return run(self, each_epoch)

    monkeypatch.setattr(Trainer, "run", watched)
    reinit(source, variants=[variant], seeds=[seed], device="cpu", overrides={"epochs": 1}, **options)
    return seen


def test_the_original_starts_at_the_initial_weights_under_the_final_mask(source, monkeypatch):
    found = first_step_weights(monkeypatch, source, "original")
    final, first = masks(source.final), source.at(0)
    for name, mask in final.items():
        np.testing.assert_array_equal(found[name], first.weight(name) * mask)
        # Every active weight has its initial value, those included that the first mask left out.
        outside = mask & ~first.mask(name)
        assert (found[name][outside] != 0).all()
    for name, value in first.tensors().items():
        np.testing.assert_array_equal(found[name], value)


def test_new_and_shuffled_start_elsewhere(source, monkeypatch):
    new = first_step_weights(monkeypatch, source, "new")
    fresh = initial_model(recipe("dnw", model__name="small_runs:noisy", seed=1), (10,), CLASSES)
    for name, weight in prunable_weights(fresh).items():
        mask = source.final.mask(name)
        np.testing.assert_array_equal(new[name], weight.detach().numpy() * mask)
        assert (new[name] != source.at(0).weight(name) * mask).any()
    shuffled = first_step_weights(monkeypatch, source, "layer-shuffled")
    for name, weight in prunable_weights(fresh).items():
        active = shuffled[name] != 0
        np.testing.assert_array_equal(shuffled[name][active], weight.detach().numpy()[active])
        assert active.sum() == source.final.mask(name).sum()


def test_the_mask_is_fixed_from_the_first_step(source, again):
    _, runs = again
    for name in ("original", "new"):
        for run in runs[name]:
            for snapshot in run:
                for layer, mask in masks(source.final).items():
                    np.testing.assert_array_equal(snapshot.mask(layer), mask)
            assert run.metrics[-1]["dense_gradient_steps"] == 0


def test_shuffling_keeps_the_counts_of_layers_and_nothing_else(source, again):
    _, runs = again
    drawn = []
    for run in runs["layer-shuffled"]:
        first = masks(run.at(0))
        for layer, mask in masks(source.final).items():
            assert first[layer].sum() == mask.sum()
            assert (first[layer] != mask).any(), "a shuffle that is a no-op"
            for snapshot in run:
                np.testing.assert_array_equal(snapshot.mask(layer), first[layer])
        drawn.append(first)
    assert any((drawn[0][layer] != drawn[1][layer]).any() for layer in drawn[0])


def test_seeds_and_accuracies_are_reported(source, again):
    result, runs = again
    plain = result.to_dict()
    assert plain["reference_accuracy"] == source.metrics[-1]["test_accuracy"]
    assert plain["density"] == source.final.density
    assert plain["chance_accuracy"] == 20 / 60
    assert [variant["variant"] for variant in plain["variants"]] == list(VARIANTS)
    for variant in plain["variants"]:
        assert variant["seeds"] == [1, 2]
        assert variant["accuracies"] == [run.metrics[-1]["test_accuracy"] for run in runs[variant["variant"]]]
        assert variant["mean"] == pytest.approx(np.mean(variant["accuracies"]))
    # The seed decides the order of the data as well.
    assert [run.info["seed"] for run in runs["original"]] == [1, 2]
    losses = [run.metrics[1]["train_loss"] for run in runs["original"]]
    assert losses[0] != losses[1]


def test_runs_that_are_there_are_not_trained_again(source, tmp_path):
    class Count(SilentObserver):
        started_runs = 0

        def started(self, title, steps, epochs):
            Count.started_runs += 1

    options = {"variants": ["new"], "seeds": [5], "device": "cpu", "overrides": {"epochs": 1}, "out": tmp_path}
    options["observer"] = Count()
    first = reinit(source, **options)
    second = reinit(source, **options)
    assert Count.started_runs == 1
    assert first == second


def test_runs_of_another_mask_are_not_taken_for_these(source, tmp_path):
    options = {"variants": ["new"], "seeds": [5], "device": "cpu", "out": tmp_path}
    reinit(source, overrides={"epochs": 1}, **options)
    reinit(source, overrides={"epochs": 1}, epoch=0, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new-e0-epochs=1-s5", "new-epochs=1-s5"]
    train(recipe("dnw", model__name="small_runs:noisy", seed=9), tmp_path / "other", device="cpu")
    with pytest.raises(TaskError, match="another recipe"):
        reinit(tmp_path / "other", overrides={"epochs": 1}, **options)


def test_the_mask_of_another_epoch(source, monkeypatch):
    found = first_step_weights(monkeypatch, source, "original", epoch=1)
    for name, mask in masks(source.at(1)).items():
        np.testing.assert_array_equal(found[name], source.at(0).weight(name) * mask)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"variants": ["old"]}, RecipeError, "variant 'old' is unknown; choose from original, rewound, new"),
        ({"variants": []}, RecipeError, "variant"),
        ({"seeds": [0, 1]}, RecipeError, "seeds"),
        ({"seeds": 0}, RecipeError, "seeds"),
        ({"seeds": []}, RecipeError, "seeds"),
        ({"epoch": 99}, RunError, "no snapshot of epoch 99"),
        ({"device": "cuda:77"}, RecipeError, "is not there"),
    ],
)
def test_what_cannot_be_asked(options, error, words, source):
    with pytest.raises(error, match=words):
        reinit(source, **{"device": "cpu", "overrides": {"epochs": 1}, **options})


@pytest.mark.parametrize("seeds", [[1, 1], [-1]])
def test_seeds_that_would_mislead_are_refused(seeds, source):
    """The same seed twice is one training counted as two; a negative one is none."""
    with pytest.raises(RecipeError, match="seed"):
        reinit(source, variants=["new"], seeds=seeds, device="cpu", overrides={"epochs": 1})


def test_a_run_without_a_recipe(tmp_path):
    from masktools_train import Recorder

    Recorder(tmp_path, torch.nn.Linear(3, 2), config={"mine": 1}).snapshot(0)
    with pytest.raises(RunError, match="records no training recipe"):
        reinit(tmp_path, device="cpu")


def test_a_run_that_stored_no_weights(tmp_path):
    train(recipe("dnw", snapshot__weights="none", epochs=1), tmp_path / "run", device="cpu")
    for variant in ("original", "new"):  # what they are compared with has no weights either
        with pytest.raises(SnapshotError, match="without weights"):
            reinit(tmp_path / "run", device="cpu", variants=[variant], seeds=1)


@pytest.mark.parametrize("weights", ["active", "dense"])
def test_a_frozen_mask_and_any_way_of_storing_weights(weights, tmp_path, monkeypatch):
    train(recipe("dnw-frozen", snapshot__weights=weights), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    found = first_step_weights(monkeypatch, run, "original")
    start = initial_model(recipe("dnw"), (10,), CLASSES).state_dict()
    for name, mask in masks(run.final).items():
        np.testing.assert_array_equal(found[name], start[name].numpy() * mask)
    assert run.final.density == 49 / 240


@pytest.mark.parametrize("epoch", [0, 4])
def test_the_reference_is_the_recorded_network_whatever_else_the_file_holds(epoch, tmp_path):
    train(recipe("dnw", snapshot__weights="dense"), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    result = reinit(run, variants=["new"], seeds=1, overrides={"epochs": 1}, epoch=epoch, device="cpu")
    assert result.reference_accuracy == run.metrics[epoch]["test_accuracy"]


def test_a_network_whose_layers_share_a_weight(tmp_path, monkeypatch):
    """The weight has two names in the state of the module, and one value."""
    train(recipe("dnw", model__name="small_runs:tied", optimizer__lr=0.5), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    found = first_step_weights(monkeypatch, run, "original")
    start = initial_model(recipe("dnw", model__name="small_runs:tied"), (10,), CLASSES).state_dict()
    for name, mask in masks(run.final).items():
        assert (mask & ~run.at(0).mask(name)).any()
        np.testing.assert_array_equal(found[name], start[name].numpy() * mask)
