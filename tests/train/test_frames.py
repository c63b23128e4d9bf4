"""Every public result as JSON and as a data frame, and both beside what the commands write."""

import csv
import inspect
import io
import json
import math
import sys
import typing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import MLP_SIZES, mlp_topology, random_masks
from valued_runs import Values, write_values

import masktools as mt
import masktools_train
from masktools.cli.app import main
from masktools.errors import MasktoolsError
from masktools.frames import ToFrame
from masktools.importers.result import ImportedEpoch, ImportedLayer, ImportResult
from masktools.nulls.plan import DrawPlan
from masktools.render.as_csv import as_csv
from masktools.render.document import Column, Document, Table
from masktools.render.frames import TABLES, frame_of, rows_of
from masktools.structure.compaction import CompactReport, CompactTotal, Cost, LayerChange, Proof
from masktools.structure.freezing import FreezePoint, FreezeResult
from masktools.structure.reevaluation import ReinitResult, VariantResult
from masktools.structure.robustness import PrunePoint, PruneResult
from masktools.structure.sweep import SweepPart, SweepResult
from masktools_train.progress import EpochRecord
from masktools_train.train_result import TrainResult

SETTINGS = {"DrawPlan", "Recipe"}
"""What has `to_dict` and is no result: it says what is to be done."""

TOPOLOGY = mlp_topology()


def public_results():
    """Return the classes that the public names are, or that public functions return, with `to_dict`."""
    found = set()
    for package in (mt, masktools_train):
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isclass(value):
                kinds = [value]
            else:
                returned = typing.get_type_hints(value).get("return")
                kinds = [returned, *typing.get_args(returned)]
            found |= {kind for kind in kinds if inspect.isclass(kind) and hasattr(kind, "to_dict")}
    return {kind.__name__: kind for kind in found if kind.__name__ not in SETTINGS}


def trained():
    records = (
        EpochRecord(0, 0, 0, None, None, 2.3, 0.1, 20, 0.2, None, 0, 0.5),
        EpochRecord(1, 9, 0, 1.5, 0.5, 1.2, 0.6, 20, 0.2, 0.1, 9, 0.25, None, None, 100, 500, 2700, 13500),
    )
    return TrainResult(Path("runs/a"), {"seed": 0}, "cpu", records)


def pruned(run="runs/a"):
    points = (PrunePoint(1.0, 0.1, 100, (0.9, 0.8), (0.09, 0.08)), PrunePoint(0.5, 0.05, 50, (0.5, 0.6), None))
    return PruneResult(run, 4, "dnw", None, 100, 1000, "random", "global", 2, 0.1, points)


def reinitialised():
    variants = tuple(
        VariantResult(name, (1, 2), (0.8 + plus, 0.9), (0.1, 0.2)) for name, plus in (("new", 0), ("o", 0.05))
    )
    return ReinitResult("runs/a", 4, 0.1, 0.95, 0.1, "new", variants)


def compacted():
    total = CompactTotal(30, 20, 7, 3, {"a norm": 1}, (), Cost(90, 360, 80), Cost(45, 180, 40))
    layers = (LayerChange("a.weight", (8, 4), (5, 4), 9, 6),)
    return CompactReport("runs/x", 3, layers, total, Proof(50, 1e-7, 0.0, 2.0, 2e-5), 128, 1)


def swept():
    return SweepResult(
        "digits",
        tuple(SweepPart({"algorithm.density": 0.1}, seed, {**trained().to_dict(), "config": None}) for seed in (0, 1)),
    )


def weights():
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(mask.shape) for name, mask in random_masks(0).items()}


def trial():
    return mt.run_trial(
        lambda masks, _: {("n", "total"): 1.0, ("n", "fc1.weight"): math.inf}, random_masks(0), DrawPlan("layer", 3)
    )


EXAMPLES = {
    "Alignment": lambda a, b, _: mt.align(random_masks(0), random_masks(1), TOPOLOGY),
    "Bottlenecks": lambda a, b, _: mt.bottlenecks(TOPOLOGY, mt.effective_masks(TOPOLOGY, random_masks(0))),
    "Clustering": lambda a, b, _: mt.clustering(random_masks(0)["fc1.weight"]),
    "CompactReport": lambda a, b, _: compacted(),
    "Comparison": lambda a, b, _: mt.compare(a, b),
    "Comparisons": lambda a, b, _: mt.compare_many([a, b]),
    "Connectivity": lambda a, b, _: mt.connectivity(a, draws=3, measures=["degrees", "bottlenecks"]),
    "ConnectivityCurve": lambda a, b, _: mt.connectivity_curve(a, draws=2),
    "Criteria": lambda a, b, dense: mt.criteria(dense),
    "Emergence": lambda a, b, _: mt.emergence(a),
    "Emergences": lambda a, b, _: mt.emergence_many([a, b]),
    "EpochMatrix": lambda a, b, _: mt.compare_epochs(a, b),
    "Explanation": lambda a, b, _: mt.explain(a, b, draws=3),
    "FreezeResult": lambda a, b, _: FreezeResult(
        ("r", "s"), (0.9, 0.8), 1.0, (FreezePoint.of(1, (0.9, 0.8), (0.8, 0.8), (3, 3), (9, 9), None),)
    ),
    "ImportResult": lambda a, b, _: imported(),
    "Interval": lambda a, b, _: mt.mean_interval([1, 2, 4]),
    "LayerCores": lambda a, b, _: mt.layer_cores(random_masks(0)["fc1.weight"]),
    "LayerDegreeShape": lambda a, b, _: mt.degree_shapes(random_masks(0)["fc1.weight"]),
    "LayerSpectrum": lambda a, b, _: mt.layer_spectrum(random_masks(0)["fc1.weight"]),
    "LayerTails": lambda a, b, _: mt.heavy_tails(random_masks(0, 0.1, (400, 300))["fc1.weight"]),
    "LayerThroughput": lambda a, b, _: mt.throughput(TOPOLOGY, random_masks(0))["fc1.weight"],
    "NetworkPersistence": lambda a, b, _: mt.network_persistence(weights(), random_masks(0)),
    "Nnstd": lambda a, b, _: mt.nnstd(random_masks(0), random_masks(1), TOPOLOGY),
    "NonBacktracking": lambda a, b, _: mt.layer_non_backtracking(random_masks(0)["fc1.weight"]),
    "NullLevel": lambda a, b, _: trial().level("n"),
    "Overlap": lambda a, b, _: overlap(),
    "PairMean": lambda a, b, _: mt.mean_over_pairs([[None, 0.5], [0.5, None]]),
    "PairedDifference": lambda a, b, _: mt.paired_difference([1, 2], [0, 3]),
    "PruneResult": lambda a, b, _: pruned(),
    "ReinitResult": lambda a, b, _: reinitialised(),
    "RobustnessGroup": lambda a, b, _: mt.robustness_groups([pruned(), pruned("runs/b")])[0],
    "RunSummary": lambda a, b, _: mt.summarize(a),
    "SignStability": lambda a, b, dense: mt.sign_stability(dense),
    "SurvivalCurve": lambda a, b, _: mt.kaplan_meier({1: 2, 3: 1}, {2: 1}),
    "SweepResult": lambda a, b, _: swept(),
    "TrainResult": lambda a, b, _: trained(),
    "Trial": lambda a, b, _: trial(),
    "Verification": lambda a, b, _: mt.verify(a),
}
ROWS = {
    "Alignment": MLP_SIZES[1],  # a row a hidden unit
    "Comparison": 3,  # two layers and the total
    "Emergence": 4,  # epochs
    "Emergences": 8,
    "EpochMatrix": 16,
    "LayerTails": 2,
    "Overlap": 3,
    "Nnstd": 3,
    "PruneResult": 2,
    "RunSummary": 3,
    "SignStability": 2,
    "Trial": 2,
}


def imported():
    layer = ImportedLayer("fc.weight", (3, 4), 5, True, "zeros")
    epoch = ImportedEpoch(0, "net.pt", "zeros", "", (), (layer,))
    return ImportResult("runs/r", True, (epoch,), "order", (), None, None, ())


def overlap():
    masks = [{name: mt.PackedMask.from_bool(mask) for name, mask in random_masks(seed).items()} for seed in (0, 1)]
    return mt.overlap_of(*masks)


@pytest.fixture
def dense(tmp_path):
    """Write a run whose weights train behind the mask, as criteria and signs need it."""
    texts, rng = ("110100", "110100", "011001"), np.random.default_rng(0)
    values = [{"fc.weight": rng.standard_normal(6)} for _ in texts]
    epochs = {epoch: Values({"fc.weight": text}, values[epoch]) for epoch, text in enumerate(texts)}
    return write_values(tmp_path / "dense", epochs)


@pytest.fixture
def runs(mlp_run, dense):
    return mlp_run("a", 0), mlp_run("b", 1), dense


def test_every_public_result_is_here():
    found = public_results()
    assert all(issubclass(kind, ToFrame) for kind in found.values())
    assert set(found) == set(EXAMPLES)
    assert set(EXAMPLES) | {"SeedGroup"} == set(TABLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_result_is_json_and_has_rows(runs, name):
    result = EXAMPLES[name](*runs)
    assert type(result).__name__ == name
    json.dumps(result.to_dict(), allow_nan=False)
    frame = result.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.columns.is_unique
    assert len(frame) == ROWS.get(name, len(frame)) > 0
    agree(frame, as_csv(Document("x", {}, (rows_of(result),))))


def agree(frame, text):
    """See that a frame holds what CSV holds, cell by cell."""
    names, *rows = csv.reader(io.StringIO(text))
    assert list(frame.columns) == names
    assert len(frame) == len(rows)
    for place, name in enumerate(names):
        for cell, row in zip(frame[name], rows, strict=True):
            if pd.isna(cell):
                assert row[place] == "", name
            elif isinstance(cell, bool | np.bool_):
                assert row[place] == str(cell).lower(), name
            else:
                assert (row[place] if isinstance(cell, str) else float(row[place])) == cell, name


@pytest.mark.parametrize(
    ("command", "result"),
    [
        (["compare", "a", "b"], lambda: mt.compare("a", "b")),
        (["compare", "a", "b", "--epoch", "all"], lambda: mt.compare_epochs("a", "b")),
        (["explain", "a", "b", "--draws", "3"], lambda: mt.explain("a", "b", draws=3)),
        (["emergence", "a"], lambda: mt.emergence("a")),
        (["connectivity", "a"], lambda: mt.connectivity("a")),
        (["criteria", "dense"], lambda: mt.criteria("dense")),
        (["info", "a"], lambda: mt.summarize("a")),
        (["verify", "a"], lambda: mt.verify("a")),
    ],
)
def test_frames_hold_what_commands_write(runs, command, result, capsys, monkeypatch):
    monkeypatch.chdir(runs[0].parent)
    assert main([*command, "--format", "csv"]) == 0
    agree(result().to_frame(), capsys.readouterr().out)


def test_seeds_have_a_mean_curve(runs):
    (group,) = mt.emergence_many(runs[:2]).groups
    frame = group.to_frame()
    assert frame["epoch"].tolist() == [0, 1, 2, 3]
    assert frame["mean"].tolist()[-1] == 1


class Made(ToFrame):
    """A result of a table that a test chooses."""

    def __init__(self, *columns):
        names = tuple(Column(f"c{place}") for place in range(len(columns)))
        self.table = Table("", names, tuple(zip(*columns, strict=True)), "")


@pytest.fixture
def made(monkeypatch):
    """Let `Made` be a result that there is a table of."""
    from masktools.render import result_tables

    monkeypatch.setattr(result_tables, "made", lambda result: result.table, raising=False)
    monkeypatch.setitem(TABLES, "Made", "result_tables.made")


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        ((1, 2), "int64"),
        ((1, None), "Int64"),
        ((True, None), "boolean"),
        ((True, False), "bool"),
        ((0.5, 1), "float64"),
        ((0.5, None), "float64"),
        ((math.inf, 0.5), "float64"),
        ((math.nan, 1), "Int64"),
        ((None, None), "float64"),
        ((2**70, None), "float64"),
        (("a", None), "str"),
    ],
)
def test_columns_have_the_type_of_their_cells(made, cells, dtype):
    column = Made(cells).to_frame()["c0"]
    assert str(column.dtype).replace("object", "str") == dtype
    gaps = [cell is None or (isinstance(cell, float) and not math.isfinite(cell)) for cell in cells]
    assert column.isna().tolist() == gaps


def test_a_table_without_rows_has_its_columns(made):
    frame = Made((), ()).to_frame()
    assert (list(frame.columns), len(frame)) == (["c0", "c1"], 0)


def test_what_has_no_rows_is_refused():
    with pytest.raises(MasktoolsError, match="int has no rows to make a data frame of"):
        frame_of(3)


def test_without_pandas_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MasktoolsError, match="pip install pandas"):
        mt.mean_interval([1, 2]).to_frame()
