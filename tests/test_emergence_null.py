import numpy as np
import pytest
from synthetic import mlp_topology, random_masks

from masktools.nulls.trial import DrawPlan
from masktools.runs import open_run
from masktools.structure.dynamics.beside_null import approach_trials, hub_kappas
from masktools.structure.dynamics.emergence import emergence

SIZES = (30, 40, 20)


@pytest.fixture
def run(write_run):
    """Return a run whose first mask is independent of the final one, and whose second has half of it."""
    final, other = random_masks(0, 0.2, SIZES), random_masks(1, 0.2, SIZES)
    half = {name: np.where(np.arange(len(mask))[:, None] % 2, mask, other[name]) for name, mask in final.items()}
    return write_run("a", [other, half, final], topology=mlp_topology(SIZES))


def test_each_snapshot_is_beside_random_masks_of_its_own(run):
    found = emergence(run, null="layer", draws=99)
    levels = [trial.level("kappa") for trial in found.trials]
    assert [level.observed for level in levels] == pytest.approx([point.kappa for point in found.curve])
    assert levels[0].p_value > 0.01
    assert [level.p_value for level in levels[1:]] == [1 / 100] * 2
    for level in levels:
        assert level.mean == pytest.approx(0, abs=0.02)
    for side in ("fan_out", "fan_in"):
        observed = [trial.level(f"hub_kappa_{side}").observed for trial in found.trials]
        assert observed == pytest.approx(list(found.hubs[side].kappa))


def test_a_null_of_degrees_keeps_the_hubs(run):
    trials = approach_trials(open_run(run), DrawPlan("degree", 9))
    for trial in trials:
        level = trial.level("hub_kappa_fan_out")
        assert level.low == level.high == level.observed
    assert trials[-1].level("kappa").high < 1


def test_without_a_null_nothing_is_drawn(run):
    record = emergence(run).to_dict()
    assert record["null"] is None
    assert all(point["null"] is None for point in record["curve"])
    drawn = emergence(run, null="neuron", draws=3, seed=2).to_dict()
    assert drawn["null"] == {"name": "neuron", "draws": 3, "seed": 2}
    assert drawn["curve"][0]["null"]["kappa"]["draws"] == 3
    assert {**drawn, "null": None, "curve": None} == {**record, "null": None, "curve": None}


def test_layers_without_units_have_no_hubs():
    bias = {"b": np.ones(4, dtype=bool)}
    assert hub_kappas(bias, bias, {}) == {"fan_out": None, "fan_in": None}
