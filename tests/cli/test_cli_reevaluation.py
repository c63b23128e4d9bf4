"""``reinit``, ``sweep`` and ``freeze`` through the program, on the embedded data."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from masktools.cli.app import main
from masktools.cli.settings import numbers, values_of
from masktools.errors import MasktoolsError
from masktools.run_lock import locked
from masktools.runs import open_run
from masktools_train.reevaluate.fixed import OVERRIDABLE
from masktools_train.reevaluate.variants.registry import DEFAULT, VARIANTS

SMALL = ("--set", "model.options.widths=[12, 8]", "--set", "data.options.test_share=0.8", "-q")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two seeds of DNW, two epochs each."""
    folder = tmp_path_factory.mktemp("runs")
    options = ["--epochs", "2", "--density", "0.2", "--seeds", "0-1", *SMALL, "--output", str(folder / "result.json")]
    assert main(["train", "--out", str(folder / "dnw"), *options]) == 0
    return [folder / "dnw-s0", folder / "dnw-s1"]


@pytest.mark.slow
def test_reinit_writes_runs_beside_the_run_and_says_what_came_out(runs, output):
    run = runs[0]
    found = json.loads(output("reinit", run, "--seeds", 2, "--epochs", 1, "-q", "--format", "json"))
    assert (found["schema_version"], found["command"], found["run"]) == (1, "reinit", str(run))
    assert found["reference_accuracy"] == open_run(run).metrics[-1]["test_accuracy"]
    assert [variant["variant"] for variant in found["variants"]] == list(DEFAULT)
    beside = run.with_name("dnw-s0-reinit")
    assert len(list(beside.iterdir())) == 6
    for variant in found["variants"]:
        assert variant["seeds"] == [1, 2]
        folders = [beside / f"{variant['variant']}-epochs=1-s{seed}" for seed in (1, 2)]
        assert variant["accuracies"] == [open_run(each).metrics[-1]["test_accuracy"] for each in folders]
        assert variant["mean"] == pytest.approx(np.mean(variant["accuracies"]))
        assert variant["low"] <= variant["mean"] <= variant["high"]
        assert variant["untrained"]["accuracies"] == [open_run(each).metrics[0]["test_accuracy"] for each in folders]
    assert [each["variant"] for each in found["differences"]] == ["original", "layer-shuffled"]
    # All is there already: said again, and nothing trained.
    before = {path: path.stat().st_mtime_ns for path in beside.rglob("*.h5")}
    text = " ".join(output("reinit", run, "--seeds", "1-2", "--epochs", 1, "--baseline", "original", "-q").split())
    assert {path: path.stat().st_mtime_ns for path in beside.rglob("*.h5")} == before
    assert "guessing" in text
    assert "minus original" in text
    rows = list(
        csv.DictReader(io.StringIO(output("reinit", run, "--seeds", 2, "--epochs", 1, "-q", "--format", "csv")))
    )
    assert float(rows[0]["accuracy"]) == found["variants"][0]["mean"]
    assert [row["variant"] for row in rows] == [*DEFAULT, "as trained"]


OPENED = ("rewound", "sign-constant", "degree-shuffled", "other-aligned")


@pytest.mark.slow
def test_every_reevaluation_is_a_run_that_every_command_opens(runs, output, tmp_path):
    call = (
        "reinit",
        runs[0],
        "--seeds",
        "5-5",
        "--variants",
        ",".join(OPENED),
        "--rewind-epoch",
        0,
        "--other",
        runs[1],
    )
    found = json.loads(output(*call, "--out", tmp_path, "--set", "snapshot.weights=dense", "-q", "--format", "json"))
    assert [variant["variant"] for variant in found["variants"]] == list(OPENED)
    again = {open_run(path).config["origin"]["variant"]: path for path in tmp_path.iterdir()}
    assert set(again) == set(OPENED)
    for variant in OPENED:
        info, compared, connected, emerged, checked = (
            json.loads(output(*command, "--format", "json"))
            for command in (
                ("info", again[variant]),
                ("compare", runs[0], again[variant], "--draws", 0),
                ("connectivity", again[variant], "--draws", 0),
                ("emergence", again[variant]),
                ("verify", again[variant]),
            )
        )
        assert info["config"]["origin"]["variant"] == variant
        assert info["metrics"][-1]["test_accuracy"] == found["variants"][OPENED.index(variant)]["accuracies"][0]
        assert compared["total"]["active_a"] == compared["total"]["active_b"] or variant == "other-aligned"
        assert (compared["total"]["jaccard"] == 1) == (variant in ("rewound", "sign-constant"))
        assert connected["total"]["active"] == open_run(again[variant]).final.active
        assert emerged["runs"][0]["emergence_epoch"] == 0
        assert checked["problems"] == 0


def test_reinit_of_an_early_mask_and_of_the_working_directory(runs, output, monkeypatch):
    monkeypatch.chdir(runs[1])
    output("reinit", ".", "--variants", "new", "--seeds", 1, "--epochs", 1, "--from-epoch", 1, "-q")
    again = open_run(runs[1].with_name("dnw-s1-reinit") / "new-e1-epochs=1-s2")
    assert again.config["origin"]["epoch"] == 1
    assert again.final.masks() == open_run(runs[1]).at(1).masks()


def test_reinit_lists_its_variants(output):
    found = json.loads(output("reinit", "--list", "--format", "json"))
    assert found["variants"] == [{"variant": v.name, "summary": v.summary} for v in VARIANTS.values()]
    assert [line.partition(",")[0] for line in output("reinit", "--list", "--format", "csv").splitlines()[1:]] == list(
        VARIANTS
    )
    assert "Choose with --variants" in output("reinit", "--list")
    text = " ".join(output("reinit", "--help").split())
    assert all(name in text for name in DEFAULT)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "reinit needs a RUN; --list shows the variants"),
        (("RUN/no",), "no such run"),
        (("RUN", "--variants", "old"), "variant 'old' is unknown"),
        (("RUN", "--variants", "new,,original"), "variant '' is unknown"),
        (("RUN", "--variants", "new,other"), "name it (--other RUN)"),
        (("RUN", "--variants", "rewound"), "a run of dnw rewinds to no epoch; name one (--rewind-epoch N)"),
        (("RUN", "--variants", "tap-shuffled"), "nothing can be shuffled"),
        (("RUN", "--rewind-epoch", "1"), "--rewind-epoch goes with variant rewound"),
        (("RUN", "--other", "RUN"), "--other goes with variants other and other-aligned"),
        (("RUN", "--baseline", "old"), "baseline 'old' is none of the variants"),
        (("RUN", "--seeds", "0,1"), "seeds: 0 is the run's own"),
        (("RUN", "--seeds", "0"), "seeds: at least one is needed"),
        (("RUN", "--seeds", "x"), "--seeds: 'x' is no list of seeds"),
        (("RUN", "--from-epoch", "9"), "no snapshot of epoch 9"),
        (("RUN", "--set", "model.name=mlp"), "model.name: cannot be set for a re-evaluation"),
        (("RUN", "--set", "optimizer.lrr=1"), "optimizer.lrr: unknown key"),
        (("RUN", "--other", "nowhere", "--variants", "other"), "nowhere: no such run"),
        (("RUN", "--device", "cuda:99"), "device 'cuda:99' is not there"),
        (("RUN", "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"), "give one of them"),
    ],
)
def test_bad_reinit_is_one_line(arguments, words, runs, failure, tmp_path):
    given = [str(runs[0]) if each == "RUN" else each.replace("RUN", str(runs[0])) for each in arguments]
    assert words in failure("reinit", *given, "-q", "--out", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.slow
def test_sweep_trains_every_combination(tmp_path, output, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = (
        "sweep",
        "--algorithms",
        "dnw,dense",
        "--densities",
        "0.2,0.1",
        "--seeds",
        "0-1",
        "--set",
        "epochs=1",
        *SMALL,
    )
    found = json.loads(output(*call, "--format", "json"))
    assert (found["schema_version"], found["command"], found["name"]) == (1, "sweep", "digits")
    assert set(found) >= {"groups", "runs"}
    assert [group["settings"] for group in found["groups"]] == [
        {"algorithm.name": "dnw", "algorithm.density": 0.2},
        {"algorithm.name": "dnw", "algorithm.density": 0.1},
        {"algorithm.name": "dense"},
    ]
    keys = {"settings", "accuracy", "density", "dense_gradient_share", "training_flops_ratio", "seconds", "seeds"}
    assert set(found["groups"][0]) == keys
    assert sorted(path.name for path in (tmp_path / "runs" / "digits-sweep").iterdir()) == sorted(
        [*(f"dnw-density={d}-s{s}" for d in (0.2, 0.1) for s in (0, 1)), "dense-s0", "dense-s1"]
    )
    for run in found["runs"]:
        assert open_run(run["run"]).metrics[-1]["test_accuracy"] == run["test_accuracy"]
        assert open_run(run["run"]).config["seed"] == run["seed"]
    group = found["groups"][2]
    assert group["accuracy"]["mean"] == pytest.approx(np.mean([run["test_accuracy"] for run in found["runs"][4:]]))
    assert json.loads(output(*call, "--format", "json")) == found
    rows = list(csv.DictReader(io.StringIO(output(*call, "--format", "csv"))))
    assert [(row["name"], row["density"]) for row in rows] == [("dnw", "0.2"), ("dnw", "0.1"), ("dense", "")]
    assert "Most accurate: dense" in output(*call)


def test_sweep_shows_what_it_would_do(tmp_path, output, monkeypatch):
    monkeypatch.chdir(tmp_path)
    grid = ("--algorithms", "dnw", "--freeze-epochs", "never,1", "--vary", "model.options.widths=[12,8],[4]")
    plan = json.loads(output("sweep", *grid, "--seeds", "3", "--dry-run", "--format", "json"))
    assert plan["out"] == "runs/digits-sweep"
    assert [run["run"] for run in plan["runs"]] == [
        "dnw-widths=_12,_8_-s3", "dnw-widths=_4_-s3",
        "dnw-freeze_epoch=1-widths=_12,_8_-s3", "dnw-freeze_epoch=1-widths=_4_-s3",
    ]  # fmt: skip
    assert plan["runs"][0] == {
        "run": "dnw-widths=_12,_8_-s3", "algorithm": "dnw", "density": 0.02, "epochs": 40, "seed": 3,
    }  # fmt: skip
    text = " ".join(output("sweep", *grid, "--dry-run", "--out", "here").split())
    assert "20 trainings would be written into here" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nope",), "recipe 'nope' is neither a file nor a packaged recipe"),
        (("--algorithms", "dnw,sgd"), "algorithm 'sgd' is unknown"),
        (("--algorithms", "dnw,"), "--algorithms: 'dnw,' is no list with commas"),
        (("--algorithms", "dnw,dnw"), "algorithm.name: at least one value is needed, and none twice"),
        (("--densities", "0.1,x"), "--densities: '0.1,x' is no list of numbers"),
        (("--densities", "0.1,2"), "algorithm.density"),
        (("--freeze-epochs", "never,x"), "--freeze-epochs: 'x' is no epoch"),
        (("--freeze-epochs", "-1"), "--freeze-epochs: '-1' is no epoch"),
        (("--freeze-epochs", "99"), "freeze_epoch 99 is after the last epoch, 40"),
        (("--algorithms", "static", "--freeze-epochs", "1"), "the mask of algorithm 'static' does not change"),
        (("--vary", "optimizer.lr"), "--vary: 'optimizer.lr' is not KEY=VALUE"),
        (("--vary", "optimizer.lrr=1,2"), "optimizer.lrr: unknown key"),
        (("--vary", "optimizer.lr="), "--vary: '' is no list with commas"),
        (("--vary", "algorithm.density=0.1", "--densities", "0.2"), "--vary: algorithm.density is varied already"),
        (("--densities", "0.1,0.2", "--set", "algorithm.density=0.3"), "algorithm.density: cannot be set and varied"),
        (("--vary", "seed=1,2"), "seed: is set by the seeds"),
        (("--set", "seed=1"), "seed: is set by the seeds"),
        (("--seeds", "1,1"), "names one seed twice"),
    ],
)
@pytest.mark.parametrize("plan", [(), ("--dry-run",)])
def test_bad_sweeps_are_one_line(arguments, words, plan, failure, tmp_path):
    assert words in failure("sweep", *arguments, *plan, "-q", "--out", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_recipe_file_that_is_none(failure, tmp_path):
    (tmp_path / "bad.toml").write_text('algorithm = "dnw"')
    assert "algorithm must be a table, got 'dnw'" in failure("sweep", tmp_path / "bad.toml", "-q")


def test_progress_of_a_sweep_counts_its_parts(tmp_path, capsys):
    options = ["--set", "epochs=1", "--set", "model.options.widths=[8]", "--out", str(tmp_path), "--seeds", "0-1"]
    assert main(["sweep", *options]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"2 trainings into {tmp_path}"
    assert [line.partition(":")[0] for line in lines if line[1:3] == "/2"] == ["1/2 dnw-s0", "2/2 dnw-s1"]


def test_freeze_compares_with_the_runs(runs, output, tmp_path):
    found = json.loads(output("freeze", *runs, "--at", "0-1", "--out", tmp_path, "-q", "--format", "json"))
    assert (found["schema_version"], found["command"], found["runs"]) == (1, "freeze", list(map(str, runs)))
    own = [open_run(run).metrics[-1]["test_accuracy"] for run in runs]
    assert found["accuracies"] == own
    assert [point["epoch"] for point in found["points"]] == [0, 1]
    for point in found["points"]:
        frozen = [open_run(tmp_path / run.name / f"e{point['epoch']}") for run in runs]
        accuracies = [run.metrics[-1]["test_accuracy"] for run in frozen]
        assert point["accuracies"] == accuracies
        assert point["lost"]["mean"] == pytest.approx(np.mean(np.subtract(own, accuracies)))
        assert point["dense_gradient_share"] == point["epoch"] / 2
    rows = list(
        csv.DictReader(io.StringIO(output("freeze", *runs, "--at", "0,1", "--out", tmp_path, "-q", "--format", "csv")))
    )
    assert [row["frozen_at"] for row in rows] == ["0", "1", "never"]
    text = " ".join(output("freeze", *runs, "--at", "1", "--out", tmp_path, "-q").split())
    assert "50 % of the steps used the gradient of inactive weights instead of 100 %" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("RUN", "--at", "3"), "freeze_epoch 3 is after the last epoch, 2"),
        (("RUN", "--at", "x"), "--at: 'x' is no list of epochs"),
        (("RUN", "--at", "1,1"), "--at: '1,1' names one epoch twice"),
        (("RUN", "RUN", "--at", "1"), "give no run twice"),
        (("nowhere",), "nowhere: no such run"),
        ((), "Missing argument"),
    ],
)
def test_bad_freezing_is_one_line(arguments, words, runs, failure, tmp_path):
    given = [str(runs[0]) if each == "RUN" else each for each in arguments]
    assert words in failure("freeze", *given, "-q", "--out", tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_what_to_do_with_a_run_without_a_recipe(mlp_run, tmp_path, failure, output):
    with_recipe = "with --recipe NAME for data and optimizer and --model NAME for the network\n"
    np.savez(tmp_path / "net.npz", **{"fc.weight": np.eye(4, dtype=np.float32)})
    output("import", tmp_path / "net.npz", "-o", tmp_path / "imported")
    recorded = mlp_run()
    for command in ("reinit", "prune", "compact"):
        assert failure(command, tmp_path / "imported").endswith(f"again: import it once more, {with_recipe}")
        assert failure(command, recorded).endswith(f"import that (docs/own_loop.md), {with_recipe}")
    for run in (tmp_path / "imported", recorded):  # to import it with a recipe would be of no use
        assert failure("freeze", run).endswith("the algorithm that made the masks; give runs of masktools train\n")


def test_keys_that_make_a_recipe_unusable_are_named(runs, tmp_path, failure):
    path = shutil.copytree(runs[0], tmp_path / "run")
    told = json.loads((path / "run.json").read_text("utf-8"))
    told["config"]["optimizer"]["colour"] = "red"
    (path / "run.json").write_text(json.dumps(told), "utf-8")
    assert "missing, unknown or out of range: optimizer.colour" in failure("prune", path)


def test_trainings_go_beside_the_run_and_are_named_as_it_is(runs, tmp_path, monkeypatch, failure):
    shutil.copytree(runs[0], tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    Path("run-reinit/new-s1").mkdir(parents=True)
    with locked(Path("run-reinit/new-s1")):
        for name, said in (("run", "run-reinit"), (tmp_path / "run", tmp_path / "run-reinit")):
            assert f": {said}/new-s1: another process" in failure(
                "reinit", name, "--variants", "new", "--seeds", 1, "-q"
            )


def test_runs_of_other_origin_are_refused_in_one_line(mlp_run, failure):
    assert "records no training recipe" in failure("reinit", mlp_run())
    assert "records no training recipe" in failure("freeze", mlp_run("other"))


DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_every_variant_and_says_what_the_program_says():
    text = (DOCS / "reinit.md").read_text("utf-8").partition("## Variants")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if line.startswith("| `")]
    assert [(row[0].strip("| `"), row[1]) for row in rows] == [(v.name, v.summary) for v in VARIANTS.values()]
    assert all(row[2].strip(" |") for row in rows)


def test_the_page_names_what_may_be_changed():
    text = (DOCS / "reinit.md").read_text("utf-8").partition("## What is trained")[2].partition("\n## ")[0]
    assert all(f"`{key}`" in text for key in OVERRIDABLE)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1, 0.05", [0.1, 0.05]),
        ("sgd,adamw", ["sgd", "adamw"]),
        ("[12, 8],[4]", [[12, 8], [4]]),
        ("true,false", [True, False]),
        ("a, 3", ["a", 3]),
    ],
)
def test_lists_of_values(text, values):
    assert values_of(text, "--vary") == values


@pytest.mark.parametrize("text", ["", ",", "a,,b", "1,,2"])
def test_lists_with_gaps(text):
    with pytest.raises(MasktoolsError, match=r"--vary: .*no list with commas"):
        values_of(text, "--vary")
    with pytest.raises(MasktoolsError, match="--shares: "):
        numbers(text, "--shares")
