"""The parts of training a mask again: what may be changed, what is refused at once, stopping, processes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from same_runs import differences
from small_runs import Listener, blobs, recipe

from masktools.errors import MasktoolsError, RecipeError, RunError, TaskError
from masktools.run_lock import locked
from masktools.runs import open_run
from masktools_train import reinit, retrain, retrainings, train
from masktools_train.progress import SilentObserver
from masktools_train.reevaluate.fixed import OVERRIDABLE
from masktools_train.reevaluate.retraining import restored


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return train(recipe("dnw", optimizer__lr=0.5, epochs=3), tmp_path_factory.mktemp("source") / "dnw-s0").run


class Unexpected(SilentObserver):
    def started(self, title, steps, epochs):
        raise AssertionError(f"{title} was begun")


CHANGES = {
    "epochs": 2,
    "batch_size": 32,
    "label_smoothing": 0.1,
    "optimizer.lr": 0.05,
    "optimizer": {"name": "adamw", "lr": 0.01},
    "schedule.name": "constant",
    "snapshot.weights": "dense",
    "execution": "sparse",
    "computation.deterministic": True,
    "data.augment": [],
    "data.shift": 2,
}


@pytest.mark.parametrize("key", CHANGES)
def test_how_to_train_may_be_changed(key, path, tmp_path):
    """The key alone changes, beside what a fixed mask is."""
    options = {"variants": ["new"], "seeds": 1, "device": "cpu"}
    reinit(path, out=tmp_path, overrides={"epochs": 1, key: CHANGES[key]}, **options)
    (folder,) = tmp_path.iterdir()
    found, own = open_run(folder).config, open_run(path).config
    expected = {**own, "epochs": 1, "seed": 1}
    table, _, inner = key.partition(".")
    if inner:
        expected[table] = {**own[table], inner: CHANGES[key]}
    elif key == "optimizer":
        expected[key] = recipe(optimizer=CHANGES[key]).to_dict()[key]
    else:
        expected[key] = CHANGES[key]
    for changed in ("name", "algorithm", "origin"):
        found.pop(changed), expected.pop(changed)
    assert found == expected


def test_every_key_that_may_be_changed_was():
    assert {key for allowed in OVERRIDABLE for key in CHANGES if f"{key}.".startswith(f"{allowed}.")} == set(CHANGES)
    assert all(any(f"{key}.".startswith(f"{allowed}.") for key in CHANGES) for allowed in OVERRIDABLE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"overrides": {"algorithm.density": 0.5}}, "algorithm.density: cannot be set for a re-evaluation"),
        ({"overrides": {"algorithm.name": "dnw"}}, "algorithm.name: cannot be set"),
        ({"overrides": {"algorithm.freeze_epoch": 1}}, "algorithm.freeze_epoch: cannot be set"),
        ({"overrides": {"model.name": "lenet-5"}}, "model.name: cannot be set"),
        ({"overrides": {"data": {"name": "digits"}}}, "data: cannot be set"),
        ({"overrides": {"data.options.x": 1}}, "data.options.x: cannot be set"),
        ({"overrides": {"seed": 3}}, "seed: cannot be set"),
        ({"overrides": {"epochss": 3}}, "epochss: cannot be set"),
        ({"overrides": {"optimizers.lr": 3}}, "optimizers.lr: cannot be set"),
        ({"overrides": {"epochs": 0}}, "epochs: Input should be greater"),
        ({"overrides": {"optimizer.lrr": 1}}, "optimizer.lrr: unknown key"),
        ({"overrides": {"optimizer": 3}}, "optimizer: "),
        ({"variants": ["new", "new"]}, "none twice"),
        ({"variants": ["new", "shuffled"]}, "variant 'shuffled' is unknown"),
        ({"variants": ["original", "new"], "seeds": [4, 0]}, "seeds: 0 is the run's own, new weights of variant 'new'"),
        ({"variants": ["sign-constant"], "seeds": [0]}, "new weights of variant 'sign-constant' would be the old ones"),
        ({"variants": ["layer-shuffled"], "seeds": [0]}, "new weights of variant 'layer-shuffled'"),
        ({"variants": ["new", "other"]}, "take the mask of another run: name it"),
        ({"variants": ["new", "other-aligned"]}, "take the mask of another run: name it"),
        ({"variants": ["new", "rewound"]}, "a run of dnw rewinds to no epoch"),
        ({"variants": ["new", "rewound"], "rewind_epoch": 1}, "weights of the mask were not active in epoch 1"),
        ({"variants": ["new", "rewound"], "rewind_epoch": 0, "overrides": {"epochs": 0}}, "epochs: "),
        ({"variants": ["new", "rewound"], "rewind_epoch": 3}, "epoch 3 is not before the end of training, epoch 3"),
        ({"variants": ["new", "tap-shuffled"]}, "nothing can be shuffled"),
        ({"variants": ["original"], "baseline": "new"}, "baseline 'new' is none of the variants original"),
        ({"variants": ["new", "original"], "baseline": ""}, "baseline '' is none"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_begun(options, words, path, tmp_path):
    out = tmp_path / "again"
    with pytest.raises(MasktoolsError, match=words) as caught:
        reinit(path, **{"variants": ["new"], "seeds": 1, **options}, device="cpu", out=out, observer=Unexpected())
    assert not isinstance(caught.value, TaskError)
    assert not out.exists()


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        (("original", "new", "layer-shuffled"), "; leave out variant original: --variants new,layer-shuffled"),
        (("new", "original", "other"), "; leave out variants original, other: --variants new"),
        (("original",), "; new weights need none of the run's: --variants new,layer-shuffled"),
    ],
)
def test_without_initial_weights_it_says_which_variants_there_are(variants, words, path, tmp_path):
    made = shutil.copytree(path, tmp_path / "run")
    (made / "epoch-0000.h5").unlink()
    with pytest.raises(RunError) as caught:
        reinit(made, variants=variants, other=path, seeds=1, device="cpu")
    assert str(caught.value) == f"{made}: no snapshot of epoch 0; there are 1-3{words}"


def test_where_nothing_else_can_be_done_nothing_is_proposed(path):
    with pytest.raises(RecipeError, match=r"so nothing can be shuffled$"):
        reinit(path, variants=["tap-shuffled"], seeds=1, device="cpu")


def test_messages_name_paths_as_they_were_given_and_parts_mean_the_same_everywhere(path, tmp_path, monkeypatch):
    shutil.copytree(path, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    (part,) = retrainings("run", variants=["other"], other="run", seeds=1, device="cpu", out="again")
    assert (part.run, part.other, part.out.parent) == (tmp_path / "run", tmp_path / "run", tmp_path / "again")
    Path("again/new-s1").mkdir(parents=True)
    with (
        locked(Path("again/new-s1")),
        pytest.raises(TaskError, match="parts failed, run: new, seed 1: again/new-s1: an"),
    ):
        reinit("run", variants=["new"], seeds=1, device="cpu", out="again")
    Path("run/epoch-0000.h5").unlink()
    with pytest.raises(RunError, match=r"^run: no snapshot of epoch 0"):
        reinit("run", seeds=1, device="cpu")
    monkeypatch.chdir("run")
    assert [part.key for part in retrainings(".", variants=["new"], seeds=1, device="cpu")] == ["run: new, seed 1"]


def test_the_run_s_own_seed_is_for_those_that_draw_no_weights(path):
    result = reinit(path, variants=["original", "rewound"], rewind_epoch=0, seeds=[0], device="cpu")
    first, second = result.variants
    assert first.seeds == second.seeds == (0,)
    # Going back to the very beginning is to begin with the original weights.
    assert (first.accuracies, first.untrained) == (second.accuracies, second.untrained)


def test_what_is_not_as_usual_is_in_the_name_of_the_folder(path, tmp_path):
    def names(variants, **options):
        return [part.out.name for part in retrainings(path, variants=variants, device="cpu", out=tmp_path, **options)]

    assert names(["new", "layer-shuffled"], seeds=2) == ["new-s1", "new-s2", "layer-shuffled-s1", "layer-shuffled-s2"]
    assert names(["new"], seeds=[7], epoch=1) == ["new-e1-s7"]
    assert names(["new"], seeds=[7], epoch=3) == ["new-s7"]  # the last one, by its number
    assert names(["new"], seeds=1, epoch=-2, overrides={"epochs": 2, "optimizer.lr": 0.1}) == [
        "new-e2-epochs=2-lr=0.1-s1"
    ]
    assert names(["rewound"], seeds=1, rewind_epoch=0) == ["rewound-rewind_epoch=0-s1"]
    assert names(["other"], seeds=[0], other=path) == ["other-other=dnw-s0-s0"]
    assert all(part.out is None for part in retrainings(path, seeds=1, device="cpu"))
    assert not list(tmp_path.iterdir())


def test_accuracy_before_training_is_that_of_the_masked_weights(path, tmp_path):
    result = reinit(path, seeds=2, device="cpu", out=tmp_path, overrides={"epochs": 1})
    inputs, _, tests, targets = blobs()
    tests = (tests - inputs.mean(dtype=np.float64)) / inputs.std(dtype=np.float64)
    for variant in result.variants:
        for seed, untrained in zip(variant.seeds, variant.untrained, strict=True):
            start = open_run(tmp_path / f"{variant.variant}-epochs=1-s{seed}").at(0)
            hidden = tests
            for number in (1, 2, 3):
                weight = start.weight(f"fc{number}.weight") * start.mask(f"fc{number}.weight")
                hidden = hidden @ weight.T.astype(np.float64) + start.tensors()[f"fc{number}.bias"]
                hidden = hidden if number == 3 else np.maximum(hidden, 0)
            assert untrained == pytest.approx((hidden.argmax(1) == targets).mean())
    assert len({variant.untrained for variant in result.variants}) > 1


def test_going_back_counts_in_epochs_whatever_the_batch(path, tmp_path):
    """Twice as large batches are half as many steps, and epoch 1 is over after those."""
    train(recipe("static", epochs=3), tmp_path / "run", device="cpu")
    listener = Listener()
    options = {"variants": ["rewound"], "seeds": [0], "rewind_epoch": 1, "device": "cpu", "out": tmp_path / "again"}
    for batch, steps in ((16, 6), (32, 3)):
        reinit(tmp_path / "run", overrides={"batch_size": batch}, observer=listener, **options)
        assert listener.announced == (2 * steps, 2)
        run = open_run(tmp_path / "again" / f"rewound-rewind_epoch=1-batch_size={batch}-s0")
        rates = [0.1 * 0.5 * (1 + np.cos(np.pi * (epoch * steps - 1) / (3 * steps))) for epoch in (2, 3)]
        assert [line["lr"] for line in run.metrics[1:]] == pytest.approx(rates)
        assert [line["step"] for line in run.metrics] == [0, steps, 2 * steps]


class Stop(SilentObserver):
    """Ends everything after so many epochs, those before training counted."""

    def __init__(self, epochs):
        self.left = epochs

    def epoch_done(self, record):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def files(folder):
    """When everything in finished runs was written."""
    finished = [each.parent for each in folder.glob("*/metrics.jsonl") if not (each.parent / "state.pt").exists()]
    return {each: each.stat().st_mtime_ns for run in finished for each in run.iterdir() if each.name != ".lock"}


TWICE = {"variants": ["original", "layer-shuffled"], "seeds": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def undisturbed(path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return reinit(path, out=folder, **TWICE), folder


@pytest.mark.parametrize("epochs", [1, 6, 12])
def test_stopped_and_begun_again_it_ends_the_same_and_repeats_nothing(epochs, path, undisturbed, tmp_path):
    whole, folder = undisturbed
    with pytest.raises(KeyboardInterrupt):
        reinit(path, out=tmp_path / "stopped", observer=Stop(epochs), **TWICE)
    before = files(tmp_path / "stopped")
    assert len({each.parent for each in before}) == (epochs - 1) // 4
    listener = Listener()
    assert reinit(path, out=tmp_path / "stopped", observer=listener, **TWICE) == whole
    assert {each: when for each, when in files(tmp_path / "stopped").items() if each in before} == before
    # What is left of sixteen epochs, four a training, the untrained one included; the last one may have been on disk.
    assert len(listener.epochs) in (16 - epochs, 16 - epochs + 1)
    for run in folder.iterdir():
        assert differences(open_run(run), open_run(tmp_path / "stopped" / run.name)) == []
    still = files(tmp_path / "stopped")
    assert reinit(path, out=tmp_path / "stopped", observer=Unexpected(), **TWICE) == whole
    assert files(tmp_path / "stopped") == still


@pytest.mark.slow
def test_two_processes_do_what_one_does(path, tmp_path):
    options = {"variants": ["new", "degree-shuffled"], "seeds": 2, "overrides": {"epochs": 1}, "device": "cpu"}
    done = []
    one = reinit(path, out=tmp_path / "one", **options)
    two = reinit(path, out=tmp_path / "two", jobs=2, finished=lambda name, found: done.append((name, found)), **options)
    assert two == one
    assert sorted(name for name, _ in done) == sorted(
        f"dnw-s0: {v}, seed {s}" for v in options["variants"] for s in (1, 2)
    )
    for run in (tmp_path / "one").iterdir():
        assert differences(open_run(run), open_run(tmp_path / "two" / run.name)) == []


def test_a_part_that_fails_leaves_the_others_alone(path, tmp_path):
    """A run of another recipe is in the way of one; the other one is trained."""
    first, second = retrainings(path, variants=["new"], seeds=2, device="cpu", out=tmp_path)
    train(recipe("static", epochs=1), first.out, device="cpu")
    with pytest.raises(TaskError, match=r"1 of 2 parts failed, dnw-s0: new, seed 1: .*another recipe") as caught:
        reinit(path, variants=["new"], seeds=2, device="cpu", out=tmp_path)
    assert list(caught.value.reasons) == ["dnw-s0: new, seed 1"]
    assert open_run(second.out).epochs == (0, 1, 2, 3)
    assert retrain(second).trained == open_run(second.out).metrics[-1]["test_accuracy"]


def test_a_run_that_was_trained_anew_is_not_taken_for_the_old_one(tmp_path):
    for density in (0.2, 0.4):
        train(recipe("dnw", algorithm__density=density, epochs=1), tmp_path / "run", device="cpu", overwrite=True)
        (part,) = retrainings(tmp_path / "run", variants=["new"], seeds=1, device="cpu")
        found = restored(part.run, part.epoch, "cpu")
        assert sum(int(mask.sum()) for mask in found.masks().values()) == open_run(tmp_path / "run").final.active


def test_the_record_says_where_a_mask_is_from(path, tmp_path):
    options = {"seeds": [3], "device": "cpu", "out": tmp_path, "overrides": {"epochs": 1}}
    reinit(path, variants=["other"], other=path, epoch=1, **options)
    (folder,) = tmp_path.iterdir()
    origin = open_run(folder).config["origin"]
    assert (origin["variant"], origin["run"], origin["epoch"]) == ("other", "dnw-s0", 1)
    assert origin["options"]["other"] == "dnw-s0"
