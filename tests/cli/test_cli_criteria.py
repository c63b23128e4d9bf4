import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic import random_masks
from valued_runs import Values, write_values

from masktools.render.numbers import with_interval
from masktools.structure.values.criteria import criteria
from masktools.structure.values.scores import CRITERIA
from masktools.structure.values.signs import GROUPS, sign_stability

FIXTURES = Path(__file__).parents[2] / "fixtures" / "v1"


@pytest.fixture
def dnw_run(tmp_path):
    """Write a run whose masks are the largest of weights that all keep training."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(400)
    epochs = {}
    for epoch in range(30):
        threshold = np.sort(abs(weight))[-40]
        mask = "".join("1" if size >= threshold else "0" for size in abs(weight))
        epochs[epoch] = Values({"fc.weight": mask}, {"fc.weight": weight})
        weight = weight + 0.4 * rng.standard_normal(400)
    return write_values(tmp_path / "dnw", epochs)


def test_json_has_the_promised_keys(dnw_run, output):
    result = json.loads(output("criteria", dnw_run, "--format", "json"))
    assert list(result)[:5] == ["schema_version", "command", "run", "epoch", "weights_epoch"]
    assert (result["command"], result["run"], result["epoch"], result["weights_epoch"]) == (
        "criteria",
        str(dnw_run),
        29,
        29,
    )
    assert [row["name"] for row in result["criteria"]] == list(CRITERIA)
    for row in result["criteria"]:
        assert row.keys() >= {"name", "auc", "low", "high", "z", "layers"}
        assert [layer["name"] for layer in row["layers"]] == ["fc.weight"]
    assert [point["epoch"] for point in result["signs"]] == list(range(1, 30))
    assert all(point.keys() >= {"epoch", "layers", *GROUPS} for point in result["signs"])
    told = criteria(dnw_run).to_dict()
    assert {key: result[key] for key in told if key != "criteria"} == {k: v for k, v in told.items() if k != "criteria"}
    assert result["criteria"] == json.loads(json.dumps(told["criteria"]))
    assert result["signs"] == sign_stability(dnw_run).to_dict()["signs"]


def test_epochs_reach_the_measurement(dnw_run, output):
    result = json.loads(output("criteria", dnw_run, "--epoch", 3, "--weights-epoch", -1, "--format", "json"))
    assert (result["epoch"], result["weights_epoch"]) == (3, 29)
    assert result["criteria"] == criteria(dnw_run, 3, 29).to_dict()["criteria"]


def test_text_names_the_best_beside_chance(dnw_run, output):
    text = output("criteria", dnw_run)
    words = " ".join(text.split())
    best = criteria(dnw_run).best
    assert "large_final orders the mask without exception (AUC 1), as the rule" in words
    number = with_interval(best.auc, *best.ranking.interval())
    assert f"Of the others {best.name} orders the mask best: AUC = {number} (chance 0.5, 95 % interval)" in words
    assert "have their initial sign (chance 0.5); of pruned weights" in words
    assert "(15 of 29 epochs; JSON has all)" in words
    assert re.search(r"^ +1 ", text, re.MULTILINE)
    assert re.search(r"^ +29 ", text, re.MULTILINE)
    assert max(map(len, text.split("\n"))) <= 80


def test_a_mask_at_random_is_called_so(tmp_path, output):
    rng = np.random.default_rng(1)
    mask = "".join(rng.choice(["0", "1"], 400))
    epochs = {epoch: Values({"fc.weight": mask}, {"fc.weight": rng.standard_normal(400)}) for epoch in (0, 1)}
    words = " ".join(output("criteria", write_values(tmp_path / "run", epochs)).split())
    assert "No criterion orders the mask beyond chance: highest is" in words


def test_csv_is_the_table_of_criteria(dnw_run, output):
    rows = list(csv.DictReader(io.StringIO(output("criteria", dnw_run, "--format", "csv"))))
    assert [row["name"] for row in rows] == list(CRITERIA)
    assert float(rows[0]["auc"]) == 1
    assert (rows[0]["is_rule"], rows[0]["low"], rows[0]["formula"]) == ("true", "", "|w_f|")


def test_what_is_missing_is_said(output):
    result = json.loads(output("criteria", FIXTURES / "rigl", "--format", "json"))
    assert result["weights_epoch"] is None
    assert [row["name"] for row in result["criteria"] if row["auc"] is not None] == [
        "large_init",
        "small_init",
        "random",
    ]
    text = " ".join(output("criteria", FIXTURES / "rigl").split())
    assert "Note: Criteria of w_f are not defined" in text
    table = output("criteria", FIXTURES / "rigl").split("\n\n")[0]
    assert [line.split()[0] for line in table.split("\n")[3:6]] == ["large_init", "small_init", "random"]
    assert (
        "Not defined and not shown: 10 criteria that need final weights (w_f). Where weights outside the mask" in text
    )
    assert "train with --set snapshot.weights=dense" in text
    rows = list(csv.DictReader(io.StringIO(output("criteria", FIXTURES / "rigl", "--format", "csv"))))
    assert [row["name"] for row in rows] == list(CRITERIA)
    assert "of pruned weights no trained value is known" in text
    words = " ".join(output("criteria", FIXTURES / "dense").split())
    assert "No criterion is defined: no layer has weights both in and out of the mask." in words
    lone = " ".join(output("criteria", FIXTURES / "dense-values" / "epoch-0002.h5").split())
    assert "Criteria of w_i are not defined" in lone
    assert "Signs are not compared: the initial weights are not stored" in lone


def test_bad_input(tmp_path, write_run, failure):
    assert "missing: no such run" in failure("criteria", tmp_path / "missing")
    path = write_run("a", {1: random_masks(0), 2: random_masks(1)})
    assert "record with masktools train --set snapshot.weights=dense" in failure("criteria", path)
    assert "no snapshot of epoch 9; there are 1-2" in failure("criteria", path, "--epoch", 9)
    assert "no snapshot of epoch 7; there are 1-2" in failure("criteria", path, "--weights-epoch", 7)
    assert "Invalid value for '--weights-epoch'" in failure("criteria", path, "--weights-epoch", "last")


def test_it_loads_neither_torch_nor_the_heavy_parts_of_scipy(dnw_run):
    code = (
        "import sys\nfrom masktools.cli.app import main\n"
        f"assert main(['criteria', {str(dnw_run)!r}]) == 0\n"
        "heavy = ('torch', 'masktools_train', 'scipy.stats', 'scipy.optimize')\n"
        "print('LOADED', *[name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("LOADED")[1].split() == []


def test_several_rules_are_named_in_the_plural(tmp_path, output):
    initial, final = [1.0, -2.0, 3.0, -4.0], [-5.0, 0.5, 3.5, -1.0]
    epochs = {0: Values({"a": "0011"}, {"a": initial}), 1: Values({"a": "1010"}, {"a": final})}
    words = " ".join(output("criteria", write_values(tmp_path / "run", epochs)).split())
    assert "large_final and magnitude_increase order the mask without exception (AUC 1)" in words
    assert "No other criterion orders the mask beyond chance: highest is small_init, AUC = 0.75 [" in words
