"""``train`` and ``prune`` through the program, on the embedded data."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from masktools.cli import prune as prune_command
from masktools.cli import train as train_command
from masktools.cli.app import main
from masktools.cli.settings import parse_seeds
from masktools.errors import MasktoolsError
from masktools.run_writer import RunWriter
from masktools.runs import open_run
from masktools_train.algorithms import REGISTRY
from masktools_train.data import REGISTRY as DATA
from masktools_train.models import REGISTRY as MODELS
from masktools_train.recipe import packaged_recipes
from masktools_train.reevaluate.prune import CRITERIA, SCOPES
from masktools_train.reevaluate.variants.registry import VARIANTS

DOCS = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")

SMALL = ("--epochs", 2, "--set", "model.options.widths=[12, 8]", "--density", 0.2, "-q")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train one small run through the library's entry, for all tests that only read it."""
    path = tmp_path_factory.mktemp("runs") / "dnw-s0"
    assert main(["train", "--out", str(path), *map(str, SMALL), "--output", str(path.with_suffix(".json"))]) == 0
    return path


def test_train_writes_a_run_and_says_what_came_out(tmp_path, output):
    found = json.loads(output("train", *SMALL, "--algorithm", "rigl", "--out", tmp_path / "r", "--format", "json"))
    assert (found["schema_version"], found["command"]) == (1, "train")
    (result,) = found["runs"]
    run = open_run(tmp_path / "r")
    assert (result["run"], result["epochs"]) == (str(tmp_path / "r"), 2)
    assert run.epochs == (0, 1, 2)
    assert [snapshot.active for snapshot in run] == [result["active"]] * 3
    assert result["test_accuracy"] == run.metrics[-1]["test_accuracy"]
    assert result["config"] == run.config
    assert run.config["algorithm"]["options"]["delta_t"] == 20


def test_several_seeds_are_several_runs(tmp_path, output):
    found = json.loads(output("train", *SMALL, "--seeds", "3-4", "--out", tmp_path / "r", "--format", "json"))
    assert [result["config"]["seed"] for result in found["runs"]] == [3, 4]
    first, second = (open_run(tmp_path / name) for name in ("r-s3", "r-s4"))
    assert not np.array_equal(first.final.mask("fc1.weight"), second.final.mask("fc1.weight"))
    assert first.config | {"seed": 4} == second.config


def test_an_occupied_folder_is_found_before_the_first_of_several_is_trained(trained, tmp_path, failure):
    shutil.copytree(trained, tmp_path / "r-s4")
    assert "r-s4: holds a run already" in failure("train", *SMALL, "--seeds", "3-4", "--out", tmp_path / "r")
    assert not (tmp_path / "r-s3").exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can make one")
def test_a_folder_that_cannot_be_made_is_told_without_numbers(failure):
    assert failure("train", *SMALL, "--out", "/proc/x") == (
        "masktools: error: /proc/x: cannot be made: No such file or directory\n"
    )


def test_default_folder_names_recipe_algorithm_and_seed(tmp_path, output, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output("train", *SMALL, "--algorithm", "static", "--seed", 5)
    assert open_run("runs/digits-static-s5").epochs == (0, 1, 2)


def test_an_occupied_folder_is_kept_unless_told(trained, tmp_path, output, failure):
    path = shutil.copytree(trained, tmp_path / "r")
    before = (path / "epoch-0002.h5").read_bytes()
    assert failure("train", *SMALL[:-1], "--out", path) == (  # nor is it said before that it would be trained
        f"masktools: error: {path}: holds a run already; resume it (--resume), overwrite it (--overwrite), or choose "
        "another directory (--out)\n"
    )
    output("train", *SMALL, "--out", path, "--resume")
    assert (path / "epoch-0002.h5").read_bytes() == before
    assert "epochs was 2, is 1" in failure("train", *SMALL, "--epochs", 1, "--out", path, "--resume")
    (path / "notes.txt").write_text("mine")
    output("train", *SMALL, "--epochs", 1, "--out", path, "--overwrite")
    assert open_run(path).epochs == (0, 1)
    assert (path / "notes.txt").read_text() == "mine"


@pytest.fixture
def stopped(monkeypatch, capsys):
    """Return a function that trains, is stopped, and returns what is said."""

    def call(*arguments, writes=False):
        def stop(recipe, folder, **options):
            if writes:
                RunWriter(folder).describe({"config": {}})
            raise KeyboardInterrupt

        monkeypatch.setattr("masktools_train.training.train", stop)
        assert main(["train", "-q", *map(str, arguments)]) == 130
        warning, error = capsys.readouterr().err.splitlines()
        assert error == "masktools: error: interrupted"
        return warning.removeprefix("masktools: warning: stopped; ")

    return call


def test_a_stopped_training_says_the_command_that_goes_on(stopped, tmp_path):
    path = tmp_path / "my run"
    assert stopped("--out", path) == f"nothing of this training was written into {path}"
    begun = f"this goes on with {path}: masktools train -q --out '{path}'"
    assert stopped("--out", path, "--set", "model.options.widths=[9]", writes=True) == (
        f"{begun} --set 'model.options.widths=[9]' --resume"
    )
    # The run of before is still there, and not what was asked for.
    assert stopped("--out", path, "--overwrite") == f"nothing of this training was written into {path}"
    assert stopped("--out", path, "--overwrite", writes=True) == f"{begun} --resume"
    assert stopped("--out", path, "--resume") == f"{begun} --resume"
    assert stopped("--out", path, "--overwrite", "--", "digits", writes=True) == f"{begun} --resume -- digits"


def test_one_of_several_processes_does_not_know_the_command_that_launched_them(stopped, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    path = tmp_path / "run"
    assert stopped("--out", path, writes=True) == f"the same command with --resume goes on with {path}"


def test_dry_run_writes_nothing(tmp_path, output, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = json.loads(output("train", "--dry-run", "--algorithm", "ltr", "--format", "json"))
    assert list(tmp_path.iterdir()) == []
    assert (plan["size"], plan["target"]) == (50_200, 1_004)
    # 18 prunings of 20 % reach 2 %; each later level starts after two epochs.
    assert plan["epochs"] == 40 + 18 * 38
    assert "nothing was trained" in output("train", "--dry-run")


def test_recipes_are_listed(output):
    found = json.loads(output("train", "--list", "--format", "json"))
    assert sorted(found["recipes"]) == list(packaged_recipes())


def test_a_recipe_file_with_everything_set(tmp_path, output):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        """
        epochs = 1
        batch_size = 100
        label_smoothing = 0.1
        model = { name = "lenet-300-100" }
        data = { name = "digits", augment = ["shift"], shift = 1 }
        optimizer = { name = "adamw", lr = 0.002, weight_decay = 0.01 }
        schedule = { name = "step", milestones = [0.5], warmup_epochs = 0.1 }
        algorithm = { name = "dnw", density = 0.1, dense_layers = ["first"], freeze_epoch = 1 }
        """
    )
    output("train", recipe, "-q", "--out", tmp_path / "r")
    run = open_run(tmp_path / "r")
    layers = run.final.layers
    assert layers["fc1.weight"].active == layers["fc1.weight"].size
    assert not layers["fc1.weight"].prunable
    assert (layers["fc2.weight"].active, layers["fc3.weight"].active) == (3000, 100)
    assert run.info["name"] == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nope",), "recipe 'nope' is neither a file nor a packaged recipe"),
        (("--algorithm", "sgd"), "'sgd' is not one of"),
        (("--density", 0), "algorithm.density"),
        (("--density", 1.5), "algorithm.density"),
        (("--algorithm", "dense", "--density", 0.5), "'dense' keeps all weights"),
        (("--algorithm", "static", "--freeze-epoch", 1), "does not change while it trains"),
        (("--freeze-epoch", 41), "after the last epoch, 40"),
        (("--freeze-when", "kappa>0.9"), "is no rule; write 'kappa>0.9 over 5'"),
        (("--algorithm", "ltr", "--freeze-when", "kappa>0.9 over 5"), "freeze_when: the mask of algorithm 'ltr'"),
        (("--algorithm", "edge-popup", "--distribution", "global"), "does not go with edge-popup; use uniform, erk"),
        (("--algorithm", "ltr", "--distribution", "erk"), "does not go with ltr"),
        (("--model", "nope"), "model 'nope' is unknown"),
        (("--model", "no.such:thing"), "model 'no.such:thing' cannot be imported"),
        (("--data", "nope"), "data 'nope' is unknown"),
        (("--data", "idx", "--data-path", "/no/such"), "/no/such: no such data folder"),
        (("--device", "cuda:99"), "device 'cuda:99' is not there"),
        (("--device", "tpu"), "device 'tpu' is unknown"),
        (("--set", "optimizer.lrr=1"), "optimizer.lrr: unknown key (did you mean optimizer.lr?)"),
        (("--set", "model.options.width=[3]"), "model 'mlp' does not take these options"),
        (("--set", "lr"), "'lr' is not KEY=VALUE"),
        (("--set", "algorithm.options.alpha=2"), "options.alpha"),
        (("--seeds", "0-x"), "'0-x' is no list of seeds"),
        (("--seeds", "1", "--seed", "1"), "cannot be given together"),
        (("--lr", 1e9), "training diverged"),
    ],
)
def test_bad_training_input_is_one_line(arguments, words, failure, tmp_path):
    if "--algorithm" not in arguments and "options.alpha" in words:
        arguments = (*arguments, "--algorithm", "rigl")
    assert words in failure("train", *arguments, "-q", "--out", tmp_path / "r")


def test_bad_options_leave_no_folder(failure, tmp_path):
    failure("train", "--model", "nope", "-q", "--out", tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = = 3", "bad.toml: not TOML"),
        ('algorithm = "dnw"', "algorithm must be a table, got 'dnw'"),
        ("algorithm = { options = 3 }", "algorithm.options must be a table, got 3"),
        ("[algorithms]\ndnw = 3", "algorithms.dnw must be a table, got 3"),
        ("[algorithms.sgd]", "algorithm 'sgd' is unknown"),
        ("epochs = 1979-05-27", "epochs: "),
        ("epochs = 1", "model.name: Field required; data.name: Field required"),
        ("[algorithms.ltr]\nrewind = '9ep'\n[algorithm]\nname = 'ltr'", "is not before the end of training"),
    ],
)
def test_bad_recipe_files(text, words, failure, tmp_path):
    whole = "epochs = 2\nmodel = { name = 'mlp' }\ndata = { name = 'digits' }\n" if "rewind" in words + text else ""
    (tmp_path / "bad.toml").write_text(whole + text)
    assert words in failure("train", tmp_path / "bad.toml", "-q", "--out", tmp_path / "r")


@pytest.mark.parametrize(("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("0,2, 7", [0, 2, 7]), ("3", [3])])
def test_seed_lists(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "1,1", "-1", "a", "3-1", "1-"])
def test_bad_seed_lists(text):
    with pytest.raises(MasktoolsError, match="--seeds"):
        parse_seeds(text)


def test_prune(trained, output, failure):
    found = json.loads(output("prune", trained, "--shares", "1,0.5,0", "--format", "json"))
    run = open_run(trained)
    assert (found["criterion"], found["scope"]) == ("magnitude", "global")
    assert [point["active"] for point in found["curve"]] == [run.final.active, round(run.final.active / 2), 0]
    assert found["curve"][0]["accuracy"] == run.metrics[-1]["test_accuracy"]
    assert found["curve"][0]["density"] == run.final.density
    assert found["curve"][-1]["effective_density"] == 0
    assert all(point["effective_density"] <= point["density"] for point in found["curve"])
    random = json.loads(
        output("prune", trained, "--criterion", "random", "--scope", "layer", "--draws", 3, "--format", "json")
    )
    assert random["draws"] == 3
    assert random["curve"][3]["low"] <= random["curve"][3]["accuracy"] <= random["curve"][3]["high"]
    rows = list(csv.DictReader(io.StringIO(output("prune", trained, "--shares", "0.5", "--format", "csv"))))
    assert float(rows[0]["density"]) == found["curve"][1]["density"]
    assert "without fine-tuning" in " ".join(output("prune", trained, "--shares", "1,0").split())
    assert "shares must lie between 0 and 1" in failure("prune", trained, "--shares", "2")
    assert "is no list of numbers" in failure("prune", trained, "--shares", "half")


def test_runs_of_other_origin_are_refused_in_one_line(mlp_run, failure):
    assert "records no training recipe" in failure("reinit", mlp_run())
    assert "records no training recipe" in failure("prune", mlp_run("other"))


def test_a_settled_mask_is_frozen_and_said(output, tmp_path):
    text = output("train", *SMALL, "--epochs", 4, "--freeze-when", "kappa>=0.01 over 1", "--out", tmp_path / "r")
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert [line["frozen_epoch"] for line in lines] == [None, None, 2, 2, 2]
    assert "The mask is that of epoch 2." in " ".join(text.split())
    log = json.loads(output("info", tmp_path / "r", "--format", "json"))["metrics"]
    assert [line["frozen_epoch"] for line in log] == [None, None, 2, 2, 2]
    assert "frozen_epoch" in output("info", tmp_path / "r")


def test_every_algorithm_is_in_the_documentation():
    rows = DOCS.split("## Algorithms")[1].split("## Freezing")[0]
    named = re.findall(r"^\| `([a-z-]+)` \|", rows, re.MULTILINE)
    assert set(named) == set(REGISTRY)
    for name, algorithm in REGISTRY.items():
        (row,) = (line for line in rows.splitlines() if line.startswith(f"| `{name}` |"))
        assert name == "dense" or f"| {', '.join(algorithm.distributions)} |" in row
        for option, field in algorithm.model_fields.items():
            default = str(field.default).lower() if isinstance(field.default, bool) else f"{field.default}"
            shown = f'"{default}"' if isinstance(field.default, str) else default.removesuffix(".0")
            assert f"`{option}` {shown}" in row, (name, option)


def test_choices_of_the_options_are_those_of_the_registries():
    assert get_args(train_command.AlgorithmName) == tuple(REGISTRY)
    used = {name for algorithm in REGISTRY.values() for name in algorithm.distributions}
    assert set(get_args(train_command.DistributionName)) == used
    assert get_args(prune_command.CriterionName) == tuple(CRITERIA)
    assert get_args(prune_command.ScopeName) == tuple(SCOPES)


def test_help_names_every_model_data_set_and_variant(output):
    text = " ".join(output("train", "--help").split())
    assert all(name in text for name in (*MODELS, *DATA))
    text = output("reinit", "--list", "--format", "csv")
    assert [line.partition(",")[0] for line in text.splitlines()[1:]] == list(VARIANTS)


@pytest.mark.slow
def test_the_training_package_runs_as_a_module(tmp_path):
    command = [sys.executable, "-m", "masktools_train", "digits", *map(str, SMALL), "--out", tmp_path / "r"]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["command"] == "train"
    assert open_run(tmp_path / "r").epochs == (0, 1, 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_frozen_masks_stay_and_need_no_dense_gradient(tmp_path, output):
    output("train", *SMALL, "--epochs", 4, "--freeze-epoch", 2, "--out", tmp_path / "r")
    run = open_run(tmp_path / "r")
    masks = [snapshot.masks() for snapshot in run]
    assert masks[2] == masks[3] == masks[4]
    assert masks[1] != masks[2]
    steps = [record["dense_gradient_steps"] for record in run.metrics]
    assert steps[2] == steps[3] == steps[4] == run.metrics[2]["step"]
