"""Runs that are sound, and runs that are not."""

import json

import h5py
import numpy as np
import pytest

from masktools.errors import RunError
from masktools.verification import verify


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
