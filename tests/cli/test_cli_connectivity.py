"""``connectivity`` with further measures, ``info --graph`` and ``export``."""

import csv
import io
import json

import networkx as nx
import pytest

from masktools.cli.app import main


def test_measures(mlp_run, output):
    path = mlp_run()
    options = ("--measures", "degrees,cores", "--null", "degree", "--draws", 3)
    result = json.loads(output("connectivity", path, *options, "--format", "json"))
    assert result["measures"] == {"families": ["degrees", "cores"], "of": "mask"}
    layer = result["layers"][0]
    assert layer["measures"].keys() >= {"fan_in_gini", "fan_out_cv", "degeneracy"}
    assert layer["null"]["fan_in_gini"]["draws"] == 3
    assert layer["by_density"].keys() >= {"fan_in_gini", "effective"}
    text = output("connectivity", path, "--measures", "degrees", "--draws", 3)
    assert "Gini fan-in" in text
    assert max(map(len, text.splitlines())) <= 80
    table = output("connectivity", path, "-m", "degrees", "--draws", 0, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {row["measure"] for row in rows} >= {"effective", "fan_in_gini"}
    assert all(row["null_mean"] == "" for row in rows)


def test_epoch_all_is_a_curve(mlp_run, output):
    path = mlp_run()
    result = json.loads(output("connectivity", path, "--epoch", "all", "--draws", 0, "--format", "json"))
    assert result["epochs"] == [0, 1, 2, 3]
    assert [at["epoch"] for at in result["curve"]] == [0, 1, 2, 3]
    text = output("connectivity", path, "--epoch", "all", "--measures", "all", "--draws", 2)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--measures", "shape"], "'shape' is no measure; there are degrees,"),
        (["--epoch", "some"], "'some' is neither a number nor 'all'"),
        (["--of", "weights"], "--of"),
    ],
)
def test_bad_options_are_named(mlp_run, capsys, options, words):
    assert main(["connectivity", str(mlp_run()), *options]) == 2
    assert words in capsys.readouterr().err


def test_info_draws_the_graph(mlp_run, output):
    path = mlp_run()
    text = output("info", path, "--graph")
    assert "linear fc1.weight 8 density 0.250" in text
    result = json.loads(output("info", path, "--graph", "--format", "json"))
    assert [0, 1] in result["edges"]
    assert result["nodes"][1]["weights"] == 96


@pytest.mark.parametrize(("ending", "graph"), [("graphml", "operators"), ("dot", "operators"), ("graphml", "neurons")])
def test_export(mlp_run, capsys, tmp_path, ending, graph):
    path, file = mlp_run(), tmp_path / f"network.{ending}"
    assert main(["export", str(path), "-o", str(file), "--graph", graph]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err.startswith(f"{file}: ")) == ("", True)
    if ending == "graphml":
        assert len(nx.read_graphml(file)) == (25 if graph == "neurons" else len(nx.read_graphml(file)))
    else:
        assert file.read_text().startswith("digraph")


def test_export_refuses_what_it_cannot_write(mlp_run, tmp_path, capsys):
    path = mlp_run()
    assert main(["export", str(path), "-o", str(tmp_path / "network.png")]) == 2
    assert "network.png: no format has this ending; there are .graphml, .dot, .npz" in capsys.readouterr().err
    assert main(["export", str(path), "-o", str(tmp_path / "network.dot"), "--graph", "neurons"]) == 2
    assert "this format takes --graph operators" in capsys.readouterr().err
    assert main(["export", str(path), "-o", str(tmp_path / "no" / "network.dot")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert list(tmp_path.glob("network*")) == []
