"""Runs that are sound, and runs that are not."""

import json

import h5py
import numpy as np
import pytest

from masktools.errors import RunError
from masktools.verification import verify, verify_folder


def problems(path):
    return {check.file.rsplit("/", 1)[-1]: check.problem for check in verify(path).problems}


def test_a_sound_run(mlp_run):
    path = mlp_run()
    result = verify(path)
    assert problems(path) == {}
    assert [check.epoch for check in result.files] == [0, 1, 2, 3, None, None]
    assert result.to_dict()["sound"] is True
    single = verify(path / "epoch-0002.h5")
    assert single.files == (result.files[2],)


def test_equal_contents_have_equal_digests_and_others_do_not(mlp_run):
    first, again, other = (verify(mlp_run(name, seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert [check.digest for check in first.files] == [check.digest for check in again.files]
    assert not {check.digest for check in first.files[:4]} & {check.digest for check in other.files[:4]}


def test_every_flipped_bit_of_a_mask_is_found(mlp_run):
    path = mlp_run()
    with h5py.File(path / "epoch-0001.h5", "r+") as file:
        file["masks/fc1.weight"][0] ^= np.uint8(1)
    assert problems(path) == {
        "epoch-0001.h5": "/masks/fc1.weight: its values do not match their digest; the file is damaged"
    }


def test_changed_numbers_are_found_though_all_values_are_whole(mlp_run):
    path = mlp_run()
    with h5py.File(path / "epoch-0003.h5", "r+") as file:
        file.attrs["step"] = 31
    assert list(problems(path)) == ["epoch-0003.h5"]
    assert "content-blake2b" in problems(path)["epoch-0003.h5"]


def test_misnamed_and_damaged_files_are_all_listed(mlp_run):
    path = mlp_run()
    (path / "epoch-0003.h5").rename(path / "epoch-0009.h5")
    whole = (path / "epoch-0001.h5").read_bytes()
    (path / "epoch-0001.h5").write_bytes(whole[: len(whole) // 2])
    (path / "run.json").write_text("{")
    (path / "metrics.jsonl").write_text("no JSON\n{}\n")
    found = problems(path)
    assert set(found) == {"epoch-0001.h5", "epoch-0009.h5", "run.json", "metrics.jsonl"}
    assert found["epoch-0009.h5"] == "is named after epoch 9 but holds epoch 3"
    assert verify(path).to_dict()["problems"] == 4
    for name in ("run.json", "metrics.jsonl"):
        (path / name).unlink()
    assert set(problems(path)) == {"epoch-0001.h5", "epoch-0009.h5"}


def test_nothing_to_verify_is_an_error(tmp_path):
    with pytest.raises(RunError, match="no such run"):
        verify(tmp_path / "no")


def test_the_command_lists_what_is_wrong_and_exits_with_1(mlp_run, capsys):
    from masktools.cli.app import main

    path = mlp_run()
    assert main(["verify", str(path)]) == 0
    assert "All 6 files are sound" in capsys.readouterr().out
    (path / "epoch-0002.h5").write_bytes(b"no snapshot")
    assert main(["verify", str(path), "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["sound"], found["problems"]) == (False, 1)
    assert [entry["file"] for entry in found["files"] if entry["problem"]] == [str(path / "epoch-0002.h5")]
    assert main(["verify", str(path / "no")]) == 2


def test_a_directory_of_runs_is_verified_as_a_whole(mlp_run, tmp_path, capsys):
    from masktools.cli.app import main

    for name in ("a", "b-again/new", "b"):
        mlp_run(name)
    (tmp_path / "notes").mkdir()
    assert main(["verify", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert [line.split() for line in text.splitlines()[3:6]] == [
        ["a", "6", "4", "0"],
        ["b", "6", "4", "0"],
        ["b-again/new", "6", "4", "0"],
    ]
    assert "All 18 files are sound, 12 snapshots among them." in text
    (tmp_path / "b" / "epoch-0002.h5").write_bytes(b"no snapshot")
    assert main(["verify", str(tmp_path)]) == 1
    assert "1 of 18 files cannot be trusted." in capsys.readouterr().out
    assert main(["verify", f"{tmp_path}/", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["folder"], found["sound"], found["problems"]) == (str(tmp_path), False, 1)
    assert main(["verify", str(tmp_path / "b"), "--format", "json"]) == 1
    alone = json.loads(capsys.readouterr().out)
    assert found["runs"][1] == {key: alone[key] for key in ("run", "sound", "problems", "files")}
    assert [run["sound"] for run in found["runs"]] == [True, False, True]
    assert main(["verify", str(tmp_path), "--format", "csv"]) == 1
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["run", "file", "epoch", "digest", "problem"]
    assert len(rows) == 19
    assert [row[:2] for row in rows if row[-1] not in ("problem", "sound")] == [["b", "epoch-0002.h5"]]


def test_a_single_file_is_not_several(mlp_run, capsys):
    from masktools.cli.app import main

    path = mlp_run()
    for name, sentence in {
        "epoch-0001.h5": "The file is sound, and a snapshot.",
        "": "All 3 files are sound, 1 snapshot among them.",
    }.items():
        assert main(["verify", str(path / name)]) == 0
        assert sentence in capsys.readouterr().out
        for epoch in (0, 2, 3):
            (path / f"epoch-000{epoch}.h5").unlink(missing_ok=True)


def test_a_directory_without_runs_cannot_be_verified(tmp_path):
    with pytest.raises(RunError, match="no run"):
        verify_folder(tmp_path)
