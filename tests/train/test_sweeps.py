"""Sweeps: which trainings they consist of, what is refused at once, and that nothing is done twice."""

import math

import pytest
from same_runs import differences
from small_runs import Listener, recipe

from masktools.errors import MasktoolsError, RecipeError, TaskError
from masktools.runs import open_run
from masktools_train import sweep, train, trainings
from masktools_train.progress import SilentObserver

RAW = {
    "name": "small",
    "epochs": 2,
    "batch_size": 16,
    "model": {"name": "mlp", "options": {"widths": [12, 8]}},
    "data": {"name": "small_runs:blobs"},
    "algorithm": {"density": 0.2},
    "algorithms": {"rigl": {"delta_t": 3}},
}


def planned(grid, **options):
    return trainings(RAW, grid, out="somewhere", **options)


def names(grid, **options):
    return [part.out.name for part in planned(grid, **options)]


def test_every_combination_and_seed_is_trained_once():
    grid = {"algorithm.name": ["dnw", "rigl"], "algorithm.density": [0.1, 0.05]}
    parts = planned(grid, seeds=[0, 4], overrides={"optimizer.lr": 0.2})
    assert [part.key for part in parts] == [
        "dnw-density=0.1-s0", "dnw-density=0.1-s4", "dnw-density=0.05-s0", "dnw-density=0.05-s4",
        "rigl-density=0.1-s0", "rigl-density=0.1-s4", "rigl-density=0.05-s0", "rigl-density=0.05-s4",
    ]  # fmt: skip
    for part in parts:
        spec = part.recipe.algorithm
        assert part.settings == {"algorithm.name": spec.name, "algorithm.density": spec.density}
        assert (part.recipe.optimizer.lr, part.recipe.epochs, part.recipe.name) == (0.2, 2, "small")
        assert part.out.is_absolute()
    assert {part.recipe.algorithm.options.get("delta_t") for part in parts} == {None, 3}


def test_dense_training_is_not_repeated_for_every_density():
    grid = {"algorithm.name": ["dense", "dnw"], "algorithm.density": [0.1, 0.05], "algorithm.freeze_epoch": [None, 1]}
    assert names(grid, seeds=[0, 1])[:2] == ["dense-s0", "dense-s1"]
    parts = planned(grid, seeds=[0, 1])
    assert len(parts) == 2 + 2 * 2 * 2
    assert parts[0].settings == {"algorithm.name": "dense"}
    assert parts[0].recipe.algorithm.density == 1
    assert names({"algorithm.density": [0.1, 0.05]}, overrides={"algorithm.name": "dense"}) == ["dense-s0"]
    assert names({"optimizer.lr": [0.1, 0.05]}, overrides={"algorithm.name": "dense"}) == [
        "dense-lr=0.1-s0",
        "dense-lr=0.05-s0",
    ]
    dense = {**RAW, "algorithm": {"name": "dense"}}
    assert len(trainings(dense, {"algorithm.density": [0.1, 0.05]}, out="x")) == 1


def test_never_is_a_value_of_its_own():
    """Also where the recipe says otherwise."""
    early = {**RAW, "algorithm": {"density": 0.2, "freeze_epoch": 2}}
    parts = trainings(early, {"algorithm.freeze_epoch": [None, 1]}, out="x")
    assert [part.recipe.algorithm.freeze_epoch for part in parts] == [None, 1]
    assert [part.out.name for part in parts] == ["dnw-s0", "dnw-freeze_epoch=1-s0"]


def test_an_empty_grid_is_the_recipe_over_its_seeds():
    assert names({}, seeds=[3, 1]) == ["dnw-s3", "dnw-s1"]


def test_values_of_every_kind_make_a_folder():
    grid = {"model.options.widths": [[12, 8], [4]], "data.augment": [[], ["shift"]]}
    assert names(grid) == [
        "dnw-widths=_12,_8_-augment=__-s0", "dnw-widths=_12,_8_-augment=__shift__-s0",
        "dnw-widths=_4_-augment=__-s0", "dnw-widths=_4_-augment=__shift__-s0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("grid", "options", "words"),
    [
        ({"algorithm.density": [0.1, 0.1]}, {}, "algorithm.density: at least one value is needed, and none twice"),
        ({"algorithm.density": [1, 1.0]}, {}, "none twice"),
        ({"algorithm.density": []}, {}, "at least one value"),
        ({"algorithm.density": [0.1, 2]}, {}, "algorithm.density: Input should be less"),
        ({"algorithm.name": ["dnw", "sgd"]}, {}, "algorithm 'sgd' is unknown"),
        ({"optimizer.lrr": [1]}, {}, "optimizer.lrr: unknown key"),
        ({"optimizer.lr": [None]}, {}, "optimizer.lr: "),
        (
            {"algorithm.name": ["dnw", "static"], "algorithm.freeze_epoch": [1]},
            {},
            "freeze_epoch: the mask of algorithm",
        ),
        ({"algorithm.freeze_epoch": [1, 3]}, {}, "freeze_epoch 3 is after the last epoch, 2"),
        ({"seed": [1, 2]}, {}, "seed: is set by the seeds"),
        ({}, {"overrides": {"seed": 1}}, "seed: is set by the seeds"),
        ({}, {"seeds": []}, "seeds: at least one"),
        ({}, {"seeds": [1, 1]}, "none twice"),
        ({}, {"seeds": [0, -1]}, "seed: Input should be greater"),
        ({"optimizer.lr": [1, 2]}, {"overrides": {"optimizer.lr": 1}}, "optimizer.lr: cannot be set and varied"),
        ({"optimizer": [{"lr": 1}]}, {"overrides": {"optimizer.lr": 1}}, "optimizer.lr: cannot be set and varied"),
        ({"optimizer": [{"lr": 1}], "optimizer.lr": [2]}, {}, "optimizer.lr: cannot be varied within a table"),
        ({"data.options.path": ["a/b", "a_b"]}, {}, "path=a_b-s0: two combinations would be written there"),
    ],
)
def test_what_cannot_be_swept_is_said_before_anything_is_begun(grid, options, words, tmp_path):
    class Unexpected(SilentObserver):
        def started(self, title, steps, epochs):
            raise AssertionError(title)

    with pytest.raises(RecipeError, match=words):
        sweep(RAW, grid, out=tmp_path / "sweep", observer=Unexpected(), device="cpu", **options)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("algorithm", ["dnw", 3, ["dnw"]])
def test_a_recipe_that_is_none(algorithm):
    with pytest.raises(RecipeError, match="algorithm must be a table"):
        trainings({**RAW, "algorithm": algorithm}, {}, out="x")
    with pytest.raises(RecipeError, match="neither a file nor a packaged recipe"):
        trainings("nothing", {}, out="x")


GRID = {"algorithm.name": ["dnw", "dense"], "algorithm.density": [0.3, 0.1]}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder, heard = tmp_path_factory.mktemp("swept"), []
    result = sweep(
        RAW,
        GRID,
        seeds=[0, 1],
        out=folder,
        device="cpu",
        finished=lambda name, found: heard.append((name, found["run"])),
    )
    return result, folder, heard


def test_a_sweep_is_the_trainings_it_consists_of(swept, tmp_path):
    result, folder, heard = swept
    runs = {run.name: open_run(run) for run in folder.iterdir()}
    assert list(runs.keys() ^ {name for name, _ in heard}) == []
    assert [name for name, _ in heard] == [part.key for part in planned(GRID, seeds=[0, 1])]
    alone = train(recipe("dnw", algorithm__density=0.1, epochs=2, seed=1), tmp_path / "alone", device="cpu")
    assert runs["dnw-density=0.1-s1"].config["algorithm"] == dict(alone.config)["algorithm"]
    itself = train(planned(GRID, seeds=[0, 1])[3].recipe, tmp_path / "itself", device="cpu")
    assert differences(open_run(itself.run), runs["dnw-density=0.1-s1"]) == []
    assert [group.settings for group in result.groups] == [
        {"algorithm.name": "dnw", "algorithm.density": 0.3},
        {"algorithm.name": "dnw", "algorithm.density": 0.1},
        {"algorithm.name": "dense"},
    ]
    for group, stem in zip(result.groups, ("dnw-density=0.3", "dnw-density=0.1", "dense"), strict=True):
        accuracies = [runs[f"{stem}-s{seed}"].metrics[-1]["test_accuracy"] for seed in (0, 1)]
        assert group.accuracy.mean == pytest.approx(sum(accuracies) / 2)
        half = 12.706204736174698 * abs(accuracies[0] - accuracies[1]) / 2  # t of one degree of freedom
        assert group.accuracy.high - group.accuracy.mean == pytest.approx(half)
        assert group.dense_gradient_share == 1
    (dnw, _, dense) = result.groups
    assert dense.training_flops_ratio == 1
    # Of DNW two thirds need active weights alone: 2 f_S + f_D of 3 f_D.
    share = dnw.parts[0].result["forward_flops"] / dnw.parts[0].result["forward_flops_dense"]
    assert dnw.training_flops_ratio == pytest.approx((2 * share + 1) / 3)
    assert result.to_dict()["runs"][0]["settings"] == {"algorithm.name": "dnw", "algorithm.density": 0.3}


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_what_is_finished_is_not_done_again(swept):
    result, folder, _ = swept
    before, listener = written(folder), Listener()
    again = sweep(RAW, GRID, seeds=[0, 1], out=folder, device="cpu", observer=listener)
    assert (again, listener.epochs, written(folder)) == (result, [], before)
    # A density more is two trainings more.
    more = sweep(RAW, {**GRID, "algorithm.density": [0.3, 0.1, 0.05]}, seeds=[0, 1], out=folder, device="cpu")
    assert len(more.parts) == 8
    assert {path: when for path, when in written(folder).items() if path in before} == before


def test_stopped_it_goes_on(swept, tmp_path):
    class Stop(Listener):
        def epoch_done(self, record):
            super().epoch_done(record)
            if len(self.epochs) == 5:
                raise KeyboardInterrupt

    result, folder, _ = swept
    with pytest.raises(KeyboardInterrupt):
        sweep(RAW, GRID, seeds=[0, 1], out=tmp_path, device="cpu", observer=Stop())
    before = {path: when for path, when in written(tmp_path).items() if path.parent.name == "dnw-density=0.3-s0"}
    assert len(before) >= 5
    listener = Listener()
    again = sweep(RAW, GRID, seeds=[0, 1], out=tmp_path, device="cpu", observer=listener)
    assert [group.accuracy for group in again.groups] == [group.accuracy for group in result.groups]
    assert len(listener.epochs) in (13, 14)  # of 18, the one that was stopped at perhaps once more
    assert {path: when for path, when in written(tmp_path).items() if path in before} == before
    for run in folder.iterdir():
        if (tmp_path / run.name).exists():
            assert differences(open_run(run), open_run(tmp_path / run.name)) == []


def test_one_that_fails_leaves_the_others_alone(tmp_path):
    with pytest.raises(TaskError, match=r"1 of 2 parts failed, dnw-lr=1000000000\.0-s0: .*diverged"):
        sweep(
            RAW, {"optimizer.lr": [1e9, 0.1]}, overrides={"model.options.widths": [64, 64]}, out=tmp_path, device="cpu"
        )
    assert open_run(tmp_path / "dnw-lr=0.1-s0").epochs == (0, 1, 2)


@pytest.mark.slow
def test_two_processes_do_what_one_does(swept, tmp_path):
    result, folder, _ = swept
    two = sweep(RAW, GRID, seeds=[0, 1], out=tmp_path, device="cpu", jobs=2)
    assert [group.accuracy for group in two.groups] == [group.accuracy for group in result.groups]
    for run in tmp_path.iterdir():
        assert differences(open_run(run), open_run(folder / run.name)) == []
    with pytest.raises(MasktoolsError):
        sweep(RAW, GRID, seeds=[0, 1], out=tmp_path, device="cpu", jobs=0)


def test_a_single_seed_has_no_interval(tmp_path):
    (group,) = sweep(RAW, {}, overrides={"epochs": 1}, out=tmp_path, device="cpu").groups
    assert (group.accuracy.low, group.accuracy.high, group.accuracy.n) == (None, None, 1)
    assert math.isfinite(group.accuracy.mean)
