"""Curves of pruned networks in a few numbers, computed by hand, and means over runs."""

import csv
import dataclasses
import io
import itertools
import json
import math

import pytest

from masktools import robustness_groups
from masktools.render.as_csv import as_csv
from masktools.render.as_json import as_json
from masktools.render.as_table import as_table
from masktools.render.robustness import prune_document
from masktools.render.robustness_groups import robustness_document
from masktools.statistics.curves import falling_crossing, mean_over_log
from masktools.structure.robustness import PrunePoint, PruneResult

SIZE = 1000


def point(share, active, accuracy, effective=None, **rest):
    several = accuracy if isinstance(accuracy, tuple) else (accuracy,)
    return PrunePoint(share, active / SIZE, active, several, None if effective is None else (effective / SIZE,), **rest)


def result(*points, active=100, **rest):
    settings = {
        "run": "runs/a",
        "epoch": 4,
        "algorithm": "dnw",
        "variant": None,
        "active": active,
        "size": SIZE,
        "criterion": "magnitude",
        "scope": "global",
        "draws": max(len(each.accuracies) for each in points),
        "chance_accuracy": 0.1,
    }
    return PruneResult(curve=points, **{**settings, **rest})


def test_where_a_curve_falls_below_a_level():
    # Halfway in accuracy is halfway in the logarithm: the geometric mean of 0.05 and 0.01.
    assert falling_crossing([0.1, 0.05, 0.01], [0.9, 0.7, 0.3], 0.5) == pytest.approx(math.sqrt(0.05 * 0.01))
    # A quarter of the way from 0.8 to 0.4, over two factors of ten.
    assert falling_crossing([1, 0.01], [0.8, 0.4], 0.7) == pytest.approx(10**-0.5)
    # Down to 0 there is no logarithm: a quarter of the way from 0.2.
    assert falling_crossing([1, 0.2, 0], [1.0, 0.8, 0.4], 0.7) == pytest.approx(0.15)
    # What only touches the level is not below it; the first crossing counts, whatever comes after.
    assert falling_crossing([1, 0.5, 0.1], [1.0, 0.5, 0.5], 0.5) is None
    assert falling_crossing([1, 0.5, 0.25], [1.0, 0.5, 0.2], 0.5) == 0.5
    assert falling_crossing([1, 0.1, 0.01, 0.001], [1.0, 0.0, 1.0, 0.0], 0.5) == pytest.approx(10**-0.5)
    assert falling_crossing([1, 0.1], [0.4, 0.2], 0.5) is None
    assert falling_crossing([], [], 0.5) is None
    assert falling_crossing([1, 1], [1.0, 0.0], 0.5) == 1


def test_the_mean_over_a_logarithmic_axis():
    assert mean_over_log([1, 0.1, 0.01], [0.8, 0.6, 0.2]) == pytest.approx((0.7 + 0.4) / 2)
    # Steps of different widths: a factor of 10, then one of 100.
    assert mean_over_log([1, 0.1, 0.001], [0.8, 0.6, 0.2]) == pytest.approx((0.7 + 2 * 0.4) / 3)
    assert mean_over_log([20, 2, 0.2, 0], [0.8, 0.6, 0.2, 0.9]) == pytest.approx((0.7 + 0.4) / 2)
    assert mean_over_log([1, 0.5, 0.3, 0.02], [0.37] * 4) == pytest.approx(0.37)
    for positions in ([], [1], [0], [0.5, 0], [0.5, 0.5]):
        assert mean_over_log(positions, [0.5] * len(positions)) is None


def test_half_of_the_accuracy_above_guessing():
    # From 0.9 with guessing at 0.1 half is 0.5: between 50 and 10 active weights.
    found = result(point(1, 100, 0.9), point(0.5, 50, 0.7), point(0.1, 10, 0.3))
    assert found.half_density == pytest.approx(math.sqrt(0.05 * 0.01))
    assert found.half_share == pytest.approx(math.sqrt(0.5 * 0.1))
    assert found.density == 0.1
    # The shares are those of the trained network, even where the curve does not begin there.
    late = result(point(0.5, 50, 0.9), point(0.1, 10, 0.1))
    assert late.half_share == pytest.approx(math.sqrt(0.5 * 0.1))
    assert result(point(1, 100, 0.9), point(0, 0, 0.1)).half_share == pytest.approx(0.5)
    assert result(point(1, 100, 0.9), point(0.1, 10, 0.5)).half_density is None
    assert result(point(1, 100, 0.1), point(0.1, 10, 0.0)).half_share is None
    # Of several draws the mean counts.
    assert result(point(1, 100, (0.8, 1.0)), point(0.01, 1, (0.0, 0.2))).half_share == pytest.approx(0.1)


def test_areas_and_the_collapse_of_paths():
    found = result(point(1, 100, 0.8, 80), point(0.1, 10, 0.6, 6), point(0.01, 1, 0.2, 0.2), point(0, 0, 0.1, 0))
    assert found.area == pytest.approx((0.7 + 0.4) / 2)
    # Effective densities are 0.8, 0.06 and 0.002 of the trained one.
    assert found.effective_area == pytest.approx(((0.8 + 0.06) / 2 + (0.06 + 0.002) / 2) / 2)
    # Parts of the active weights: 0.8, 0.6 and 0.2; half of the first is halfway between the last two.
    assert found.collapse_share == pytest.approx(10**-1.5)
    assert [each.effective_share for each in found.curve] == pytest.approx([0.8, 0.6, 0.2, None])
    assert result(point(1, 100, 0.8, 80), point(0, 0, 0.1, 0)).collapse_share is None
    unknown = result(point(1, 100, 0.8), point(0.1, 10, 0.6))
    assert (unknown.effective_area, unknown.collapse_share, unknown.curve[0].effective_share) == (None, None, None)
    assert unknown.area == pytest.approx(0.7)
    single = result(point(1, 100, 0.8, 80))
    assert (single.area, single.effective_area, single.half_share) == (None, None, None)
    empty = result(point(1, 0, 0.1, 0), active=0)
    assert (empty.area, empty.effective_area, empty.collapse_share, empty.half_density) == (None, None, None, None)


def test_each_curve_has_its_own_numbers():
    found = result(
        point(1, 100, 0.9, recalibrated=(0.9,), finetuned=(0.5,)),
        point(0.1, 10, 0.1, recalibrated=(0.5,), finetuned=(0.5,)),
        point(0.01, 1, 0.1, recalibrated=(0.1,), finetuned=(0.1,)),
    )
    plain = found.to_dict()
    assert plain["half_share"] == pytest.approx(10**-0.5)
    assert plain["recalibrated"] == pytest.approx({"half_density": 0.01, "half_share": 0.1, "area": 0.5})
    assert plain["finetuned"]["half_share"] == pytest.approx(10**-1.5)
    assert plain["finetuned"]["area"] == pytest.approx(0.4)
    assert [each["recalibrated"] for each in plain["curve"]] == [0.9, 0.5, 0.1]
    assert [each["accuracies"] for each in plain["curve"]] == [[0.9], [0.1], [0.1]]
    nothing = result(point(1, 100, 0.9)).to_dict()
    assert (nothing["recalibrated"], nothing["finetuned"], nothing["curve"][0]["finetuned"]) == (None, None, None)


def test_a_point_has_an_interval_over_draws():
    plain = point(1, 100, (0.7, 0.8, 0.9)).to_dict()
    # t(2) is 4.302653, the standard deviation 0.1.
    assert (plain["accuracy"], plain["high"] - plain["accuracy"]) == pytest.approx((0.8, 4.302653 * 0.1 / math.sqrt(3)))
    assert (point(1, 100, 0.7).to_dict()["low"], plain["effective_density"]) == (None, None)


def three(run, *accuracies, **rest):
    return result(point(1.0, 100, accuracies[0], 80), point(0.1, 10, accuracies[1], 8 * accuracies[1]), run=run, **rest)


def test_groups_are_runs_of_an_algorithm_at_a_density():
    a, b, c = three("a", 0.9, 0.2), three("b", 0.8, 0.3), three("c", 0.7, 0.7)
    rigl = three("d", 0.9, 0.8, algorithm="rigl")
    first, second = robustness_groups([a, rigl, b, c, a])
    assert (first.algorithm, first.runs, first.repeated) == ("dnw", ("a", "b", "c"), ("a",))
    assert (second.algorithm, second.runs, second.repeated) == ("rigl", ("d",), ())
    top = first.curve[0].measures["accuracy"]
    assert (top.interval.mean, top.interval.n) == (pytest.approx(0.8), 3)
    assert top.interval.high - top.interval.mean == pytest.approx(4.302653 * 0.1 / math.sqrt(3))
    assert [each.share for each in first.curve] == [1, 0.1]
    assert first.curve[1].measures["accuracy"].interval.mean == pytest.approx(0.4)
    area = first.measures["area"]
    assert area.interval.mean == pytest.approx((0.55 + 0.55 + 0.7) / 3)
    # The third loses less than half: no mean of the rest.
    half = first.measures["half_share"]
    assert (half.runs, half.defined, half.interval) == (3, 2, None)
    assert first.measures["collapse_share"].defined == 2
    assert first.measures["effective_area"].defined == 3
    alone = second.measures["area"].interval
    assert (alone.mean, alone.low, alone.n) == (pytest.approx(0.85), None, 1)
    plain = first.to_dict()
    assert plain["half_share"] == {"mean": None, "low": None, "high": None, "confidence": None, "runs": 3, "defined": 2}
    assert plain["curve"][0]["accuracy"]["mean"] == pytest.approx(0.8)
    assert plain["curve"][0]["recalibrated"]["defined"] == 0


def test_what_is_not_the_same_is_apart():
    base = three("a", 0.9, 0.2)
    others = [
        {"algorithm": "rigl"},
        {"variant": "new"},
        {"size": 2000, "active": 200},
        {"active": 150},
        {"criterion": "movement"},
        {"scope": "layer"},
    ]
    different = [dataclasses.replace(base, run=f"{n}", **change) for n, change in enumerate(others)]
    assert [group.runs for group in robustness_groups([base, *different])] == [("a",), *((f"{n}",) for n in range(6))]
    near = dataclasses.replace(base, run="near", active=100_050, size=SIZE * 1000)
    far = dataclasses.replace(near, run="far", active=100_000)
    assert [group.runs for group in robustness_groups([near, far])] == [("near", "far")]
    fewer = result(point(1, 100, 0.9, 80), run="fewer")
    (group,) = robustness_groups([base, fewer])
    assert [each.share for each in group.curve] == [1]
    assert robustness_groups([]) == ()


def documents(*results):
    several = len(results) > 1
    return robustness_document(results, robustness_groups(results)) if several else prune_document(results[0])


def test_the_table_of_a_run():
    found = result(
        point(1, 100, 0.9, 80, recalibrated=(0.9,), finetuned=(0.95,)),
        point(0.1, 10, 0.1, 2, recalibrated=(0.6,), finetuned=(0.9,)),
        recalibration_examples=2048,
        finetune_epochs=2,
        finetune_lr=0.01,
    )
    text = " ".join(as_table(documents(found)).split())
    for words in (
        "kept density active accuracy recalibrated fine-tuned effective of active",
        "0.100 0.0100 10 0.100 0.600 0.900 0.0020 0.200",
        "has lost half of what it is above guessing (0.100) at density 0.0316, 32 % of the active weights",
        "recalibrated it never loses half",
        "on 2,048 training examples",
        "2 more epochs at a learning rate of 0.01",
    ):
        assert words in text
    assert "without fine-tuning" not in text
    plain = as_table(documents(result(point(1, 100, (0.9, 0.8), 80), criterion="random")))
    assert "accuracy 95 % effective" in " ".join(plain.split())
    assert "recalibrated" not in plain
    assert "without fine-tuning" in plain
    assert "means over 2 random orders" in " ".join(plain.split())
    assert "intervals here are over as few as 2 random orders" in " ".join(plain.split())
    assert "intervals here" not in text


def test_the_tables_of_several_runs():
    runs = [three("runs/a", 0.9, 0.2), three("runs/b", 0.8, 0.3), three("runs/c", 0.9, 0.8, algorithm="rigl")]
    text = as_table(documents(*runs), width=120)
    assert "Note: intervals here are over as few as 2 runs" in text
    lines = text.split("\n")
    assert lines[1].split() == ["share", "dnw", "rigl"]
    # t(1) is 12.7062, the standard deviation of 0.9 and 0.8 is 0.0707.
    assert lines[3].split() == ["1.000", "0.85", "±0.64", "0.900"]
    assert "Mean over the logarithm of the share: rigl 0.850; dnw 0.550 ±" in text
    assert text.count("Guessing has 0.100.") == 1
    assert "3 runs in 2 groups." in text
    rows = list(csv.DictReader(io.StringIO(as_csv(documents(*runs)))))
    assert [(row["algorithm"], row["runs"], row["share"]) for row in rows] == [
        ("dnw", "2", "1.0"),
        ("dnw", "2", "0.1"),
        ("rigl", "1", "1.0"),
        ("rigl", "1", "0.1"),
    ]
    assert float(rows[0]["accuracy"]) == pytest.approx(0.85)
    assert rows[2]["accuracy_low"] == rows[0]["recalibrated"] == ""
    found = json.loads(as_json(documents(*runs)))
    assert [run["run"] for run in found["runs"]] == ["runs/a", "runs/b", "runs/c"]
    assert [group["runs"] for group in found["groups"]] == [["runs/a", "runs/b"], ["runs/c"]]


def test_columns_of_groups_are_told_apart():
    base = three("a", 0.9, 0.2)
    changes = ({}, {"active": 50}, {"size": 2000, "active": 200}, {"variant": "new"}, {"algorithm": None})
    runs = [dataclasses.replace(base, run=f"{n}", **change) for n, change in enumerate(changes)]
    titles = [column.title or column.name for column in documents(*runs).tables[0].columns[1:]]
    assert all(a != b for a, b in itertools.combinations(titles, 2))
    assert titles[3:] == ["dnw (new)", "unknown"]
    assert titles[1] == "dnw at 0.0500, 1,000 weights"
