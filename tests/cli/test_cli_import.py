"""``import`` through the program."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from masktools.cli import import_run as import_command
from masktools.cli.app import main
from masktools.importers.registry import FORMATS
from masktools.render.formats import FORMATS as WRITTEN
from masktools.runs import open_run
from masktools_train.importing.plan import DISTRIBUTION_NAMES


def save(path, seed=0, share=0.25):
    """Write an MLP with zeros, and return its weights."""
    rng = np.random.default_rng(seed)
    arrays = {
        "fc1.weight": rng.standard_normal((6, 8)),
        "fc1.bias": np.zeros(6),
        "fc2.weight": rng.standard_normal((4, 6)),
    }
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    for array in arrays.values():
        array[rng.random(array.shape) > share] = 0
    np.savez(path, **arrays)
    return arrays


def test_import_and_look(tmp_path, output, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = [save(f"epoch_{epoch}.npz", epoch) for epoch in (0, 5, 10)]
    text = output("import", "epoch_10.npz", "epoch_0.npz", "epoch_5.npz", "-o", "run", "--graph", "sequential")
    for words in (
        "format npz",
        "fc1.weight",
        "6x8",
        "where not 0",
        "Epochs are the numbers in the names",
        "written to run",
    ):
        assert words in " ".join(text.split())
    run = open_run("run")
    assert run.epochs == (0, 5, 10)
    for snapshot, arrays in zip(run, weights, strict=True):
        assert np.array_equal(snapshot.mask("fc2.weight"), arrays["fc2.weight"] != 0)
    assert "sound" in output("verify", "run")
    assert json.loads(output("compare", "run", "run", "--format", "json"))["total"]["kappa"] == 1
    assert json.loads(output("emergence", "run", "--format", "json"))["runs"][0]["curve"][-1]["epoch"] == 10
    assert json.loads(output("connectivity", "run", "--format", "json"))["epoch"] == 10


def test_json_and_csv(tmp_path, output):
    arrays = save(tmp_path / "net.npz")
    call = ("import", tmp_path / "net.npz", "-o", tmp_path / "run", "--overwrite")
    found = json.loads(output(*call, "--format", "json", "--format", "npz"))
    assert (found["schema_version"], found["command"], found["format"], found["written"]) == (1, "import", "npz", True)
    active = int((arrays["fc1.weight"] != 0).sum())
    assert found["layers"][0] == {
        "name": "fc1.weight",
        "shape": [6, 8],
        "size": 48,
        "active": active,
        "density": active / 48,
        "prunable": True,
        "mask": "zeros",
    }
    assert found["tensors"] == ["fc1.bias"]
    assert (found["epochs"][0]["source"], found["epochs"][0]["epoch"], found["epochs_from"]) == ("net.npz", 0, "order")
    rows = list(csv.DictReader(io.StringIO(output(*call, "--format", "csv"))))
    assert [row["name"] for row in rows] == ["fc1.weight", "fc2.weight"]
    assert output(*call, "--output", tmp_path / "a.json") == ""
    assert json.loads((tmp_path / "a.json").read_text())["command"] == "import"


def test_where_it_came_from_is_recorded(tmp_path, output):
    save(tmp_path / "net.npz")
    output("import", tmp_path / "net.npz", "-o", tmp_path / "run")
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["config"] == {}
    assert told["imported"] == {
        "format": "npz",
        "sources": ["net.npz"],
        "digests": told["imported"]["digests"],
        "key": "",
        "stripped": [],
    }
    (digest,) = told["imported"]["digests"]
    b2sum = subprocess.run(["b2sum", "-l", "128", tmp_path / "net.npz"], capture_output=True, text=True, check=True)
    assert b2sum.stdout.split()[0] == digest
    assert "imported.format" in output("info", tmp_path / "run", "--config")


def test_dry_run_writes_nothing(tmp_path, output):
    save(tmp_path / "net.npz")
    text = output("import", tmp_path / "net.npz", "-o", tmp_path / "run", "--dry-run", "--include", "fc2*")
    assert "nothing was written" in " ".join(text.split())
    assert "fc1.weight" not in text
    assert not (tmp_path / "run").exists()


def test_a_dense_file_is_imported_with_a_warning(tmp_path, capsys):
    save(tmp_path / "net.npz", share=1)
    call = ["import", str(tmp_path / "net.npz"), "-o", str(tmp_path / "run"), "--exclude", "fc1*"]
    assert main(call) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("masktools: warning: net.npz: the weights have no zeros")
    assert captured.err.count("\n") == 1
    assert "--density" in captured.out
    assert main([*call, "--overwrite", "--density", "0.5"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert open_run(tmp_path / "run").final.active == 12


def test_errors_are_one_sentence(tmp_path, failure):
    save(tmp_path / "a.npz")
    run = ("-o", tmp_path / "run")
    source = tmp_path / "a.npz"
    for arguments, words in (
        ((tmp_path / "b.npz", *run), "b.npz: no such file or directory"),
        ((source, *run, "--epochs", "1,2"), "--epochs: 1 different epochs are needed, got [1, 2]"),
        ((source, *run, "--epochs", "x"), "--epochs: 'x' is no list"),
        ((source, *run, "--format", "json", "--format", "csv"), "--format: json, csv exclude each other"),
        ((source, *run, "--format", "npz", "--format", "zeros"), "--format: npz, zeros exclude each other"),
        ((source, *run, "--format", "onnx"), "--format 'onnx' is unknown; choose from auto, open-lth"),
        ((source, *run, "--input-shape", "3x4"), "--input-shape: '3x4' is no shape; write 3,32,32"),
        ((source, *run, "--model-option", "a"), "--model-option: 'a' is not KEY=VALUE"),
        ((source, *run, "--model", "nothing"), "model 'nothing': the shape of an input"),
        ((source, *run, "--include", "conv*"), "--include 'conv*' names no weight"),
        ((source, *run, "--density", "2"), "density must be above 0 and at most 1, got 2.0"),
        ((source,), "Missing option"),
    ):
        assert words in failure("import", *arguments)
    assert not (tmp_path / "run").exists()


def test_names_are_those_of_the_registries():
    assert get_args(import_command.DistributionName) == DISTRIBUTION_NAMES
    assert not set(FORMATS) & set(WRITTEN)
    listed = import_command.COMMAND.details.split("--format NAME is one of ")[1].split(";")[0]
    assert tuple(listed.split(", ")) == tuple(FORMATS)


def test_files_of_numpy_are_imported_without_torch(tmp_path):
    save(tmp_path / "a.npz")
    program = (
        "import sys; from masktools.cli.app import main; "
        "assert main(['import', 'a.npz', '-o', 'run', '--graph', 'sequential', '--density', '0.1']) == 0; "
        "print('LOADED', 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("LOADED False\n")


@pytest.mark.parametrize("ending", ["npz", "safetensors", "pt"])
def test_what_is_exported_can_be_imported(tmp_path, mlp_run, output, capsys, ending):
    run = mlp_run()
    path = tmp_path / f"epoch_3.{ending}"
    assert main(["export", str(run), "-o", str(path)]) == 0
    capsys.readouterr()
    output("import", path, "-o", tmp_path / "back")
    own, back = open_run(run).final, open_run(tmp_path / "back").final
    assert (back.epoch, list(back.layers)) == (own.epoch, list(own.layers))
    for name in own.layers:
        assert np.array_equal(back.mask(name), own.mask(name))
        assert np.array_equal(back.weight(name), own.weight(name))
    assert set(back.tensor_names) == set(own.tensor_names)


def test_docs_list_the_formats_that_there_are():
    text = (Path(__file__).parents[2] / "docs" / "import.md").read_text("utf-8")
    table = text.split("| `--format` |")[1].split("\n\n")[0].split("\n")[2:]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table]
    assert rows == [(f"`{name}`", form.made_by, form.reads) for name, form in FORMATS.items()]
