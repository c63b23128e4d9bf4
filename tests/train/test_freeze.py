"""Masks fixed early: the same training up to there, what is compared with what, and what is refused at once."""

import shutil

import numpy as np
import pytest
from same_runs import differences
from small_runs import Listener, recipe

from masktools.errors import MasktoolsError, RecipeError, RunError, TaskError
from masktools.runs import open_run
from masktools_train import freeze, train
from masktools_train.progress import SilentObserver

EPOCHS, STEPS = 4, 6


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three seeds of DNW, whose masks move to the end."""
    folder, changes = tmp_path_factory.mktemp("runs"), {"model__name": "small_runs:noisy", "optimizer__lr": 0.5}
    return [train(recipe("dnw", seed=seed, **changes), folder / f"dnw-s{seed}", device="cpu").run for seed in (0, 1, 2)]


@pytest.fixture(scope="module")
def frozen(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    return freeze(runs, [2, 1], out=folder, device="cpu"), folder


def same_up_to(epoch, one, other):
    for a, b in zip(one[: epoch + 1], other[: epoch + 1], strict=True):
        for name in a.layers:
            np.testing.assert_array_equal(a.mask(name), b.mask(name))
            np.testing.assert_array_equal(a.weight(name), b.weight(name))
        for name, value in a.tensors().items():
            np.testing.assert_array_equal(value, b.tensors()[name])
    keys = ("train_loss", "test_loss", "test_accuracy", "lr", "dense_gradient_steps", "step")
    for a, b in zip(one.metrics[: epoch + 1], other.metrics[: epoch + 1], strict=True):
        assert [a[key] for key in keys] == [b[key] for key in keys]


def test_up_to_the_epoch_it_is_the_run_itself_and_then_the_mask_stays(runs, frozen):
    _, folder = frozen
    for path in runs:
        own = open_run(path)
        for epoch in (1, 2):
            run = open_run(folder / path.name / f"e{epoch}")
            assert run.epochs == own.epochs == tuple(range(EPOCHS + 1))
            same_up_to(epoch, run, own)
            assert all(run.final.masks() == snapshot.masks() for snapshot in run[epoch:])
            assert own.at(epoch).masks() != own.final.masks()
            assert run.metrics[-1]["dense_gradient_steps"] == epoch * STEPS
            assert run.metrics[-1]["frozen_epoch"] == epoch


@pytest.mark.parametrize("name", ["dnw", "rigl", "set", "snfs"])
def test_it_is_the_recipe_with_the_epoch(name, tmp_path):
    train(recipe(name), tmp_path / "run", device="cpu")
    freeze([tmp_path / "run"], [2], device="cpu")
    by_hand = train(recipe(name, algorithm__freeze_epoch=2), tmp_path / "by-hand", device="cpu").run
    assert differences(open_run(by_hand), open_run(tmp_path / "run-frozen" / "e2")) == []


def test_what_is_lost_is_paired_by_run(runs, frozen):
    result, folder = frozen
    own = [open_run(path).metrics[-1] for path in runs]
    assert result.runs == tuple(map(str, runs))
    assert result.accuracies == tuple(line["test_accuracy"] for line in own)
    assert result.dense_gradient_share == 1
    assert [point.epoch for point in result.points] == [1, 2]
    for point in result.points:
        lines = [open_run(folder / path.name / f"e{point.epoch}").metrics[-1] for path in runs]
        assert point.accuracies == tuple(line["test_accuracy"] for line in lines)
        lost = [a["test_accuracy"] - b["test_accuracy"] for a, b in zip(own, lines, strict=True)]
        assert point.lost.mean == pytest.approx(np.mean(lost))
        half = 4.302652729911275 * np.std(lost, ddof=1) / np.sqrt(3)
        assert point.lost.high - point.lost.mean == pytest.approx(half)
        assert point.dense_gradient_share == pytest.approx(point.epoch / EPOCHS)
        # A step costs 2 f_S + f_D before and 3 f_S after it, and the run itself always the former.
        f, d = lines[0]["forward_flops"], lines[0]["forward_flops_dense"]
        share = point.epoch / EPOCHS
        assert point.training_flops_ratio == pytest.approx((share * (2 * f + d) + (1 - share) * 3 * f) / (2 * f + d))


def test_fixed_at_the_end_or_where_nothing_follows_nothing_is_lost(runs, tmp_path):
    result = freeze(runs[:1], [EPOCHS], out=tmp_path, device="cpu")
    (point,) = result.points
    assert (point.lost.mean, point.dense_gradient_share, point.training_flops_ratio) == (0, 1, 1)
    assert differences(open_run(runs[0]), open_run(tmp_path / "dnw-s0" / f"e{EPOCHS}"))  # their recipes differ
    same_up_to(EPOCHS, open_run(runs[0]), open_run(tmp_path / "dnw-s0" / f"e{EPOCHS}"))


def test_what_is_finished_is_not_done_again(runs, frozen):
    result, folder = frozen
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.name != ".lock"}
    listener, heard = Listener(), []
    again = freeze(
        runs, [1, 2], out=folder, device="cpu", observer=listener, finished=lambda name, found: heard.append(name)
    )
    assert (again, listener.epochs) == (result, [])
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [name.split("/")[-2:] for name in heard] == [[f"dnw-s{s}", f"e{e}"] for s in (0, 1, 2) for e in (1, 2)]


def test_stopped_it_goes_on(runs, frozen, tmp_path):
    class Stop(Listener):
        def epoch_done(self, record):
            super().epoch_done(record)
            if len(self.epochs) == 8:
                raise KeyboardInterrupt

    _, folder = frozen
    with pytest.raises(KeyboardInterrupt):
        freeze(runs, [1, 2], out=tmp_path, device="cpu", observer=Stop())
    first = (tmp_path / "dnw-s0" / "e1" / "metrics.jsonl").stat().st_mtime_ns
    listener = Listener()
    freeze(runs, [1, 2], out=tmp_path, device="cpu", observer=listener)
    assert len(listener.epochs) in (22, 23)  # of 30
    assert (tmp_path / "dnw-s0" / "e1" / "metrics.jsonl").stat().st_mtime_ns == first
    for run in ("dnw-s0/e2", "dnw-s2/e1"):
        assert differences(open_run(folder / run), open_run(tmp_path / run)) == []


def of(name, **changes):
    return lambda folder: [train(recipe(name, epochs=2, **changes), folder / "run", device="cpu").run]


def unfinished(folder):
    class Stop(SilentObserver):
        def epoch_done(self, record):
            if record.epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe("dnw", epochs=2), folder / "run", device="cpu", observer=Stop())
    return [folder / "run"]


def without_metrics(folder):
    (path,) = of("dnw")(folder)
    (path / "metrics.jsonl").unlink()
    return [path]


def single(folder):
    (path,) = of("dnw")(folder)
    return [path / "epoch-0002.h5"]


def old_metrics(folder):
    (path,) = of("dnw")(folder)
    lines = (path / "metrics.jsonl").read_text().replace("dense_gradient_steps", "other")
    (path / "metrics.jsonl").write_text(lines)
    return [path]


def of_a_loop(folder):
    import torch

    from masktools_train import Recorder

    Recorder(folder / "run", torch.nn.Linear(3, 2), config={"mine": 1}).snapshot(0)
    return [folder / "run"]


def mixed(folder):
    train(recipe("rigl", epochs=2, seed=1), folder / "rigl", device="cpu")
    return [*of("dnw")(folder), folder / "rigl"]


def same_seed(folder):
    (path,) = of("dnw")(folder)
    return [path, shutil.copytree(path, folder / "copy")]


def same_name(folder):
    return [*of("dnw")(folder / "a"), *of("dnw", seed=1)(folder / "b")]


@pytest.mark.parametrize(
    ("made", "at", "error", "words"),
    [
        (of("static"), [1], RecipeError, "run: freeze_epoch: the mask of algorithm 'static' does not change"),
        (of("ltr", algorithm__density=0.9), [1], RecipeError, "freeze_epoch: the mask of algorithm 'ltr'"),
        (of("edge-popup"), [1], RecipeError, "'edge-popup' trains nothing but its mask"),
        (of("dnw", algorithm__freeze_epoch=1), [1], RecipeError, "run: its mask is fixed already"),
        (of("dnw", algorithm__freeze_when="kappa>0.3 over 1"), [1], RecipeError, "run: its mask is fixed already"),
        (of("dnw"), [1, 3], RecipeError, "run: freeze_epoch 3 is after the last epoch, 2"),
        (of("dnw"), [-1], RecipeError, "algorithm.freeze_epoch: "),
        (of("dnw"), [1, 1], RecipeError, "at: at least one epoch is needed, and none twice"),
        (of("dnw"), [], RecipeError, "at: at least one epoch"),
        (unfinished, [1], RunError, "run: is not finished, or its metrics are missing: epoch . of 2"),
        (without_metrics, [1], RunError, "run: is not finished, or its metrics are missing: epoch 2 of 2"),
        (single, [1], RunError, "is not finished, or its metrics are missing"),
        (old_metrics, [1], RunError, "run: its metrics lack dense_gradient_steps"),
        (of_a_loop, [0], RunError, "records no training recipe"),
        (lambda folder: [], [1], RecipeError, "at least one run"),
        (lambda folder: of("dnw")(folder) * 2, [1], RecipeError, "give no run twice"),
        (lambda folder: [open_run(*of("dnw")(folder))] * 2, [1], RecipeError, "give no run twice"),
        (
            mixed,
            [1],
            RecipeError,
            "rigl: algorithm.distribution is not that of .*run; give runs that differ in the seed",
        ),
        (same_seed, [1], RecipeError, "copy: is another run with seed 0; give a seed each"),
        (same_name, [1], RecipeError, "none of the same name"),
    ],
)
def test_what_cannot_be_frozen_is_said_before_anything_is_begun(made, at, error, words, tmp_path):
    given = made(tmp_path / "given")

    class Unexpected(SilentObserver):
        def started(self, title, steps, epochs):
            raise AssertionError(title)

    with pytest.raises(error, match=words) as caught:
        freeze(given, at, out=tmp_path / "frozen", device="cpu", observer=Unexpected())
    assert isinstance(caught.value, MasktoolsError)
    assert not isinstance(caught.value, TaskError)
    assert not (tmp_path / "frozen").exists()


def test_runs_of_one_name_have_folders_beside_them(tmp_path):
    result = freeze(same_name(tmp_path), [1], device="cpu")
    assert len(result.points[0].accuracies) == 2
    assert [open_run(tmp_path / place / "run-frozen" / "e1").config["seed"] for place in "ab"] == [0, 1]
