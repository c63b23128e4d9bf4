import csv
import dataclasses
import io
import json
import sys

import numpy as np
import pytest
from synthetic import random_masks

from masktools.cli.app import main
from masktools.render.comparison_pairs import pairs_table
from masktools.render.numbers import rate, with_interval
from masktools.structure.comparison import compare
from masktools.structure.comparisons import compare_many
from masktools.structure.connectivity import connectivity
from masktools.structure.dynamics.emergence import emergence
from masktools.structure.explanation import explain

OVERLAP_KEYS = {
    "name",
    "size",
    "active_a",
    "active_b",
    "intersection",
    "jaccard",
    "expected_intersection",
    "z",
    "kappa",
}


def test_info(mlp_run, output):
    path = mlp_run()
    result = json.loads(output("info", path, "--format", "json", "--epoch", 0, "--last", 2))
    assert (result["run"], result["epoch"], result["epochs"], result["step"]) == (str(path), 0, [0, 1, 2, 3], 0)
    assert result["config"] == {"seed": 0, "optimizer": {"lr": 0.1}}
    assert result["info"]["device"] == "cpu"
    assert [(row["name"], row["shape"], row["size"], row["active"], row["density"]) for row in result["layers"]] == [
        ("fc1.weight", [8, 12], 96, 24, 0.25),
        ("fc2.weight", [5, 8], 40, 10, 0.25),
    ]
    assert result["total"] == {"size": 136, "active": 34, "density": 0.25}
    assert [record["epoch"] for record in result["metrics"]] == [2, 3]
    assert result["topology"] is True
    text = output("info", path)
    assert "density = 0.250: 34 of 136 weights are active" in text
    assert "optimizer  lr=0.1" in text
    assert "optimizer.lr  0.1" in output("info", path, "--config")
    assert "train.loss" in text
    assert list(csv.reader(io.StringIO(output("info", path, "--format", "csv"))))[1][:4] == [
        "fc1.weight",
        "8x12",
        "96",
        "24",
    ]


def test_info_of_one_file_and_of_a_run_without_a_log(write_run, output):
    path = write_run("bare", [random_masks(0)])
    result = json.loads(output("info", path / "epoch-0000.h5", "--format", "json"))
    assert (result["epochs"], result["metrics"], result["info"], result["topology"]) == ([0], [], {}, False)
    assert "no operator graph is stored" in output("info", path)


def test_compare_json_has_the_promised_keys(mlp_run, output):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    result = json.loads(output("compare", a, b, "--format", "json"))
    assert list(result)[:6] == ["schema_version", "command", "runs", "epochs", "layers", "total"]
    assert (result["command"], result["runs"], result["epochs"]) == ("compare", [str(a), str(b)], [3, 3])
    assert [row["name"] for row in result["layers"]] == ["fc1.weight", "fc2.weight"]
    for row in (*result["layers"], result["total"]):
        assert row.keys() >= OVERLAP_KEYS
    assert result == {**result, **compare(a, b).to_dict()}
    assert result["nnstd"]["total"]["distance"] == compare(a, b).nnstd.total.distance
    assert result["null"] == {"name": "layer", "draws": 5, "seed": 0}
    assert result["config_differences"] == [{"key": "seed", "a": 0, "b": 1}]


def test_compare_text_ends_with_a_reading(mlp_run, output):
    text = output("compare", mlp_run("a", 0), mlp_run("b", 1))
    total = compare(*(mlp_run(name, seed) for seed, name in enumerate("ab"))).total
    assert f"kappa = {total.kappa:.3f} (chance 0): " in " ".join(text.split())
    assert "seed 0 1 1 configuration key differs." in " ".join(text.split())
    assert max(map(len, text.split("\n"))) <= 80


def test_compare_at_an_epoch_and_across_files(mlp_run, output):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    result = json.loads(output("compare", a, b, "--epoch", "0", "--format", "json"))
    assert result["epochs"] == [0, 0]
    assert result == {**result, **compare(a, b, epoch=0).to_dict()}
    result = json.loads(output("compare", a / "epoch-0000.h5", a / "epoch-0003.h5", "--format", "json"))
    assert result["epochs"] == [0, 3]
    assert json.loads(output("compare", a, b, "--epoch", "-1", "--format", "json"))["epochs"] == [3, 3]


def test_compare_csv(mlp_run, output):
    rows = list(csv.DictReader(io.StringIO(output("compare", mlp_run("a", 0), mlp_run("b", 1), "--format", "csv"))))
    assert rows[0].keys() >= OVERLAP_KEYS
    assert [row["name"] for row in rows] == ["fc1.weight", "fc2.weight", "total"]
    assert int(rows[2]["active_a"]) == 34


def test_compare_more_than_two(mlp_run, output):
    paths = [mlp_run(name, seed) for seed, name in enumerate("abc")]
    result = json.loads(output("compare", *paths, "--format", "json"))
    assert result["runs"] == [str(path) for path in paths]
    assert len(result["pairs"]) == 3
    for pair in result["pairs"]:
        assert pair["total"].keys() >= OVERLAP_KEYS
        assert "no random masks were drawn" in pair["degrees_missing"]
        without = {"degrees": [], "degrees_missing": pair["degrees_missing"]}
        assert pair == compare(*pair["runs"], draws=0, nnstd=False).to_dict() | without
    assert result["matrix"]["kappa"][0][2] == compare(paths[0], paths[2]).total.kappa
    text = output("compare", *paths)
    assert "pairs share runs" in text
    assert "degrees were not compared: no random masks were drawn" in " ".join(text.split())
    rows = list(csv.DictReader(io.StringIO(output("compare", *paths, "--format", "csv"))))
    assert [(row["run_a"], row["run_b"]) for row in rows] == [tuple(pair["runs"]) for pair in result["pairs"]]


def test_compare_with_a_null_and_after_alignment(mlp_run, output):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    options = ("--null", "neuron", "--align", "--draws", 199, "--seed", 4)
    expected = compare(a, b, null="neuron", align="masks", draws=199, seed=4)
    few = compare(a, b, null="neuron", align="masks", draws=9, seed=4)
    told = json.loads(output("compare", a, b, *options, "--draws", 9, "--format", "json"))
    assert told == {**told, **few.to_dict()}
    rows = list(csv.DictReader(io.StringIO(output("compare", a, b, *options, "--draws", 9, "--format", "csv"))))
    assert float(rows[2]["aligned_kappa_null_mean"]) == few.level("aligned_kappa").mean
    assert float(rows[0]["fan_in_distance_null_mean"]) == few.level("fan_in_distance", "fc1.weight").mean
    text = output("compare", a, b, *options)
    flat = " ".join(text.split())
    assert "Shared weights; null: 199 random masks 'neuron'" in flat
    assert "by the same alignment" in flat
    assert f"two-sided p = {rate(expected.level('aligned_kappa').p_two_sided)}" in flat
    assert "p is one-sided: random masks with a distance as small, or a correlation as large" in flat
    headers = [line.split() for line in text.split("\n") if line.startswith("layer")]
    assert "layer side distance null p correlation null p".split() in headers
    assert "is the stricter question: --null degree" in flat
    by_weights = json.loads(output("compare", a, b, "--align-by", "weights", "--draws", 9, "--format", "json"))
    assert by_weights["aligned"]["on"] == "weights"


def test_a_terminal_is_told_of_an_alignment_before_it_begins(mlp_run, capsys, monkeypatch):
    paths = [str(mlp_run(name, seed)) for seed, name in enumerate("abc")]
    call = ["compare", *paths, "--align", "--draws", "2"]
    assert main(call) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(call) == 0
    assert capsys.readouterr().err == "aligning 3 pairs with 2 random masks each\n"


def test_what_is_left_after_alignment_has_a_verdict_over_pairs(mlp_run):
    several = compare_many([mlp_run(name, seed) for seed, name in enumerate("abc")], draws=9, align="masks")

    def as_if(pair, p_value):
        """Take the same numbers for those of 199 draws."""
        levels = {
            key: dataclasses.replace(level, draws=199, p_greater=p_value, p_less=1.0)
            for key, level in pair.trial.levels.items()
        }
        plan = dataclasses.replace(pair.trial.plan, draws=199)
        return dataclasses.replace(pair, trial=dataclasses.replace(pair.trial, plan=plan, levels=levels))

    pairs = tuple(as_if(pair, p_value) for pair, p_value in zip(several.pairs, (0.005, 0.025, 0.03), strict=True))
    table = pairs_table(dataclasses.replace(several, pairs=pairs))
    assert [column.header for column in table.columns if column.shown][2:5] == ["kappa", "null", "p"]
    assert "A small p, one-sided: the pair agrees more" in table.reading
    kappas = sorted(rate(pair.aligned.overlap.total.kappa) for pair in pairs)
    assert f"After alignment kappa = {kappas[0]} to {kappas[-1]}; random masks reach " in table.reading
    assert "by the same alignment: 2 of 3 pairs are above the null (two-sided p at most 0.05, not" in table.reading
    assert table.reading.endswith("is the stricter question: --null degree.")
    few = pairs_table(several)
    assert "p" not in [column.header for column in few.columns if column.shown]


def test_degrees_are_not_shown_beside_masks_that_keep_them(mlp_run, output, short_walk):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    text = " ".join(output("compare", a, b, "--null", "degree", "--draws", 9).split())
    assert "Differences of degrees" not in text
    assert "degrees have no chance level under the null 'degree', which keeps those of every unit" in text
    neuron = output("compare", a, b, "--null", "neuron", "--draws", 9)
    table = neuron.partition("Differences of degrees")[2].partition("Distance 0")[0]
    assert "fan-out" in table
    assert "fan-in" not in table
    assert "fan-in has no chance level under the null 'neuron'" in " ".join(neuron.split())
    rows = list(
        csv.DictReader(io.StringIO(output("compare", a, b, "--null", "degree", "--format", "csv", "--draws", 9)))
    )
    assert rows[0]["fan_in_distance"] == rows[0]["fan_in_distance_null_mean"]


def test_the_best_epoch_is_excused_only_where_it_is_shown(mlp_run, write_run, output):
    record = {"epoch": 1, "test_accuracy": 0.5, "density": 0.5}
    shown, bare = write_run("shown", [random_masks(0)], metrics=[record]), mlp_run()
    assert "The largest test accuracy was chosen by the test examples" in " ".join(output("info", shown).split())
    assert "The last record, that of epoch 1." in output("info", shown)
    other = write_run("other", [random_masks(0)], metrics=[{"epoch": 1, "density": 0.5}, {"epoch": 2, "density": 0.5}])
    for path in (bare, other):
        assert "chosen by the test examples" not in output("info", path)
    assert "The last 2 records, from epoch 1 to epoch 2." in output("info", other)


def test_compare_several_runs_with_a_null(mlp_run, output):
    paths = [mlp_run(name, seed) for seed, name in enumerate("abc")]
    text = " ".join(output("compare", *paths, "--draws", 9, "--nnstd", "--align").split())
    assert "All layers together beside random masks" in text
    assert "There is no verdict with fewer than 199 draws (--draws 199)." in text
    result = json.loads(output("compare", *paths, "--draws", 9, "--nnstd", "--format", "json"))
    assert result["mean"]["kappa"]["runs"] == 3
    assert result["mean"]["kappa"]["low"] <= result["mean"]["kappa"]["mean"] <= result["mean"]["kappa"]["high"]
    assert result["pairs"][2]["nnstd"] == compare(*paths[1:], draws=9).nnstd.to_dict()


def test_compare_every_epoch_with_every_epoch(mlp_run, output, failure):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    result = json.loads(output("compare", a, b, "--epoch", "all", "--format", "json"))
    assert result["epochs"] == [[0, 1, 2, 3]] * 2
    assert result["total"]["kappa"][0][3] == pytest.approx(compare(a / "epoch-0000.h5", b).total.kappa)
    assert result["layers"][1]["name"] == "fc2.weight"
    assert "same epoch of B" in output("compare", a, b, "--epoch", "all")
    rows = list(csv.DictReader(io.StringIO(output("compare", a, a, "--epoch", "all", "--format", "csv"))))
    assert len(rows) == 16
    assert [float(row["kappa"]) for row in rows if row["epoch_a"] == row["epoch_b"]] == [1.0] * 4
    assert "same epoch of B" not in output("compare", a, a, "--epoch", "all")
    for option in (["--align"], ["--null", "layer"], ["--draws", "3"], ["--nnstd"], ["--fail-below", "0"]):
        name = option[0]
        assert f"does not go with {name}" in failure("compare", a, b, "--epoch", "all", *option)
    assert "does not go with a third run" in failure("compare", a, b, a, "--epoch", "all")


def test_alignment_without_a_null_is_refused(mlp_run, failure):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    assert "the same alignment of random masks" in failure("compare", a, b, "--align", "--draws", "0")


def test_alignment_and_nnstd_need_the_operator_graph(write_run, failure, output):
    a, b = write_run("a", [random_masks(0)]), write_run("b", [random_masks(1)])
    assert "a snapshot holds no operator graph" in " ".join(output("compare", a, b).split())
    assert "holds no operator graph" in failure("compare", a, b, "--align")
    assert "holds no operator graph" in failure("compare", a, b, "--nnstd")


def test_explain(mlp_run, output, short_walk):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    result = json.loads(output("explain", a, b, "--draws", 49, "--format", "json"))
    assert result == {**result, **explain(a, b, draws=49).to_dict()}
    assert [rung["null"] for rung in result["total"]["ladder"]] == ["global", "layer", "neuron", "degree"]
    header = next(line for line in output("explain", a, b, "--draws", 199).split("\n") if line.startswith("null"))
    assert header.split() == "null keeps shared 95 % adds kappa left two-sided p".split()
    told = json.loads(output("explain", a, b, "--draws", 199, "--format", "json"))
    last = told["total"]["ladder"][-1]["p_two_sided"]
    assert last != told["total"]["ladder"][-1]["p_value"]
    flat = " ".join(output("explain", a, b, "--draws", 199).split())
    assert f"two-sided p = {rate(last)}" in flat
    assert "adds = what this line explains more" in flat
    few = explain(a, b, draws=9).total[-1]
    assert few.most > few.high
    flat = " ".join(output("explain", a, b, "--draws", 9).split())
    assert f"share {few.least:.0f} to {few.most:.0f} (all 9 draws): no verdict with fewer than 199 draws" in flat
    assert f"[{few.least:.0f}, {few.most:.0f}]" in flat
    text = output("explain", a, b, "--draws", 49)
    assert "shared weights the nulls explain" in " ".join(text.split())
    assert max(map(len, text.split("\n"))) <= 80
    rows = list(csv.DictReader(io.StringIO(output("explain", a, b, "--draws", 9, "--format", "csv"))))
    assert [row["layer"] for row in rows] == ["total"] * 4 + ["fc1.weight"] * 4 + ["fc2.weight"] * 4


def test_compare_gate(mlp_run, output, failure, capsys):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    kappa = compare(a, b).total.kappa
    assert "kappa" in output("compare", a, b, "--fail-below", kappa)
    assert "kappa" in output("compare", a, b, "--fail-below", kappa + 1e-6, status=1)
    assert "kappa" in output("compare", a, a, "--fail-below", 1)
    assert "kappa" in output("compare", a, a, b, "--fail-below", 1, status=1)
    assert "--fail-below: a kappa lies between -1 and 1" in failure("compare", a, b, "--fail-below", "1.5")
    assert "--fail-below: a kappa lies between -1 and 1" in failure("compare", a, b, "--fail-below", "nan")


def test_what_is_given_twice_counts_once(mlp_run, output, failure, tmp_path):
    a, b, c = (mlp_run(name, seed) for seed, name in enumerate("abc"))
    (tmp_path / "link").symlink_to(b)
    again = (a / "epoch-0003.h5", tmp_path / "link", tmp_path / "elsewhere" / ".." / "c")
    (tmp_path / "elsewhere").mkdir()
    once, twice = (json.loads(output("compare", a, b, c, *more, "--format", "json")) for more in ((), again))
    assert {**twice, "notes": once["notes"], "repeated": []} == once
    assert twice["repeated"] == [f"{path} (epoch 3)" for path in again]
    assert twice["mean"]["kappa"]["pairs"] == 3
    assert "given more than once, and counted once: " in " ".join(output("compare", a, b, c, *again).split())
    # Another epoch of the same run is another snapshot.
    assert json.loads(output("compare", a, b, a / "epoch-0000.h5", "--format", "json"))["epochs"] == [3, 3, 0]
    assert "at least two different snapshots, got 3" in failure("compare", a, a, a)
    assert "A and B are the same snapshot" in output("compare", a, again[0])


def test_the_mean_over_pairs_is_there_for_any_number_of_runs(mlp_run, output):
    paths = [mlp_run(f"r{seed}", seed) for seed in range(10)]
    for count, name in ((3, "with 3 runs this"), (9, "with 9 runs this interval is a rough"), (10, "95 % interval")):
        text = " ".join(output("compare", *paths[:count]).split())
        assert "Mean kappa = " in text
        assert name in text
        assert ("95 % interval" in text) == (count >= 10)
    result = json.loads(output("compare", *paths, "--format", "json"))
    mean = result["mean"]["kappa"]
    number = with_interval(mean["mean"], mean["low"], mean["high"])
    assert f"Mean kappa = {number} (chance 0): " in result["readings"][0]


def test_random_masks_that_are_not_drawn_are_not_asked_for(mlp_run, failure):
    a, b, c = (mlp_run(name, seed) for seed, name in enumerate("abc"))
    for more in ((), (c,)):
        options = ("--null", "degree", "--draws", 0)
        assert "--null degree asks for random masks, and --draws 0" in failure("compare", a, b, *more, *options)
    assert "--seed is that of random masks" in failure("compare", a, b, c, "--seed", 0)
    assert "--seed is that of random masks" in failure("compare", a, b, "--seed", 5, "--draws", 0)
    for option in ("--draws", "--seed"):
        assert f"{option} is about random masks, and none are drawn without" in failure("emergence", a, option, 5)


def test_p_values_of_few_draws_are_in_json_alone(mlp_run, output, short_walk):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    told = {}
    for draws in (9, 199):
        for command in (("compare", a, b), ("explain", a, b), ("emergence", a, "--null", "layer")):
            call = (*command, "--draws", draws, "--format")
            if draws == 9:
                assert "p_value" in output(*call, "json")
            rows = list(csv.DictReader(io.StringIO(output(*call, "csv"))))
            keys = [key for key in rows[0] if key.startswith("p_") or "p_value" in key]
            told[draws, command[0]] = [key for key in keys if any(row[key] for row in rows)]
    exact = ["p_value"]  # of the hypergeometric distribution: it needs no draws
    assert [told[9, command] for command in ("compare", "explain", "emergence")] == [exact, [], []]
    assert "kappa_null_p_value" in told[199, "compare"]
    assert "intersection_null_adjusted_p_value" in told[199, "compare"]
    assert told[199, "explain"] == ["p_value", "p_two_sided", "adjusted_p_value"]
    assert "kappa_null_p_value" in told[199, "emergence"]


def test_configurations_that_are_missing_or_alike_are_said_to_be(mlp_run, write_run, output):
    a, b = mlp_run("a", 0), mlp_run("b", 1, config={"seed": 0, "optimizer": {"lr": 0.1}})
    assert "the configurations do not differ." in " ".join(output("compare", a, b).split())
    bare = [write_run(name, [random_masks(9)], config={}) for name in "cd"]
    assert "configurations were not compared: B has no configuration." in " ".join(
        output("compare", a, bare[0]).split()
    )
    result = json.loads(output("compare", bare[0], a, "--format", "json"))
    assert (result["config_differences"], result["config_missing"]) == ([], "A has no configuration")
    assert "neither A nor B has a configuration" in " ".join(output("compare", *bare).split())


def test_an_undecidable_gate_is_an_error_and_no_pass(write_run, capsys):
    dense = {"x.weight": np.ones((2, 3), dtype=np.bool_)}
    a, b = write_run("a", [dense]), write_run("b", [dense])
    assert main(["compare", str(a), str(b), "--fail-below", "0"]) == 2
    captured = capsys.readouterr()
    assert "kappa is undefined" in captured.out
    assert "--fail-below: kappa of" in captured.err


def test_undefined_kappa_is_null(write_run, output):
    dense = {"x.weight": np.ones((2, 3), dtype=np.bool_)}
    a, b = write_run("a", [dense]), write_run("b", [dense])
    total = json.loads(output("compare", a, b, "--format", "json"))["total"]
    assert (total["kappa"], total["z"], total["jaccard"]) == (None, None, 1)


def test_compare_bad_input(mlp_run, write_run, failure, tmp_path):
    a = mlp_run("a")
    other = write_run("other", [random_masks(0, sizes=(12, 9, 5))])
    (tmp_path / "text.h5").write_text("this is no HDF5 file")
    assert "missing: no such run" in failure("compare", a, tmp_path / "missing")
    assert "text.h5: not a readable snapshot" in failure("compare", a, tmp_path / "text.h5")
    message = failure("compare", a, other)
    assert "layer 'fc1.weight' has shape 8x12" in message
    assert str(a) in message
    assert str(other) in message
    assert "no snapshot of epoch 9; there are 0-3" in failure("compare", a, a, "--epoch", 9)
    (tmp_path / "empty").mkdir()
    assert "no snapshots" in failure("compare", a, tmp_path / "empty")


def test_emergence_json_has_the_promised_keys(mlp_run, output):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    result = json.loads(output("emergence", a, b, "--threshold", "0.8", "--format", "json"))
    assert list(result)[:3] == ["schema_version", "command", "runs"]
    assert [run["run"] for run in result["runs"]] == [str(a), str(b)]
    first = result["runs"][0]
    assert first.keys() >= {"run", "threshold", "emergence_epoch", "layers", "curve"}
    assert (first["threshold"], first["emergence_epoch"]) == (0.8, 2)
    assert all(layer.keys() >= {"name", "emergence_epoch"} for layer in first["layers"])
    assert all(point.keys() >= {"epoch", "kappa", "jaccard", "intersection_share"} for point in first["curve"])
    assert first == emergence(a, 0.8).to_dict()


def test_emergence_text_and_csv(mlp_run, output):
    a, b = mlp_run("a", 0), mlp_run("b", 1)
    text = output("emergence", a)
    assert "reaches 0.9 for good from epoch 2 on, of 3" in " ".join(text.split())
    assert "a decaying learning rate freezes masks by itself" in text
    assert max(map(len, text.split("\n"))) <= 80
    rows = list(csv.DictReader(io.StringIO(output("emergence", a, b, "--format", "csv"))))
    assert [(row["run"], row["epoch"]) for row in rows] == [(str(run), str(t)) for run in (a, b) for t in range(4)]
    assert rows[0]["births"] == ""


def test_emergence_says_where_it_is_not_defined(write_run, output):
    masks = {**random_masks(0), "head.weight": np.ones((2, 5), dtype=np.bool_)}
    path = write_run("a", [masks, masks])
    text = output("emergence", path)
    assert "dense at the end" in text
    assert "not defined for 1 dense or empty" in " ".join(text.split())


def test_emergence_bad_input(mlp_run, write_run, failure):
    assert "threshold must lie above 0 and at most 1, got 1.5" in failure("emergence", mlp_run(), "--threshold", 1.5)
    assert "at least two snapshots" in failure("emergence", write_run("one", [random_masks(0)]))
    assert "at least two snapshots" in failure("emergence", mlp_run() / "epoch-0000.h5")
    assert "no such run" in failure("emergence", mlp_run(), "missing")


def test_connectivity_json_has_the_promised_keys(mlp_run, output):
    path = mlp_run()
    result = json.loads(output("connectivity", path, "--draws", 5, "--seed", 3, "--epoch", 0, "--format", "json"))
    assert list(result)[:2] == ["schema_version", "command"]
    assert (result["run"], result["epoch"]) == (str(path), 0)
    for row in result["layers"]:
        assert row.keys() >= {"name", "size", "active", "effective", "dead_out", "ghost_out"}
    assert result["total"].keys() >= {
        "size",
        "active",
        "effective",
        "density",
        "effective_density",
        "log10_paths",
        "components",
    }
    expected = connectivity(path, 0, draws=5, seed=3).to_dict()
    assert {key: result[key] for key in expected} == expected


def test_connectivity_text(mlp_run, output):
    path = mlp_run()
    result = connectivity(path, draws=20)
    text = output("connectivity", path)
    flat = " ".join(text.split())
    assert f"{result.total.effective} of {result.total.active} active weights are effective" in flat
    assert "random masks of the null 'layer' have" in flat
    assert "in 95 % of 20 draws), no verdict with fewer than 199 draws (--draws 199)" in flat
    dead = result.level("dead_out")
    assert f"dead units {result.total.dead_out} {rate(dead.mean)} " in flat
    assert dead.mean > 0
    assert result.total.live_out + result.total.ghost_out + result.total.dead_out == 13
    assert result.total.units == 13 + result.total.inputs
    assert "units, with those of the input 25 " in flat
    assert "two-sided p = " in " ".join(output("connectivity", path, "--draws", 199).split())
    assert f"log10 of paths {result.total.log10_paths:.2f} " in flat  # without kernels there is one number of them
    assert max(map(len, text.split("\n"))) <= 80
    assert "no random masks were drawn" in " ".join(output("connectivity", path, "--draws", 0).split())


def test_connectivity_of_a_network_without_a_path(write_run, output):
    from synthetic import mlp_topology

    masks = {name: np.zeros_like(mask) for name, mask in random_masks(0).items()}
    path = write_run("empty", [masks], topology=mlp_topology())
    assert "No path leads from input to output." in output("connectivity", path)
    assert json.loads(output("connectivity", path, "--format", "json"))["total"]["log10_paths"] is None


def test_connectivity_needs_the_operator_graph(write_run, failure):
    assert "holds no operator graph" in failure("connectivity", write_run("a", [random_masks(0)]))
