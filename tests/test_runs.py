import fcntl
import json
import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored import content, everything, layer

from masktools.errors import RunError, SnapshotError
from masktools.run_lock import LOCK, is_locked, locked
from masktools.run_writer import RunWriter
from masktools.runs import METRICS, RUN_JSON, RUN_VERSION, Run, open_run
from masktools.snapshot.read import Snapshot


def small(epoch: int) -> Any:
    return content(epoch=epoch, layers=(layer("w", (3, 4)),), tensors={}, topology=None)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    writer = RunWriter(tmp_path / "deep" / "dnw-s0")
    for epoch in (0, 2, 10, 1):
        writer.snapshot(small(epoch))
    return writer.path


def test_snapshots_come_in_the_order_of_their_epochs(run: Path):
    found = open_run(run)
    assert found.epochs == (0, 1, 2, 10)
    assert [snapshot.epoch for snapshot in found] == [0, 1, 2, 10]
    assert len(found) == 4
    assert found[1].epoch == 1
    assert [snapshot.epoch for snapshot in found[1:3]] == [1, 2]
    assert found.final.epoch == 10
    assert found.name == "dnw-s0"
    assert repr(found) == f"Run({str(run)!r}, 4 snapshots)"
    with pytest.raises(IndexError):
        found[4]


def test_epochs_are_asked_for_by_number_or_from_the_end(run: Path):
    found = open_run(run)
    assert [found.at(epoch).epoch for epoch in (0, 10, -1, -4, None)] == [0, 10, 10, 0, 10]
    for epoch in (3, 11, -5):
        with pytest.raises(RunError, match=rf"{run}: no snapshot of epoch {epoch}; there are 0-2, 10"):
            found.at(epoch)


def test_opening_a_run_opens_no_snapshot(run: Path):
    for path in run.iterdir():
        path.write_bytes(b"damaged")
    found = open_run(run)
    assert len(found) == 4
    with pytest.raises(SnapshotError, match=r"epoch-0010\.h5: not a readable snapshot"):
        found.final.layers  # noqa: B018


def test_a_single_snapshot_is_a_run_of_one_epoch(run: Path):
    found = open_run(run / "epoch-0002.h5")
    assert found.epochs == (2,)
    assert found.name == "epoch-0002"
    assert found.info == {}
    assert found.metrics == []
    assert found.config == content().config
    assert everything(found.final) == everything(open_run(run).at(2))
    (run / "epoch-0002.h5").rename(run / "copy.h5")
    assert open_run(str(run / "copy.h5")).epochs == (2,)


def test_names_that_only_look_like_snapshots_are_left_alone(run: Path):
    for name in (
        "epoch-3.h5",
        "epoch-003.h5",
        "epoch-00003.h5",
        "epoch-٠٠٠٣.h5",
        "epoch-0003.h5.tmp",
        "xepoch-0003.h5",
        "epoch-0003.h5\n",
        "epoch-0003.hdf5",
        "Epoch-0003.h5",
        "epoch-1234567890.h5",
    ):
        (run / name).write_bytes(b"")
    assert open_run(run).epochs == (0, 1, 2, 10)


def test_large_epochs_have_more_digits(run: Path):
    assert RunWriter(run).snapshot(small(123_456)).name == "epoch-123456.h5"
    assert open_run(run).epochs[-1] == 123_456


def test_a_snapshot_under_the_name_of_another_epoch_is_noticed(run: Path):
    (run / "epoch-0001.h5").rename(run / "epoch-0007.h5")
    found = open_run(run)
    assert found.epochs == (0, 2, 7, 10)
    with pytest.raises(SnapshotError, match="is of epoch 1, its name says 7"):
        found.at(7).packed("w")


def test_what_is_no_run_is_named(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, message in [
        ("empty", "no snapshots"),
        ("missing", "no such run directory or snapshot file"),
        ("pipe", "no such run directory or snapshot file"),
        ("loop", "no such run directory or snapshot file"),
        ("x" * 300, "cannot be opened: .*File name too long"),
    ]:
        with pytest.raises(RunError, match=message) as caught:
            open_run(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_a_directory_in_place_of_a_snapshot_is_named(run: Path):
    (run / "epoch-0003.h5").mkdir()
    found = open_run(run)
    with pytest.raises(SnapshotError, match=r"epoch-0003\.h5: is a directory"):
        found.at(3).layers  # noqa: B018
    assert found.final.epoch == 10


def test_identity_comes_from_run_json(run: Path):
    assert open_run(run).info == {}
    assert open_run(run).config == content().config  # of the last snapshot
    RunWriter(run).describe({"config": {"seed": 7}, "device": "cpu", "version": "9", "format": "other"})
    info = open_run(run).info
    assert info == {"format": "masktools-run", "version": RUN_VERSION, "config": {"seed": 7}, "device": "cpu"}
    assert list(info)[:2] == ["format", "version"]
    assert open_run(run).config == {"seed": 7}
    RunWriter(run).describe({})
    assert open_run(run).config == content().config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not readable"),
        ("{", "not readable"),
        ("\ud800", "not readable"),
        ("[" * 100_000, "not readable"),
        ("[]", "is not a JSON object with the format 'masktools-run'"),
        ("{}", "is not a JSON object with the format 'masktools-run'"),
        ('{"format": "masktools-run"}', "version None is no version"),
        ('{"format": "masktools-run", "version": 1.0}', "version 1.0 is no version"),
        ('{"format": "masktools-run", "version": "1.2"}', "version 1.2 is too new, .* upgrade"),
        ('{"format": "masktools-run", "version": "0.1"}', "version 0.1 is not known"),
        ('{"format": "masktools-run", "version": "1.0", "config": 3}', "config is not a JSON object"),
    ],
)
def test_broken_identities_are_named(run: Path, text: str, message: str):
    (run / RUN_JSON).write_bytes(text.encode(errors="surrogatepass"))
    found = open_run(run)
    for ask in (lambda: found.info, lambda: found.config):
        with pytest.raises(RunError, match=message) as caught:
            ask()
        assert str(run / RUN_JSON) in str(caught.value)


def test_metrics_are_one_record_a_line(run: Path):
    records = [{"epoch": 0, "loss": 2.5, "note": "größe"}, {"epoch": 1, "loss": 1.5, "per": {"a": [1, 2]}}]
    assert open_run(run).metrics == []
    RunWriter(run).metrics(records)
    assert open_run(run).metrics == records
    assert len((run / METRICS).read_text().splitlines()) == 2
    RunWriter(run).metrics(records[:1])
    assert open_run(run).metrics == records[:1]


def test_metrics_are_json_even_where_numbers_are_not_finite(run: Path):
    RunWriter(run).metrics([{"loss": math.nan, "per": [1.0, math.inf, {"x": -math.inf}]}])
    text = (run / METRICS).read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"loss": None, "per": [1.0, None, {"x": None}]}


@pytest.mark.parametrize("cut", [1, 2, 8, 20])
def test_a_last_line_that_was_cut_off_is_left_out(run: Path, cut: int):
    RunWriter(run).metrics([{"epoch": 0}, {"epoch": 1, "note": "größe" * 3}])
    raw = (run / METRICS).read_bytes().replace(b"\\u00f6", "ö".encode())
    (run / METRICS).write_bytes(raw[:-cut])
    assert open_run(run).metrics[0] == {"epoch": 0}
    assert len(open_run(run).metrics) == (2 if cut == 1 else 1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"a": 1}\n{"b": \n{"c": 3}\n', "line 2 is not JSON"),
        ('{"a": 1}\n3\n', "line 2 is not a JSON object"),
        ('{"a": 1}\nnull', "line 2 is not a JSON object"),
        ("\xff\n{}\n", "line 1 is not JSON"),
        ("[" * 100_000 + "\n{}\n", "line 1 is not JSON"),
    ],
)
def test_broken_metrics_are_named(run: Path, lines: str, message: str):
    (run / METRICS).write_bytes(lines.encode("latin-1"))
    with pytest.raises(RunError, match=message) as caught:
        open_run(run).metrics  # noqa: B018
    assert str(run / METRICS) in str(caught.value)


def test_directories_in_place_of_files_are_named(run: Path):
    (run / RUN_JSON).mkdir()
    (run / METRICS).mkdir()
    found, writer = open_run(run), RunWriter(run)
    for ask in (lambda: found.info, lambda: found.metrics):
        with pytest.raises(RunError, match="not readable"):
            ask()
    for write in (lambda: writer.describe({}), lambda: writer.metrics([])):
        with pytest.raises(RunError, match="cannot be written"):
            write()
    assert not list(run.glob("*.tmp"))


def test_what_is_no_json_is_not_written(run: Path):
    writer = RunWriter(run)
    writer.describe({"config": {"seed": 1}})
    before = (run / RUN_JSON).read_bytes()
    for value in ({1, 2}, np.zeros(2), object()):
        with pytest.raises(RunError, match=r"run\.json: cannot be written: .* not JSON serializable"):
            writer.describe({"config": {"value": value}})
        with pytest.raises(RunError, match=r"metrics\.jsonl: cannot be written"):
            writer.metrics([{"value": value}])
    assert (run / RUN_JSON).read_bytes() == before
    assert not (run / METRICS).exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="cannot be made"):
            RunWriter(path)


def test_occupied_and_clear(tmp_path: Path):
    writer = RunWriter(tmp_path / "run")
    writer.make()
    assert not writer.occupied
    (writer.path / "notes.txt").write_text("mine")
    assert not writer.occupied
    writer.describe({})
    assert writer.occupied
    (writer.path / RUN_JSON).unlink()
    writer.snapshot(small(0))
    assert writer.occupied
    writer.metrics([{}])
    (writer.path / "state.pt").write_bytes(b"")
    (writer.path / "epoch-0009.h5").mkdir()
    writer.clear()
    assert sorted(path.name for path in writer.path.iterdir()) == ["epoch-0009.h5", "notes.txt"]


def test_a_run_may_grow_and_travel(run: Path):
    before = open_run(run)
    RunWriter(run).snapshot(small(11))
    assert before.epochs == (0, 1, 2, 10)
    assert open_run(run).epochs == (0, 1, 2, 10, 11)
    copy = pickle.loads(pickle.dumps(before))
    assert isinstance(copy, Run)
    assert everything(copy.final) == everything(Snapshot(run / "epoch-0010.h5"))


def test_a_run_says_whether_it_came_to_its_end(run: Path):
    writer = RunWriter(run)
    for planned, complete in ((10, True), (0, True), (11, False), (None, None), (-1, None), (True, None), ("20", None)):
        writer.describe({} if planned is None else {"last_epoch": planned})
        found = open_run(run)
        assert found.is_complete is complete
        assert found.planned_epoch == (None if complete is None else planned)
    writer.describe({"last_epoch": 20})
    assert open_run(run / "epoch-0010.h5").is_complete is None  # a snapshot by itself is what it is
    writer.snapshot(small(20))
    assert open_run(run).is_complete is True


def test_a_reader_sees_that_a_run_is_being_written(run: Path):
    found = open_run(run)
    assert not found.is_being_written
    with locked(run):
        assert found.is_being_written
        assert not open_run(run / "epoch-0010.h5").is_being_written
    assert not found.is_being_written
    with (run / LOCK).open() as other:  # another reader that asks at the same time is no writer
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not found.is_being_written
    with locked(run):  # asking leaves nothing behind that would keep a writer out
        pass
    assert not is_locked(run / "missing")


def runs_in(folder: Path, *names: str) -> None:
    for name in names:
        RunWriter(folder / name).snapshot(small(0))


def test_a_directory_of_runs_is_not_taken_for_an_empty_one(tmp_path: Path):
    runs_in(tmp_path, "dnw-s10", "dnw-s2", ".hidden")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"no snapshots .* in this directory; it holds runs: dnw-s2, dnw-s10$"):
        open_run(tmp_path)
    runs_in(tmp_path, "a", "b")
    with pytest.raises(RunError, match=r"it holds runs: a, b, dnw-s2 and 1 more$"):
        open_run(tmp_path)
    runs_in(tmp_path / "deep" / "er", "x")
    with pytest.raises(RunError, match=r"in this directory; it holds the run er/x$"):
        open_run(tmp_path / "deep")
    with pytest.raises(RunError, match=r"in this directory$"):
        open_run(tmp_path / "empty")


def test_a_name_that_is_not_there_brings_up_those_most_like_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    runs_in(Path("runs"), "digits-dnw-s0", "digits-dnw-s1", "digits-rigl-s0", "else", "digits-dnw-s0-reinit/new-s0")
    Path("runs/digits-dnw-sx").mkdir()  # no run
    for asked, meant in {
        "runs/digits-dnw-s": "; did you mean runs/digits-dnw-s0 or runs/digits-dnw-s1?",
        "runs/digits-rigl": "; did you mean runs/digits-rigl-s0?",
        "runs/digits-dnw-s11": "; did you mean runs/digits-dnw-s1 or runs/digits-dnw-s0?",
        "runs/els": "; did you mean runs/else?",
        "runs/mnist": "",
        "elsewhere/digits-dnw-s0": "",
        "runs/else/epoch-0007.h5": "; there are snapshots of epochs 0",
    }.items():
        with pytest.raises(RunError) as caught:
            open_run(asked)
        assert str(caught.value) == f"{asked}: no such run directory or snapshot file{meant}"
