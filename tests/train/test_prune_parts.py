"""The parts of pruning a network further: in several processes as in one, whichever fails, in whatever order."""

import pytest
from same_runs import differences
from small_runs import Listener, recipe

from masktools.errors import RunError, TaskError
from masktools.runs import open_run
from masktools_train import prune, train
from masktools_train.reevaluate.pruning import Pruner, Pruning, forget, measure, pruner


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "dnw-s0"
    train(recipe("dnw", model__name="small_runs:noisy", algorithm__density=0.5, epochs=2), folder, device="cpu")
    return open_run(folder)


def pruning(run, criterion="saliency", **changes):
    asked = {"scope": "global", "seed": 0, "examples": 64, "recalibration_examples": None, "tuning": None, **changes}
    return Pruning(run=run.path, epoch=2, device="cpu", criterion=criterion, **asked)


@pytest.mark.slow
def test_processes_change_nothing(run, tmp_path, monkeypatch):
    """Neither results nor files; also where the folder is named from where one is."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    options = {"device": "cpu", "criterion": "random", "draws": 2, "shares": [0.5, 0.2], "recalibrate": True}
    told = []
    one, two = (
        prune(run, **options, finetune_epochs=1, out=name, jobs=jobs, finished=lambda *done: told.append(done))
        for name, jobs in (("one", 1), ("two", 2))
    )
    assert one == two
    assert all(len(point.finetuned) == len(point.recalibrated) == 2 for point in one.curve)
    assert sorted(told[:4], key=lambda done: done[0]) == sorted(told[4:], key=lambda done: done[0])
    assert [name for name, _ in told[:4]] == [
        f"dnw-s0: share {share}, draw {draw}" for share in (0.5, 0.2) for draw in range(2)
    ]
    folders = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(folders) == 4
    assert folders == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in folders:
        assert differences(open_run(tmp_path / "one" / name), open_run(tmp_path / "two" / name)) == []


def test_all_others_are_finished_where_one_fails(run, tmp_path):
    (tmp_path / "magnitude-global-0.5").mkdir()
    (tmp_path / "magnitude-global-0.5" / "run.json").write_text("[]", "utf-8")
    watching = Listener()
    with pytest.raises(TaskError, match=r"^1 of 3 parts failed, dnw-s0: share 0.5: .*run\.json"):
        prune(run, device="cpu", shares=[1, 0.5, 0.3], finetune_epochs=1, out=tmp_path, observer=watching)
    assert watching.epochs == [0, 1] * 2
    assert open_run(tmp_path / "magnitude-global-0.3").epochs == (0, 1)


@pytest.mark.parametrize("criterion", ["magnitude", "random", "movement", "saliency"])
def test_a_part_does_not_depend_on_those_before_it(criterion, run):
    """A process that begins with a late part, or did others first, looks at the same network."""
    asked = pruning(run, criterion)
    alone = [Pruner(asked).measure(share, 0, None, None) for share in (1.0, 0.5, 0.1)]
    shared = Pruner(asked)
    assert [shared.measure(share, 0, None, None) for share in (0.1, 1.0, 0.5)] == [alone[2], alone[0], alone[1]]
    used = Pruner(asked)
    used.network.keep({name: mask & False for name, mask in used.network.masks.items()})
    assert used.measure(0.5, 0, None, None) == alone[1]


def test_what_is_kept_in_a_process_is_that_of_the_run_as_it_is(run, tmp_path):
    asked = pruning(run)
    assert pruner(asked) is pruner(asked)
    assert pruner(pruning(run, "magnitude")) is not pruner(asked)
    before = pruner(asked)
    path = run.final.path
    path.touch()
    assert pruner(asked) is not before
    measure(asked, 0.5, 0, None)
    forget()
    with pytest.raises(RunError, match="no such run"):
        measure(Pruning(**{**vars(asked), "run": tmp_path / "nothing"}), 0.5, 0, None)
