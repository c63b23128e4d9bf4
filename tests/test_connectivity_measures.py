"""Further measures of connectivity: one mechanism for all of them, with nulls, over epochs."""

import json
import math

import networkx as nx
import numpy as np
import pytest
from unrolled import NETS, mlp, random_masks

from masktools.cli.connectivity import MEASURES
from masktools.errors import StructureError
from masktools.nulls.trial import TOTAL, DrawPlan
from masktools.render.as_csv import as_csv
from masktools.render.connectivity import connectivity_document
from masktools.render.connectivity_curve import curve_document
from masktools.structure.connectivity import connectivity, connectivity_of
from masktools.structure.connectivity_curve import connectivity_curve
from masktools.structure.measures.registry import FAMILIES
from masktools.structure.wiring.degree_shape import degree_shapes
from masktools.topology.reach import effective_masks

ALL = tuple(FAMILIES)


def test_the_command_line_knows_every_family():
    assert MEASURES == ALL


@pytest.mark.parametrize("net", NETS)
def test_every_family_measures_every_net_as_it_says(net):
    topology, shapes = NETS[net]()
    masks = random_masks(shapes, 0.4, 0)
    weights = {name: np.random.default_rng(1).standard_normal(mask.shape) * mask for name, mask in masks.items()}
    result = connectivity_of(topology, masks, measures=["all"], weights=weights)
    assert result.families == ALL
    names = {term.name for family in FAMILIES.values() for term in family.terms}
    assert {metric for metric, _ in result.numbers} <= names
    for name, family in FAMILIES.items():
        alone = connectivity_of(topology, masks, measures=[name], weights=weights)
        assert alone.numbers
        assert {metric for metric, _ in alone.numbers} == {term.name for term in family.terms}
        assert all(result.numbers[key] == value for key, value in alone.numbers.items())
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["measures"]["of"] == "mask"


def test_an_unknown_measure_is_named():
    topology, shapes = mlp(3, 2)
    with pytest.raises(StructureError, match=r"measure 'shape' is unknown; there are degrees, .*, and all"):
        connectivity_of(topology, random_masks(shapes, 0.5, 0), measures=["shape"])
    with pytest.raises(StructureError, match="'mask' or of its 'effective' weights, not of 'all'"):
        connectivity_of(topology, random_masks(shapes, 0.5, 0), of="all")


def test_measures_of_effective_weights_only():
    topology, shapes = mlp(9, 8, 7)
    masks = random_masks(shapes, 0.15, 3)
    effective = effective_masks(topology, masks)
    assert any((effective[name] != mask).any() for name, mask in masks.items())
    whole = connectivity_of(topology, masks, measures=["degrees"])
    found = connectivity_of(topology, masks, measures=["degrees"], of="effective")
    assert whole.numbers["fan_in_gini", "fc1"] == degree_shapes(masks["fc1"]).fan_in.gini
    assert found.numbers["fan_in_gini", "fc1"] == degree_shapes(effective["fc1"]).fan_in.gini
    assert whole.numbers != found.numbers


def test_the_core_of_the_network_is_that_of_networkx():
    topology, shapes = NETS["residual"]()
    masks = random_masks(shapes, 0.6, 0)
    result = connectivity_of(topology, masks, measures=["cores"])
    from masktools.topology.neuron_graph import neuron_graph

    numbers = nx.core_number(neuron_graph(topology, masks).to_networkx().to_undirected())
    assert result.numbers["degeneracy", TOTAL] == max(numbers.values())
    assert result.numbers["core_units", TOTAL] == sum(k == max(numbers.values()) for k in numbers.values())


def test_density_alone_explains_what_a_random_mask_has():
    topology, shapes = mlp(30, 30, 30)
    masks = random_masks(shapes, 0.2, 0)
    result = connectivity_of(topology, masks, DrawPlan("degree", 40, 0), measures=["degrees", "cycles"])
    # Shuffles that keep the degrees give the very same Gini coefficient, those that keep the density do not.
    level, density = (at("fan_in_gini", "fc1") for at in (result.level, result.density_level))
    assert level.low == level.high == level.observed
    assert density.low < density.high
    exact = degree_shapes(masks["fc1"]).fan_in.gini_by_density
    assert abs(density.mean - exact) < 4 * density.sd / math.sqrt(density.draws)
    record = result.to_dict()
    assert record["layers"][0]["by_density"]["fan_in_gini"] == density.mean
    same = connectivity_of(topology, masks, DrawPlan("layer", 5, 0), measures=["degrees"])
    assert same.by_density is same.trial


def test_a_hub_is_found_beside_density_and_gone_beside_degrees():
    topology, shapes = mlp(40, 40, 40)
    masks = random_masks(shapes, 0.05, 0)
    masks["fc1"][:5] = True
    plan = DrawPlan("layer", 199, 0)
    level = connectivity_of(topology, masks, plan, measures=["degrees"]).level("fan_in_gini", "fc1")
    assert level.p_two_sided == 2 / 200
    assert level.observed > level.high


def test_curve_has_every_number_of_every_epoch(mlp_run):
    path = mlp_run()
    curve = connectivity_curve(path, measures=["degrees", "bottlenecks"], draws=2)
    assert [epoch.epoch for epoch in curve.epochs] == [0, 1, 2, 3]
    for at in curve.epochs:
        single = connectivity(path, at.epoch, measures=["degrees", "bottlenecks"], draws=2)
        assert single.to_dict() == at.to_dict()
    document = curve_document(curve)
    assert len(document.tables) == 4
    rows = as_csv(document).splitlines()
    assert rows[0] == "epoch,layer,measure,value,null_mean,null_low,null_high,by_density"
    assert len([row for row in rows if row.startswith("2,fc1.weight,fan_in_gini,")]) == 1


def test_the_table_counts_what_lies_beyond_the_draws():
    topology, shapes = mlp(40, 40, 40)
    masks = random_masks(shapes, 0.05, 0)
    masks["fc1"][:5] = True
    few = connectivity_document(connectivity_of(topology, masks, DrawPlan("layer", 9, 0), measures=["degrees"]))
    assert "of 4 are beyond all 9 random masks, at most 0.800 would be by chance" in few.tables[2].reading
    many = connectivity_document(connectivity_of(topology, masks, DrawPlan("layer", 199, 0), measures=["degrees"]))
    assert "differ from the null (adjusted two-sided p at most 0.05)" in many.tables[2].reading


def test_a_layer_that_the_null_cannot_change_is_no_test_of_its_own_degrees():
    topology, shapes = mlp(12, 10, 8)
    masks = random_masks(shapes, 0.3, 0)
    masks["fc1"][:] = True
    result = connectivity_of(topology, masks, DrawPlan("layer", 9, 0), measures=["degrees", "throughput"])
    full, other = (result.level("fan_in_gini", name) for name in ("fc1", "fc2"))
    assert (full.free, full.adjusted_p_value) == (False, None)
    assert other.adjusted_p_value == other.p_value
    # Paths through it depend on the layer behind it, and so do its effective weights.
    assert result.level("path_edges", "fc1").free
    assert result.level("effective", "fc1").free
