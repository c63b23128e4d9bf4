"""``compact`` through the program, on the embedded data."""

import csv
import io
import json
import subprocess
import sys

import pytest

from masktools.cli.app import main
from masktools.render.as_table import as_table
from masktools.render.compaction import compact_document
from masktools.runs import open_run
from masktools.structure.compaction import CompactReport, CompactTotal, Cost, LayerChange, LeftAlone, Proof
from masktools_train.compacting import network


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "dnw-s0"
    options = ("--epochs", "2", "--set", "model.options.widths=[40, 20]", "--density", "0.03", "-q")
    assert main(["train", "--out", str(path), *options, "--output", str(path.with_suffix(".json"))]) == 0
    return path


def test_compact(trained, output):
    found = json.loads(output("compact", trained, "--format", "json"))
    final = open_run(trained).final
    assert (found["command"], found["run"], found["epoch"]) == ("compact", str(trained), 2)
    assert {"layers", "total", "proof"} <= set(found)
    assert [layer["name"] for layer in found["layers"]] == list(final.layers)
    assert [layer["active_before"] for layer in found["layers"]] == [layer.active for layer in final.layers.values()]
    total = found["total"]
    assert total["units_before"] == 60
    assert total["units_after"] == 60 - total["dead"] - total["folded"] < 60
    assert total["parameters_after"] < total["parameters_before"] == 64 * 40 + 40 * 20 + 20 * 10 + 70
    assert total["bytes_before"] == 4 * total["parameters_before"]
    assert total["seconds_after"] > 0
    assert found["proof"]["inputs"] == 359
    assert found["proof"]["float32"] <= found["proof"]["tolerance"]
    assert (found["out"], found["program"]) == (None, None)


def test_table_and_csv(trained, output, tmp_path):
    text = " ".join(output("compact", trained, "--limit", 50).split())
    assert "hidden units are left" in text
    assert "on 50 test inputs no output differs by more than" in text
    assert output("compact", trained, "--output", tmp_path / "found.csv") == ""
    rows = list(csv.DictReader(io.StringIO((tmp_path / "found.csv").read_text())))
    assert [row["name"] for row in rows] == ["fc1.weight", "fc2.weight", "fc3.weight"]
    assert rows[0]["shape_before"] == "40x64"
    assert set(rows[0]) == {"name", "shape_before", "shape_after", "active_before", "active_after"}


def test_the_run_is_one_for_every_other_command(trained, output, tmp_path):
    small = tmp_path / "small"
    found = json.loads(output("compact", trained, "-o", small, "--epoch", 1, "--format", "json"))
    assert (found["out"], found["program"]) == (str(small), "model.pt2")
    run = open_run(small)
    assert run.epochs == (1,)
    assert [layer["shape_after"] for layer in found["layers"]] == [list(x.shape) for x in run.final.layers.values()]
    assert json.loads(output("verify", small, "--format", "json"))["sound"]
    assert json.loads(output("info", small, "--format", "json"))["epoch"] == 1
    connected = json.loads(output("connectivity", small, "--draws", 0, "--format", "json"))["total"]
    assert connected["active"] == found["total"]["active_after"] == run.final.active
    assert json.loads(output("compare", small, small, "--format", "json"))["total"]["jaccard"] == 1


def test_the_program_needs_neither_package_nor_model_code(trained, output, tmp_path):
    output("compact", trained, "-o", tmp_path / "small")
    code = (
        "import sys, torch\n"
        "module = torch.export.load(sys.argv[1]).module()\n"
        "print(*module(torch.zeros(5, 1, 8, 8)).shape, any('masktools' in name for name in sys.modules))"
    )
    path = tmp_path / "small" / "model.pt2"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["5", "10", "False"]


def test_an_occupied_folder_is_kept_unless_told(trained, output, failure, tmp_path):
    output("compact", trained, "-o", tmp_path / "small")
    before = (tmp_path / "small" / "epoch-0002.h5").read_bytes()
    refused = failure("compact", trained, "-o", tmp_path / "small", "--epoch", 1)
    assert "holds a run already; overwrite it (overwrite=True, --overwrite), or choose another directory" in refused
    assert open_run(tmp_path / "small").epochs == (2,)
    output("compact", trained, "-o", tmp_path / "small", "--overwrite")
    assert (tmp_path / "small" / "epoch-0002.h5").read_bytes() == before
    assert "is the run itself" in failure("compact", trained, "-o", trained, "--overwrite")
    assert "take the run that it was made of" in failure("compact", tmp_path / "small")
    assert "no such run" in failure("compact", trained / "no")
    assert "no snapshot of epoch 9" in failure("compact", trained, "--epoch", 9)
    assert "'--limit'" in failure("compact", trained, "--limit", 1)


def test_a_network_that_is_not_the_same_is_an_error_and_nothing_is_written(trained, failure, tmp_path, monkeypatch):
    original = network.cut

    def wrong(model, sets, plan):
        masks = original(model, sets, plan)
        model.fc3.bias.data += 1
        return masks

    monkeypatch.setattr(network, "cut", wrong)
    assert "the smaller network is another function" in failure("compact", trained, "-o", tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_runs_of_other_origin_are_refused_in_one_line(mlp_run, failure):
    assert "records no training recipe" in failure("compact", mlp_run())


def test_the_report_says_what_stayed_and_why():
    left = (LeftAlone("a.weight", 8, "a norm"), LeftAlone("b.weight", 4, "a norm"), LeftAlone("c.weight", 2, "a slice"))
    total = CompactTotal(
        30, 20, 7, 3, {"its constant meets padding": 2, "a norm": 1}, left, Cost(90, 360, 80), Cost(45, 180, 40)
    )
    layers = (LayerChange("a.weight", (8, 4), (5, 4), 9, 6),)
    proof = Proof(50, 1e-7, 0.0, 2.0, 2e-5)
    report = CompactReport("runs/x", 3, layers, total, proof, 128, 1, "runs/y", None, "it is of no use")
    text = " ".join(as_table(compact_document(report), 200).split())
    for words in (
        "20 of 30 hidden units are left: 7 were read by nothing that leads to an output, 3 were constant",
        "2 units without effect or constant stayed: its constant meets padding.",
        "1 unit without effect or constant stayed: a norm.",
        "left alone: 2 sets of 12 hidden units: a norm.",
        "left alone: 1 set of 2 hidden units: a slice.",
        "with 50 % of the parameters",
        "no output differs by more than 1.0e-07 in float32 and 0 in float64",
        "torch cannot export this network: it is of no use.",
        "parameters 90 45 2.00",
    ):
        assert words in text
    assert "ms a batch" not in text
