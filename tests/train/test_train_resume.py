"""A run that was stopped, wherever, and resumed is the run that was not stopped, to the bit."""

import numpy as np
import pytest
import torch
from same_runs import differences
from small_runs import ALGORITHMS, recipe

from masktools.errors import RunError
from masktools.runs import STATE, open_run
from masktools_train import train, training
from masktools_train.progress import SilentObserver


class StoppedError(Exception):
    """Something outside of training."""


class StopAt(SilentObserver):
    """Raises after an epoch, or once so many steps were issued."""

    def __init__(self, epoch=None, steps=None, error=StoppedError):
        self.epoch, self.left, self.error = epoch, steps, error

    def epoch_done(self, record):
        if record.epoch == self.epoch:
            raise self.error

    def stepped(self, count):
        if self.left is not None:
            self.left -= count
            if self.left < 0:
                raise self.error


def settings(name):
    # Two levels of lottery tickets are enough, and three epochs.
    changes = {"algorithm__density": 0.8} if name.startswith("ltr") else {}
    return recipe(
        name, epochs=3, model__name="small_runs:noisy", optimizer__name="adamw", optimizer__lr=0.01, **changes
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a function that returns the uninterrupted run of an algorithm."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def run(name):
        if name not in made:
            made[name] = open_run(train(settings(name), folder / name, device="cpu").run)
        return made[name]

    return run


def last_epoch(name):
    return {"ltr": 5, "ltr-it": 6, "ltr-start": 6}.get(name, 3)


def stop_and_resume(name, path, *stops):
    for stop in stops:
        with pytest.raises(stop.error):
            train(settings(name), path, device="cpu", observer=stop, resume=True)
        assert (path / STATE).is_file()
        torch.manual_seed(0)
        torch.rand(17)
    result = train(settings(name), path, device="cpu", resume=True)
    assert not (path / STATE).exists()
    assert [record.epoch for record in result.records] == list(range(last_epoch(name) + 1))
    return open_run(path)


CASES = [
    (name, epoch)
    for name in ALGORITHMS
    for epoch in ((0, 1, 3, 4, 5) if name.startswith("ltr") else (2,) if name.endswith("frozen") else (1,))
]


@pytest.mark.parametrize(("name", "epoch"), CASES)
def test_stopped_after_an_epoch(name, epoch, whole, tmp_path):
    """For lottery tickets: at the start, before the rewinding point, between two levels, within a later level."""
    assert differences(whole(name), stop_and_resume(name, tmp_path / "run", StopAt(epoch))) == []


@pytest.mark.parametrize("name", ["rigl-frozen", "dnw-frozen"])
def test_stopped_before_and_after_freezing_and_before_the_end(name, whole, tmp_path):
    stops = [StopAt(0), StopAt(1), StopAt(2), StopAt(3)]
    assert differences(whole(name), stop_and_resume(name, tmp_path / "run", *stops)) == []


@pytest.mark.parametrize(("name", "steps"), [("dnw", 13), ("rigl", 6), ("ltr-it", 20)])
def test_stopped_within_an_epoch(name, steps, whole, tmp_path):
    stop = StopAt(steps=steps, error=KeyboardInterrupt)
    assert differences(whole(name), stop_and_resume(name, tmp_path / "run", stop)) == []


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("moment", ["snapshot", "metrics", "state"])
def test_killed_between_the_files_of_an_epoch(moment, epoch, whole, tmp_path, monkeypatch):
    """Snapshot, metrics and state are written one after the other; what came before a kill must not mislead."""
    path = tmp_path / "run"

    def killed(original, number_of):
        def write(*args):
            if number_of(*args) == epoch:
                raise StoppedError
            return original(*args)

        return write

    with monkeypatch.context() as patch:
        if moment == "state":
            patch.setattr(training, "save_state", killed(training.save_state, lambda folder, state: state["epoch"]))
        elif moment == "metrics":
            writer = training.RunWriter
            patch.setattr(writer, "metrics", killed(writer.metrics, lambda self, lines: len(list(lines)) - 1))
        else:
            writer = training.RunWriter
            patch.setattr(writer, "snapshot", killed(writer.snapshot, lambda self, content: content.epoch))
        with pytest.raises(StoppedError):
            train(settings("dnw"), path, device="cpu")
    train(settings("dnw"), path, device="cpu", resume=True)
    assert differences(whole("dnw"), open_run(path)) == []
    assert not (path / STATE).exists()


def test_resuming_needs_the_same_recipe(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(settings("dnw"), path, device="cpu", observer=StopAt(1))
    with pytest.raises(RunError, match="cannot be resumed with another recipe: epochs was 3, is 4"):
        train(settings("dnw").model_copy(update={"epochs": 4}), path, device="cpu", resume=True)
    with pytest.raises(RunError, match="holds a run already"):
        train(settings("dnw"), path, device="cpu")


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\3\4" + b"\0" * 40])
def test_a_damaged_state_is_refused_by_name(content, tmp_path):
    path = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(settings("dnw"), path, device="cpu", observer=StopAt(1))
    (path / STATE).write_bytes(content)
    with pytest.raises(RunError, match=r"state\.pt"):
        train(settings("dnw"), path, device="cpu", resume=True)


@pytest.mark.parametrize("state", [[1, 2], {}, {"level": 0, "epoch": 1}, {"level": "x"}])
def test_a_state_of_something_else_is_refused_by_name(state, tmp_path):
    path = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(settings("dnw"), path, device="cpu", observer=StopAt(1))
    torch.save(state, path / STATE)
    with pytest.raises(RunError, match=r"state\.pt"):
        train(settings("dnw"), path, device="cpu", resume=True)


class Trap:
    def __reduce__(self):
        return (print, ("code of a stranger",))


def test_a_state_runs_no_code(tmp_path, capsys):
    path = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(settings("dnw"), path, device="cpu", observer=StopAt(1))
    torch.save({"level": Trap()}, path / STATE)
    with pytest.raises(RunError, match=r"state\.pt"):
        train(settings("dnw"), path, device="cpu", resume=True)
    assert "stranger" not in capsys.readouterr().out


def test_the_masks_of_a_resumed_run_are_not_ignored(tmp_path, whole):
    """Masks come from the state, not from the weights that happen to be zero."""
    path = tmp_path / "run"
    with pytest.raises(StoppedError):
        train(settings("static"), path, device="cpu", observer=StopAt(1))
    state = torch.load(path / STATE, weights_only=True)
    name = next(iter(state["sparsifier"]["masks"]))
    mask = state["sparsifier"]["masks"][name]
    free, taken = (~mask).nonzero()[0], mask.nonzero()[0]
    mask[tuple(free)], mask[tuple(taken)] = True, False
    torch.save(state, path / STATE)
    train(settings("static"), path, device="cpu", resume=True)
    final = open_run(path).final
    np.testing.assert_array_equal(final.mask(name), mask.numpy())
    assert final.active == whole("static").final.active
    assert final.weight(name)[tuple(free.tolist())] != 0
    assert final.weight(name)[tuple(taken.tolist())] == 0
