"""``prune`` through the program: one run, several, and what is written."""

import csv
import io
import json
from typing import get_args

import numpy as np
import pytest

from masktools.cli import prune as prune_command
from masktools.cli.app import main
from masktools.runs import open_run
from masktools_train.reevaluate.prune import CRITERIA, SCOPES

SMALL = ("--epochs", "2", "--set", "model.options.widths=[12, 8]", "--density", "0.2", "-q")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train two runs of one algorithm and one of another, for all tests that only read them."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("dnw-s0", "dnw-s1", "rigl-s0"):
        algorithm, seed = name.split("-s")
        call = ("train", *SMALL, "--algorithm", algorithm, "--seed", seed, "--out", str(folder / name))
        assert main([*call, "--output", str(folder / f"{name}.json")]) == 0
    return [folder / name for name in ("dnw-s0", "dnw-s1", "rigl-s0")]


def test_names_are_those_of_the_registries():
    assert get_args(prune_command.CriterionName) == tuple(CRITERIA)
    assert get_args(prune_command.ScopeName) == tuple(SCOPES)


@pytest.mark.parametrize("criterion", list(CRITERIA))
def test_one_run(criterion, trained, output):
    call = ("prune", trained[0], "--criterion", criterion, "--shares", "1,0.5,0", "--draws", 2, "--examples", 50)
    found = json.loads(output(*call, "--format", "json"))
    run = open_run(trained[0])
    assert {"run", "criterion", "scope", "curve"} <= set(found)
    assert all({"density", "accuracy", "effective_density"} <= set(point) for point in found["curve"])
    assert (found["command"], found["criterion"], found["algorithm"]) == ("prune", criterion, "dnw")
    assert [point["active"] for point in found["curve"]] == [run.final.active, round(run.final.active / 2), 0]
    assert found["curve"][0]["accuracy"] == run.metrics[-1]["test_accuracy"]
    assert found["draws"] == (2 if criterion == "random" else 1)
    assert found["examples"] == (50 if criterion == "saliency" else None)
    rows = list(csv.DictReader(io.StringIO(output(*call, "--format", "csv"))))
    assert [float(row["effective_density"]) for row in rows] == [p["effective_density"] for p in found["curve"]]
    assert rows[-1]["effective_share"] == ""
    text = " ".join(output(*call).split())
    assert f"Pruned by {criterion}, globally, without fine-tuning" in text


def test_several_runs_are_grouped_by_algorithm(trained, output):
    call = ("prune", *trained, "--shares", "1,0.3,0.1")
    found = json.loads(output(*call, "--format", "json"))
    assert [run["run"] for run in found["runs"]] == [str(path) for path in trained]
    alone = [json.loads(output("prune", path, "--shares", "1,0.3,0.1", "--format", "json")) for path in trained]
    for each, single in zip(found["runs"], alone, strict=True):
        assert each == {key: single[key] for key in each}
    dnw, rigl = found["groups"]
    assert (dnw["algorithm"], dnw["density"], len(dnw["runs"])) == ("dnw", pytest.approx(0.2, abs=0.01), 2)
    assert (rigl["algorithm"], len(rigl["runs"])) == ("rigl", 1)
    for place, share in enumerate((1, 0.3, 0.1)):
        assert dnw["curve"][place]["share"] == share
        expected = np.mean([run["curve"][place]["accuracy"] for run in alone[:2]])
        assert dnw["curve"][place]["accuracy"]["mean"] == pytest.approx(expected)
    assert dnw["area"]["mean"] == pytest.approx(np.mean([run["area"] for run in alone[:2]]))
    text = output(*call)
    assert text.split("\n")[1].split() == ["share", "dnw", "rigl"]
    assert "3 runs in 2 groups." in text


def test_runs_are_written_and_trained_on(trained, output, tmp_path):
    call = ("prune", *trained[:2], "--shares", "0.5", "--finetune-epochs", 1, "--finetune-lr", 0.02, "--out", tmp_path)
    found = json.loads(output(*call, "-q", "--format", "json"))
    for path, result in zip(trained[:2], found["runs"], strict=True):
        written = tmp_path / path.name / "magnitude-global-0.5"
        assert "sound" in output("verify", written)
        run = open_run(written)
        assert run.metrics[-1]["test_accuracy"] == result["curve"][0]["finetuned"]
        assert run.metrics[-1]["lr"] == result["finetune_lr"] == 0.02
        assert json.loads(output("info", written, "--format", "json"))["config"]["origin"]["run"] == path.name
        kept = json.loads(output("compare", path, written, "--format", "json"))["total"]
        assert kept["intersection"] == kept["active_b"] == result["curve"][0]["active"]
        assert json.loads(output("connectivity", written, "--draws", 0, "--format", "json"))["total"]["active"] > 0
    assert json.loads(output(*call, "-q", "--format", "json")) == found
    single = ("prune", trained[0], "--shares", "0.5", "--scope", "layer", "--out", tmp_path / "one")
    assert "fine-tuned" not in output(*single)
    assert open_run(tmp_path / "one" / "magnitude-layer-0.5").epochs == (0,)


def test_what_cannot_be_done_is_said_in_one_line(trained, failure, tmp_path, mlp_run):
    run = trained[0]
    assert "--finetune-lr goes with --finetune-epochs" in failure("prune", run, "--finetune-lr", 0.1)
    assert "has no batch norm with running statistics" in failure("prune", run, "--recalibrate")
    # Both reach what runs the parts.
    assert "jobs (2) are processes of this machine" in failure("prune", run, "-j", 2, "--scheduler", "tcp://nobody:1")
    assert "--shares: 'half' is no list of numbers" in failure("prune", run, "--shares", "half")
    assert "shares must lie between 0 and 1" in failure("prune", run, "--shares", "2")
    assert "'size' is not one of 'magnitude', 'random', 'movement', 'saliency'" in failure(
        "prune", run, "--criterion", "size"
    )
    assert "needs the weights of epoch 0" in failure("prune", run / "epoch-0002.h5", "--criterion", "movement")
    assert "no such run" in failure("prune", run, tmp_path / "nothing")
    assert "records no training recipe" in failure("prune", mlp_run("other"))
    assert "Missing argument" in failure("prune")
