"""Pruned networks that are trained on, and written as runs that everything else can open."""

import shutil

import numpy as np
import pytest
import torch
from pruned import brute_force
from small_runs import Listener, recipe
from torch import nn

from masktools.errors import TaskError
from masktools.runs import open_run
from masktools.structure.connectivity import connectivity
from masktools.verification import verify
from masktools_train import prune, train
from masktools_train.evaluation import evaluate
from masktools_train.reevaluate.restored import Restored
from masktools_train.reevaluate.trained_network import TrainedNetwork

NAMES = ("mlp", "small_runs:noisy")


@pytest.fixture(scope="module", params=NAMES)
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "dnw-s3"
    train(recipe("dnw", model__name=request.param, algorithm__density=0.5, seed=3), folder, device="cpu")
    return open_run(folder)


@pytest.fixture(scope="module")
def normed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "noisy"
    train(recipe("dnw", model__name="small_runs:noisy", algorithm__density=0.5), folder, device="cpu")
    return open_run(folder)


def files_of(folder):
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def test_a_pruned_network_is_a_run_of_one_snapshot(run, tmp_path):
    result = prune(run, device="cpu", shares=[1, 0.3, 0], out=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "magnitude-global-0",
        "magnitude-global-0.3",
        "magnitude-global-1",
    ]
    for point in result.curve:
        folder = tmp_path / "out" / f"magnitude-global-{point.share:g}"
        assert not verify(folder).problems
        found = open_run(folder)
        assert found.epochs == (0,)
        assert found.final.active == point.active
        assert [record["test_accuracy"] for record in found.metrics] == list(point.accuracies)
        assert (found.metrics[0]["active"], found.metrics[0]["density"]) == (point.active, point.density)
        for name, mask in brute_force(run, point.share, "global").items():
            np.testing.assert_array_equal(found.final.mask(name), mask)
            np.testing.assert_array_equal(found.final.weight(name), np.where(mask, run.final.weight(name), 0))
            assert found.final.layers[name].weights == "active"
        for name, tensor in run.final.tensors().items():
            np.testing.assert_array_equal(found.final.tensors()[name], tensor)
        assert found.final.topology == run.final.topology
        origin = found.config["origin"]
        assert (origin["variant"], origin["run"], origin["epoch"]) == ("prune-magnitude-global", "dnw-s3", 4)
        assert origin["options"] == {"share": point.share, "recalibration_examples": 0, "finetune_epochs": 0}
        assert found.config["seed"] == 3
        assert found.config["epochs"] == run.config["epochs"]
        effective = connectivity(found, draws=0).total.effective_density
        assert point.effective_densities == (effective,)
        again = prune(found, device="cpu", shares=[1])
        assert again.curve[0].accuracies == point.accuracies
        assert (again.algorithm, again.variant, again.active) == ("static", "prune-magnitude-global", point.active)


def test_what_is_there_is_not_written_again_and_another_run_is_not_overwritten(run, tmp_path):
    out = tmp_path / "out"
    first = prune(run, device="cpu", shares=[0.5], out=out)
    before = files_of(out)
    assert prune(run, device="cpu", shares=[0.5], out=out) == first
    assert files_of(out) == before
    words = (
        r"^1 of 1 parts failed, dnw-s3: share 0.5: .*0.5: holds another run already: origin.epoch was 4, is 3; choose"
    )
    with pytest.raises(TaskError, match=words):
        prune(run, device="cpu", shares=[0.5], out=out, epoch=3)
    with pytest.raises(TaskError, match="cannot be resumed with another recipe"):
        prune(run, device="cpu", shares=[0.5], out=out, finetune_epochs=1)
    # A run that was not finished, for want of its metrics, is written again.
    folder = out / "magnitude-global-0.5"
    (folder / "metrics.jsonl").unlink()
    (folder / "epoch-0000.h5").write_bytes(b"")
    assert prune(run, device="cpu", shares=[0.5], out=out) == first
    assert not verify(folder).problems


def test_every_random_draw_has_a_run(run, tmp_path):
    result = prune(run, device="cpu", shares=[0.5], criterion="random", scope="layer", draws=2, seed=7, out=tmp_path)
    found = [open_run(tmp_path / f"random-layer-draw{draw}-0.5") for draw in range(2)]
    assert [each.metrics[0]["test_accuracy"] for each in found] == list(result.curve[0].accuracies)
    assert [each.config["origin"]["options"]["draw"] for each in found] == [0, 1]
    assert found[0].config["origin"]["options"]["seed"] == 7
    assert any((found[0].final.mask(name) != found[1].final.mask(name)).any() for name in found[0].final.layers)


def test_what_saliency_looked_at_is_recorded(run, tmp_path):
    prune(run, device="cpu", shares=[0.5], criterion="saliency", examples=17, out=tmp_path)
    assert open_run(tmp_path / "saliency-global-0.5").config["origin"]["options"]["examples"] == 17


def test_a_recalibrated_network_is_written_with_its_statistics(normed, tmp_path):
    result = prune(normed, device="cpu", shares=[0.3], recalibrate=True, out=tmp_path)
    found = open_run(tmp_path / "magnitude-global-0.3")
    assert found.config["origin"]["options"]["recalibration_examples"] == 96
    assert [record["test_accuracy"] for record in found.metrics] == list(result.curve[0].recalibrated)
    assert prune(found, device="cpu", shares=[1]).curve[0].accuracies == result.curve[0].recalibrated
    old, new = normed.final.tensors(), found.final.tensors()
    assert (old["1.running_mean"] != new["1.running_mean"]).all()
    assert int(new["1.num_batches_tracked"]) == 6
    np.testing.assert_array_equal(old["1.weight"], new["1.weight"])


def trained_on_by_hand(run, masks, lr, epochs):
    """Train the masked network with SGD in torch, nothing of the package but model, data and masks."""
    network = TrainedNetwork(Restored(run, run.final, torch.device("cpu")))
    network.keep(masks)
    model, data = network.model, network.source.data
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-3)
    model.train()
    for epoch in range(epochs):
        for inputs, targets in data.training(16, run.config["seed"]).epoch(epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            for name, mask in masks.items():
                parameters[name].grad *= mask
            optimizer.step()
            with torch.no_grad():
                for name, mask in masks.items():
                    parameters[name] *= mask
    return model.state_dict(), evaluate(model, data).accuracy


@pytest.mark.parametrize("lr", [None, 0.05])
def test_training_on_by_hand(lr, tmp_path):
    train(recipe("dnw", algorithm__density=0.5, seed=3), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    result = prune(run, device="cpu", shares=[0.3], finetune_epochs=2, finetune_lr=lr, out=tmp_path)
    assert (result.finetune_epochs, result.finetune_lr) == (2, 0.01 if lr is None else lr)
    masks = {name: torch.from_numpy(mask) for name, mask in brute_force(run, 0.3, "global").items()}
    state, accuracy = trained_on_by_hand(run, masks, result.finetune_lr, 2)
    found = open_run(tmp_path / "magnitude-global-0.3")
    for name, value in {**found.final.weights(), **found.final.tensors()}.items():
        np.testing.assert_allclose(value, state[name].numpy(), rtol=1e-4, atol=1e-6)
    assert result.curve[0].finetuned == (accuracy,)
    assert [record["lr"] for record in found.metrics] == [None, result.finetune_lr, result.finetune_lr]
    assert found.config["optimizer"] == {**run.config["optimizer"], "lr": result.finetune_lr}
    assert found.config["schedule"]["name"] == "constant"
    assert found.config["origin"]["options"]["finetune_epochs"] == 2


def test_a_network_that_is_trained_on_is_a_run_with_a_fixed_mask(run, tmp_path):
    options = {"device": "cpu", "shares": [1, 0.3, 0], "finetune_epochs": 2}
    watching = Listener()
    result = prune(run, **options, out=tmp_path, observer=watching)
    assert watching.epochs == [0, 1, 2] * 3
    plain = prune(run, device="cpu", shares=[1, 0.3, 0])
    for point, without in zip(result.curve, plain.curve, strict=True):
        assert point.accuracies == without.accuracies
        folder = tmp_path / f"magnitude-global-{point.share:g}"
        assert not verify(folder).problems
        found = open_run(folder)
        assert found.epochs == (0, 1, 2)
        assert found.metrics[0]["test_accuracy"] == point.accuracies[0]
        assert (found.metrics[-1]["test_accuracy"],) == point.finetuned
        for snapshot in found:
            for name, mask in brute_force(run, point.share, "global").items():
                np.testing.assert_array_equal(snapshot.mask(name), mask)
        # As for any run the first snapshot holds all weights that training began with: the trained ones.
        for name in run.final.layers:
            np.testing.assert_array_equal(found[0].weight(name), run.final.weight(name))
    assert prune(run, **options).curve == result.curve
    before = files_of(tmp_path)
    silent = Listener()
    assert prune(run, **options, out=tmp_path, observer=silent) == result
    assert silent.epochs == []
    assert files_of(tmp_path) == before


def test_what_was_stopped_goes_on(run, tmp_path):
    options = {"device": "cpu", "shares": [0.5, 0.3], "finetune_epochs": 2}

    class Stopping(Listener):
        def epoch_done(self, record):
            super().epoch_done(record)
            if len(self.epochs) == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(run, **options, out=tmp_path, observer=Stopping())
    rest = Listener()
    result = prune(run, **options, out=tmp_path, observer=rest)
    assert rest.epochs == [2]
    assert result == prune(run, **options)


def test_training_goes_on_from_new_statistics(normed, tmp_path):
    result = prune(normed, device="cpu", shares=[0.3], recalibrate=True, finetune_epochs=1, out=tmp_path)
    found = open_run(tmp_path / "magnitude-global-0.3")
    assert found.metrics[0]["test_accuracy"] == result.curve[0].recalibrated[0]
    assert int(found[0].tensors()["1.num_batches_tracked"]) == 6
    assert int(found[1].tensors()["1.num_batches_tracked"]) == 12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("execution", ["masked", "sparse"])
def test_a_network_without_weights_learns_its_biases(execution, name, tmp_path):
    train(recipe("static", model__name=name, execution=execution), tmp_path / "run", device="cpu")
    result = prune(tmp_path / "run", device="cpu", shares=[0], finetune_epochs=1, out=tmp_path)
    found = open_run(tmp_path / "magnitude-global-0")
    assert found.final.active == 0
    (last,) = (key for key in found.final.tensors() if key in ("fc3.bias", "4.bias"))
    assert (found[0].tensors()[last] != found[1].tensors()[last]).all()
    assert result.curve[0].finetuned == (found.metrics[-1]["test_accuracy"],)


def test_layers_that_were_dense_by_choice_are_not_any_more(tmp_path):
    train(recipe("static", algorithm__dense_layers=["first", "last"]), tmp_path / "run", device="cpu")
    for options in ({}, {"finetune_epochs": 1}):
        out = tmp_path / f"out{len(options)}"
        prune(tmp_path / "run", device="cpu", shares=[1, 0.5], out=out, **options)
        whole, half = (open_run(out / f"magnitude-global-{share}") for share in ("1", "0.5"))
        assert whole.config["algorithm"]["dense_layers"] == ["fc1.weight", "fc3.weight"]
        assert half.config["algorithm"]["dense_layers"] == []
        assert [layer.prunable for layer in whole.final.layers.values()] == [False, True, False]
        assert [layer.prunable for layer in half.final.layers.values()] == [True, True, True]


def test_half_precision_stays_so(tmp_path):
    train(recipe("dnw", snapshot__dtype="float16"), tmp_path / "run", device="cpu")
    point = prune(tmp_path / "run", device="cpu", shares=[0.5], out=tmp_path).curve[0]
    found = open_run(tmp_path / "magnitude-global-0.5")
    assert found.final.weight("fc1.weight").dtype == np.float16
    assert prune(found, device="cpu", shares=[1]).curve[0].accuracies == point.accuracies


def test_a_run_without_a_graph(tmp_path):
    train(recipe("dnw", model__name="small_runs:odd"), tmp_path / "run", device="cpu")
    prune(tmp_path / "run", device="cpu", shares=[0.5], out=tmp_path)
    assert open_run(tmp_path / "magnitude-global-0.5").final.topology is None
    shutil.rmtree(tmp_path / "run")
    assert prune(tmp_path / "magnitude-global-0.5", device="cpu", shares=[1]).effective_area is None
