import os
from pathlib import Path

import pytest
from stored import content, layer

from masktools.errors import RunError, SnapshotError
from masktools.run_collections import group_runs, open_runs
from masktools.run_writer import RunWriter
from masktools.runs import open_run


def write(path: Path, **config) -> Path:
    writer = RunWriter(path)
    writer.describe({"config": config})
    for epoch in (0, 1):
        writer.snapshot(content(epoch=epoch, layers=(layer("w", (3, 4)),), tensors={}, topology=None))
    return path


def recipe(seed=0, name="rigl", density=0.1, **rest):
    return {
        "seed": seed,
        "data": {"name": "digits"},
        "model": {"name": "mlp"},
        "algorithm": {"name": name, "density": density},
        **rest,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("dnw-s10", "dnw-s2", "deep/er/rigl-s0", "dnw-s2/inner", ".hidden/dnw-s3"):
        write(tmp_path / "runs" / name)
    (tmp_path / "runs" / "notes.txt").write_text("no run")
    (tmp_path / "runs" / "empty").mkdir()
    return tmp_path / "runs"


def places(runs, folder):
    return [str(run.path.relative_to(folder)) for run in runs]


def test_runs_are_found_at_any_depth_in_natural_order(folder: Path):
    assert places(open_runs(folder), folder) == ["deep/er/rigl-s0", "dnw-s2", "dnw-s10"]
    assert places(open_runs(str(folder / "deep")), folder) == ["deep/er/rigl-s0"]


def test_numbers_sort_by_value_wherever_they_are(tmp_path: Path):
    names = ["a1b10", "a1b9", "a01b2", "a", "10", "9", "b/2", "b/10", "ab"]
    for name in names:
        write(tmp_path / name)
    # "a1" and "a01" are the same number, so what follows decides.
    assert places(open_runs(tmp_path), tmp_path) == ["9", "10", "a", "a01b2", "a1b9", "a1b10", "ab", "b/2", "b/10"]


def test_a_run_is_itself_and_nothing_within_it(folder: Path):
    assert places(open_runs(folder / "dnw-s2"), folder) == ["dnw-s2"]
    assert places(open_runs(folder / "dnw-s2" / "inner"), folder) == ["dnw-s2/inner"]
    assert places(open_runs(folder / ".hidden"), folder) == [".hidden/dnw-s3"]


def test_several_paths_keep_their_order_and_no_run_comes_twice(folder: Path, monkeypatch):
    found = open_runs(folder / "dnw-s10", folder, folder / "dnw-s2")
    assert places(found, folder) == ["dnw-s10", "deep/er/rigl-s0", "dnw-s2"]
    monkeypatch.chdir(folder)
    assert [str(run.path) for run in open_runs("dnw-s2", "./deep/../dnw-s2", folder / "dnw-s2")] == ["dnw-s2"]


def test_a_snapshot_is_a_run_of_one_epoch(folder: Path):
    (one, whole) = open_runs(folder / "dnw-s2" / "epoch-0001.h5", folder / "dnw-s2")
    assert (one.epochs, whole.epochs) == ((1,), (0, 1))


def test_links_are_followed_once_and_runs_keep_their_own_names(folder: Path):
    (folder / "best").symlink_to(folder / "dnw-s10")
    (folder / "deep" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "deep" / "self").symlink_to("self")
    (folder / "gone").symlink_to(folder / "nothing")
    outside = write(folder.parent / "elsewhere" / "static-s0").parent
    (folder / "more").symlink_to(outside)
    assert places(open_runs(folder), folder) == ["deep/er/rigl-s0", "dnw-s2", "dnw-s10", "more/static-s0"]
    assert len(open_runs(folder, outside)) == 4


def test_paths_without_runs(folder: Path):
    with pytest.raises(RunError, match="at least one path"):
        open_runs()
    with pytest.raises(RunError, match=rf"{folder / 'empty'}: no run \("):
        open_runs(folder, folder / "empty")
    with pytest.raises(RunError, match=rf"{folder / 'nothing'}: no such run"):
        open_runs(folder / "nothing")
    with pytest.raises(SnapshotError, match=r"notes\.txt"):
        open_runs(folder / "notes.txt")


def test_a_directory_that_cannot_be_looked_into(folder: Path, monkeypatch):
    iterdir = Path.iterdir

    def refuse(path: Path):
        if path.name == "empty":
            raise PermissionError(13, "Permission denied")
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(RunError, match=rf"{folder / 'empty'}: cannot be looked into: Permission denied"):
        open_runs(folder)


def test_runs_of_one_experiment_come_together_sorted_by_seed(tmp_path: Path):
    made = [
        ("a", recipe(10)),
        ("b", recipe(name="dnw")),
        ("c", recipe(2)),
        ("d", recipe(density=0.2)),
        ("e", recipe(0)),
    ]
    groups = group_runs([open_run(write(tmp_path / name, **config)) for name, config in made])
    assert {key: [run.name for run in runs] for key, runs in groups.items()} == {
        ("digits", "mlp", "rigl", 0.1): ["e", "c", "a"],
        ("digits", "mlp", "dnw", 0.1): ["b"],
        ("digits", "mlp", "rigl", 0.2): ["d"],
    }
    assert [key[2:] for key in groups] == [("rigl", 0.1), ("dnw", 0.1), ("rigl", 0.2)]


def test_trainings_of_a_recorded_structure_are_no_repetitions(tmp_path: Path):
    own = open_run(write(tmp_path / "own", **recipe(1, origin=None)))
    again = open_run(write(tmp_path / "again", **recipe(0, origin={"run": "own", "variant": "new"})))
    (members,) = group_runs([own, again]).values()
    assert members == [own]
    (members,) = group_runs([own, again], reevaluations=True).values()
    assert members == [again, own]
    assert list(group_runs([own, again], "origin.variant", reevaluations=True)) == [(None,), ("new",)]
    assert group_runs([again]) == {}


def test_keys_that_are_missing_or_hold_lists_and_tables(tmp_path: Path):
    options = {"hidden": [300, 100], "norm": {"b": 1, "a": None}}
    configs = [{"seed": 1}, {"model": "mlp"}, {"seed": "x", "model": {"options": options}}, {"seed": 0}]
    runs = [open_run(write(tmp_path / str(place), **config)) for place, config in enumerate(configs)]
    groups = group_runs(runs, ["model.options.hidden", "model.options.norm"])
    assert {key: [run.name for run in runs] for key, runs in groups.items()} == {
        (None, None): ["3", "0", "1"],
        ((300, 100), (("a", None), ("b", 1))): ["2"],
    }
    assert group_runs(iter(runs), ()) == {(): [runs[3], runs[0], runs[1], runs[2]]}


def test_paths_stay_as_they_were_given(folder: Path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert [os.fspath(run.path) for run in open_runs("runs/deep", Path("runs/dnw-s2"))] == [
        "runs/deep/er/rigl-s0",
        "runs/dnw-s2",
    ]
