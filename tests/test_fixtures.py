"""Runs that were archived with each version of the format are read for ever, and hold what they held."""

import json
import re
import runpy
from pathlib import Path

import h5py
import numpy as np
import pytest

from masktools import verify
from masktools.cli.app import main
from masktools.masks import PackedMask
from masktools.runs import open_run
from masktools.snapshot import layout
from masktools.snapshot.verify import verify_snapshot

FIXTURES = Path(__file__).parents[1] / "fixtures"
FOLDERS = sorted(path for path in FIXTURES.iterdir() if path.is_dir())
RUNS = sorted(run for folder in FOLDERS for run in folder.iterdir() if run.is_dir() and run.name != "__pycache__")
EACH = pytest.mark.parametrize("path", RUNS, ids=[str(run.relative_to(FIXTURES)) for run in RUNS])


def expected(path):
    """What was found in a run when it was written."""
    return json.loads((path.parent / "expected.json").read_text("utf-8"))[path.name]


def independent(path):
    """The reader that was archived with the run: h5py and numpy alone."""
    return runpy.run_path(str(path.parent / "reader.py"))


def test_no_run_was_lost_or_added():
    for folder in FOLDERS:
        told = json.loads((folder / "expected.json").read_text("utf-8"))
        assert sorted(told) == [run.name for run in RUNS if run.parent == folder]
    assert {"dense", "static", "rigl", "dnw", "dnw-frozen", "ltr"} <= {run.name for run in RUNS}


def test_every_kind_of_snapshot_is_archived():
    layers = [layer for run in RUNS for snapshot in expected(run)["snapshots"] for layer in snapshot["layers"]]
    assert {layer["weights"] for layer in layers} == set(layout.KINDS)
    assert {layer["dtype"] for layer in layers} == {"float16", "float32", None}
    assert {len(layer["shape"]) for layer in layers} == {2, 4}


def test_the_version_that_is_written_is_archived():
    """Archive runs of a new version in a folder of their own when this fails; leave the old ones alone."""
    archived = {snapshot["encoding_version"] for run in RUNS for snapshot in expected(run)["snapshots"]}
    assert layout.ENCODING_VERSION in archived


@EACH
def test_the_archived_reader_finds_what_it_found_then(path):
    reader = independent(path)
    assert reader["described"](path) == expected(path)
    assert "masktools" not in re.findall(
        r"^(?:import|from) (\w+)", (path.parent / "reader.py").read_text(), re.MULTILINE
    )


@EACH
def test_a_run_is_sound(path):
    result = verify(path)
    assert result.problems == ()
    told = expected(path)
    assert sorted(Path(check.file).name for check in result.files) == sorted(told["files"])
    assert [check.digest for check in result.files if check.digest] == [
        snapshot["content_digest"] for snapshot in told["snapshots"]
    ]


@EACH
def test_counts_masks_and_weights_are_what_they_were(path):
    run, told = open_run(path), expected(path)["snapshots"]
    assert run.epochs == tuple(range(len(told)))
    assert [record["active"] for record in run.metrics] == [snapshot.active for snapshot in run]
    assert run.config == run.final.config
    for snapshot, then in zip(run, told, strict=True):
        assert (snapshot.path.name, snapshot.epoch, snapshot.step) == (then["file"], then["epoch"], then["step"])
        assert sorted(snapshot.tensor_names) == sorted(snapshot.tensors()) == then["tensors"]
        assert list(snapshot.layers) == [layer["name"] for layer in then["layers"]]
        for layer in then["layers"]:
            name, found = layer["name"], snapshot.layer(layer["name"])
            assert (list(found.shape), found.active, found.weights) == (
                layer["shape"],
                layer["active"],
                layer["weights"],
            )
            assert snapshot.packed(name).density == pytest.approx(layer["density"], abs=1e-12)
            if layer["weights"] != "none":
                values = snapshot.weight(name)
                assert values.dtype.name == layer["dtype"]
                first = values[snapshot.mask(name)][:3]
                assert first.tolist() == pytest.approx(layer["first_active_weights"], rel=0, abs=1e-7)


@EACH
def test_the_archived_reader_and_ours_agree_bit_for_bit(path):
    reader, run = independent(path), open_run(path)
    for snapshot in run:
        with h5py.File(snapshot.path) as file:
            for name in snapshot.layers:
                theirs = reader["mask"](file, name)
                assert np.array_equal(snapshot.mask(name), theirs)
                assert snapshot.masks()[name] == PackedMask.from_bool(theirs)
                values = reader["weight"](file, name)
                if values is not None:
                    assert snapshot.weight(name).tobytes() == values.tobytes()
            for name, values in snapshot.tensors().items():
                assert values.tobytes() == file["tensors"][name][()].tobytes()


@EACH
def test_every_analysis_still_works(path, capsys):
    told = expected(path)["snapshots"]
    active = sum(layer["active"] for layer in told[-1]["layers"])

    def answer(*arguments):
        status = main([*map(str, arguments), "--format", "json"])
        captured = capsys.readouterr()
        assert (status, captured.err) == (0, "")
        return json.loads(captured.out)

    information = answer("info", path)
    assert (information["total"]["active"], information["topology"]) == (active, True)
    assert information["epochs"] == [snapshot["epoch"] for snapshot in told]
    first, last = (path / told[end]["file"] for end in (0, -1))
    compared = answer("compare", first, last)["total"]
    assert compared["active_b"] == active
    assert compared["active_a"] == sum(layer["active"] for layer in told[0]["layers"])
    (emerged,) = answer("emergence", path)["runs"]
    assert [layer["final_active"] for layer in emerged["layers"]] == [layer["active"] for layer in told[-1]["layers"]]
    connected = answer("connectivity", path)["total"]
    assert connected["active"] == active
    assert 0 < connected["effective"] <= active
    assert answer("verify", path)["sound"] is True


@EACH
def test_nothing_tells_of_the_machine_that_wrote_it(path):
    told = (path / "run.json").read_text("utf-8") + json.dumps([snapshot.config for snapshot in open_run(path)])
    assert not re.search(r'"(/|~|[A-Za-z]:\\)', told)
    assert set(open_run(path).info) == {
        "format",
        "version",
        "name",
        "seed",
        "config",
        "device",
        "created",
        "versions",
        "git",
    }


def test_damage_is_found(tmp_path):
    """The tests above could not fail if a changed file were as good as the archived one."""
    source = RUNS[0] / "epoch-0001.h5"
    copy = tmp_path / source.name
    copy.write_bytes(source.read_bytes())
    before = verify_snapshot(open_run(copy).final)
    assert before == expected(RUNS[0])["snapshots"][1]["content_digest"]
    with h5py.File(copy, "r+") as file:
        (name, *_) = file["weights"]
        file["weights"][name][...] = file["weights"][name][()] * np.float32(1.0001)
    assert len(verify(copy).problems) == 1
