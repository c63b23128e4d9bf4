import json

import numpy as np
import pytest
from synthetic import pack, random_masks

from masktools.errors import StructureError
from masktools.statistics.intervals import mean_interval
from masktools.structure.dynamics.emergence import emergence, emergence_of
from masktools.structure.dynamics.groups import GroupMean, emergence_many, seed_groups


def moved(arrival, label="run", snapshots=6, seed=0):
    """A run whose mask is the final one from an epoch on."""
    start, end = pack(random_masks(seed)), pack(random_masks(seed + 100))
    return emergence_of([(t, end if t >= arrival else start) for t in range(snapshots)], end, label=label, window=2)


def still(label):
    """A run without an emergence epoch."""
    dense = pack({"fc1.weight": np.ones((8, 12), dtype=np.bool_), "fc2.weight": np.ones((5, 8), dtype=np.bool_)})
    return emergence_of([(t, dense) for t in range(6)], dense, label=label, window=2)


def test_means_over_runs():
    runs = [moved(t, f"r{t}", seed=t) for t in (1, 2, 4)]
    (group,) = seed_groups(runs, [{"seed": t, "lr": 0.1} for t in (1, 2, 4)])
    assert (group.runs, group.seeds, group.repeated) == (("r1", "r2", "r4"), (1, 2, 4), ())
    assert group.measures["emergence_epoch"] == GroupMean(3, 3, mean_interval([1, 2, 4]))
    # The mask moves once, at epoch t, and has been the same over the two masks of the window one snapshot later,
    # or, where it stood still before, at the first full window.
    early = [run.early_bird.epoch for run in runs]
    assert early == [2, 1, 1]
    assert group.measures["early_bird_epoch"].interval == mean_interval(early)
    ends = [run.curve[-1].turnover.exploration for run in runs]
    assert group.measures["exploration"].interval == mean_interval(ends)
    assert [point.epoch for point in group.curve] == list(range(6))
    third = [run.curve[3].kappa for run in runs]
    assert group.curve[3].kappa.interval == mean_interval(third)
    assert third[0] == third[1] == 1 != third[2]


def test_a_number_that_one_run_lacks_has_no_mean():
    runs = [moved(1, "a"), still("b"), moved(2, "c")]
    (group,) = seed_groups(runs, [{"seed": seed} for seed in range(3)])
    assert group.measures["emergence_epoch"] == GroupMean(3, 2, None)
    assert group.measures["emergence_epoch"].to_dict() == {
        "mean": None,
        "low": None,
        "high": None,
        "confidence": None,
        "runs": 3,
        "defined": 2,
    }
    assert group.curve[0].kappa.defined == 2
    assert group.measures["exploration"].defined == 3


def test_only_epochs_that_all_have():
    short, long = moved(1, "a", snapshots=3), moved(1, "b", snapshots=5)
    (group,) = seed_groups([short, long], [{"seed": 0}, {"seed": 1}])
    assert [point.epoch for point in group.curve] == [0, 1, 2]


def test_who_belongs_together():
    configs = [
        {"seed": 0, "optimizer": {"lr": 0.1}},
        {"seed": 0, "optimizer": {"lr": 0.2}},
        {"seed": 1, "optimizer": {"lr": 0.1}},
        {"optimizer": {"lr": 0.1}},
        {"seed": None, "optimizer": {"lr": 0.1}},
        {"seed": 1, "optimizer": {"lr": 0.2}},
        {"seed": 3, "optimizer": {"lr": 0.3}},
        {},
        {},
    ]
    runs = [moved(1, str(place)) for place in range(len(configs))]
    assert [group.runs for group in seed_groups(runs, configs)] == [("0", "2"), ("1", "5")]


def test_the_same_seed_twice_is_no_repetition():
    runs = [moved(1, "a"), moved(2, "b", seed=1), moved(1, "again")]
    (group,) = seed_groups(runs, [{"seed": 0}, {"seed": 1}, {"seed": 0}])
    assert (group.runs, group.repeated) == (("a", "b"), ("again",))
    assert group.measures["emergence_epoch"].runs == 2
    assert seed_groups([runs[0], runs[2]], [{"seed": 0}, {"seed": 0}]) == ()


def test_runs_on_disk(mlp_run):
    paths = [mlp_run(f"s{seed}", seed) for seed in range(3)]
    result = emergence_many([*paths, mlp_run("other", 5, config={"seed": 5, "optimizer": {"lr": 0.7}})], 0.8, window=2)
    assert [run.run for run in result.runs][:3] == [str(path) for path in paths]
    (group,) = result.groups
    assert group.seeds == (0, 1, 2)
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told["runs"][0] == emergence(paths[0], 0.8, 2).to_dict()
    assert told["groups"][0]["emergence_epoch"] == {
        "mean": 2,
        "low": 2,
        "high": 2,
        "confidence": 0.95,
        "runs": 3,
        "defined": 3,
    }
    assert [point["epoch"] for point in told["groups"][0]["curve"]] == [0, 1, 2, 3]


def test_no_runs():
    with pytest.raises(StructureError, match="at least one run"):
        emergence_many([])
