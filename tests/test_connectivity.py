import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unrolled import NETS, Build, effective, full_masks, mlp, random_masks, reached, unrolled

from masktools.errors import RunError, StructureError
from masktools.nulls.shuffles import layer_shuffle, shuffled
from masktools.nulls.trial import DrawPlan
from masktools.run_writer import RunWriter
from masktools.runs import open_run
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.structure.connectivity import connectivity, connectivity_of
from masktools.topology.paths import log10_paths
from masktools.topology.reach import effective_masks
from masktools.topology.units import weak_components


def by_hand():
    """4 inputs, 3 hidden units, 2 outputs: hidden 0 live, hidden 1 ghost, hidden 2 dead; output 1 a ghost."""
    topology, shapes = mlp(4, 3, 2)
    masks = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    masks["fc1"][0, [0, 1]] = True
    masks["fc1"][2, 3] = True
    masks["fc2"][0, [0, 1]] = True
    return topology, masks


def test_a_small_network_by_hand():
    topology, masks = by_hand()
    result = connectivity_of(topology, masks)
    first, second = result.layers
    assert (first.name, first.size, first.active, first.effective) == ("fc1", 12, 3, 2)
    assert (first.live_out, first.ghost_out, first.dead_out, first.units_out) == (1, 1, 1, 3)
    assert (first.units_in, first.used_in) == (4, 2)
    assert (second.active, second.effective, second.live_out, second.ghost_out, second.dead_out) == (2, 1, 1, 1, 0)
    assert (second.units_in, second.used_in) == (3, 1)
    total = result.total
    assert (total.size, total.active, total.effective) == (18, 5, 3)
    assert (total.density, total.effective_density) == (5 / 18, 3 / 18)
    assert (total.live_out, total.ghost_out, total.dead_out) == (2, 2, 1)
    assert (total.inputs, total.inputs_used) == (4, 2)
    assert total.log10_paths == math.log10(2)
    # {inputs 0 and 1, hidden 0 and 1, output 0}, {input 3, hidden 2}, and input 2 and output 1 alone.
    assert (total.units, total.components, total.isolated, total.giant_share) == (9, 4, 2, 5 / 9)


def test_to_dict_has_the_published_keys_and_is_json():
    topology, masks = by_hand()
    record = connectivity_of(topology, masks, DrawPlan("layer", 3)).to_dict()
    assert record.keys() == {"run", "epoch", "null", "measures", "layers", "total"}
    assert record["layers"][0].keys() >= {"name", "size", "active", "effective", "dead_out", "ghost_out"}
    assert record["total"].keys() >= {
        *("size", "active", "effective", "density", "effective_density", "log10_paths", "components"),
        *("isolated", "giant_share", "inputs_used", "null"),
    }
    counted = {"effective", "live_out", "ghost_out", "dead_out"}
    assert record["total"]["null"].keys() == {*counted, "log10_paths", "components"}
    assert record["total"]["null"]["effective"].keys() >= {"observed", "mean", "low", "high", "draws", "p_value"}
    assert record["layers"][0]["null"].keys() == counted
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_without_a_path_the_logarithm_is_null():
    topology, shapes = mlp(3, 2)
    total = connectivity_of(topology, {"fc1": np.zeros(shapes["fc1"], dtype=bool)}).total
    assert total.log10_paths == -math.inf
    assert total.to_dict()["log10_paths"] is None
    assert (total.effective, total.ghost_out, total.dead_out, total.inputs_used) == (0, 2, 0, 0)


def test_paths_of_channels_that_positions_do_not_have_are_not_counted():
    b = Build()
    x = b.input(1, 1, 2)
    for name in "ab":
        x = b.conv(x, 1, name, kernel=(1, 3), padding=(0, 1))
    topology, shapes = b.done(x)
    masks = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    # Either convolution reads the left neighbour: after two of them a map of two columns is empty.
    masks["a"][..., 0] = masks["b"][..., 0] = True
    assert log10_paths(topology, masks) == 0.0
    total = connectivity_of(topology, masks).total
    assert (total.effective, total.log10_paths) == (0, -math.inf)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("density", [0.05, 0.15, 0.4, 1.0])
def test_units_equal_those_of_the_unrolled_graph(net, density):
    topology, shapes = NETS[net]()
    for seed in range(3):
        masks = random_masks(shapes, density, seed)
        graph = unrolled(topology, masks)
        ahead = reached(topology, graph, "input", "forward")
        back = reached(topology, graph, "output", "backward")
        kept = effective(topology, masks, graph)
        result = connectivity_of(topology, masks)
        assert [layer.name for layer in result.layers] == list(shapes)
        for layer in result.layers:
            places = [number for number, node in enumerate(topology.nodes) if node.weight == layer.name]
            units = range(shapes[layer.name][0])
            live = {c for p in places for c in units if (ahead[p][c] & back[p][c]).any()}
            useful = {c for p in places for c in units if back[p][c].any()}
            assert layer.live_out == len(live)
            assert layer.ghost_out == len(useful - live)
            assert layer.dead_out == len(set(units) - useful)
            assert layer.live_out + layer.ghost_out + layer.dead_out == layer.units_out == shapes[layer.name][0]
            assert layer.active == masks[layer.name].sum()
            assert layer.effective == kept[layer.name].sum()
        inputs = [number for number, node in enumerate(topology.nodes) if node.op == "input"]
        assert result.total.inputs == sum(back[number].size for number in inputs)
        assert result.total.inputs_used == sum(back[number].sum() for number in inputs)


def test_input_units_of_groups_are_told_apart():
    b = Build()
    topology, shapes = b.done(b.conv(b.input(4, 2, 2), 2, "c", kernel=(1, 1), groups=2))
    masks = full_masks(shapes)
    assert connectivity_of(topology, masks).layers[0].used_in == 4
    masks["c"][1, 0] = False
    layer = connectivity_of(topology, masks).layers[0]
    assert (layer.units_in, layer.used_in) == (4, 3)


@given(st.sampled_from(sorted(NETS)), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_there_are_paths_exactly_when_there_are_effective_weights(net, seed, density):
    topology, shapes = NETS[net]()
    total = connectivity_of(topology, random_masks(shapes, density, seed)).total
    assert (total.log10_paths > -math.inf) == (total.effective > 0)
    assert total.log10_tap_paths >= total.log10_paths


def test_a_layer_outside_the_graph_is_an_error():
    topology, masks = by_hand()
    with pytest.raises(StructureError, match=r"layer other is not in the operator graph"):
        connectivity_of(topology, {**masks, "other": np.ones((2, 2), dtype=bool)})


# The null.


def test_a_shuffle_moves_every_axis():
    # One row, one column: what a shuffle of the first axis alone, or of rows, would leave in place.
    mask = np.zeros((40, 50), dtype=bool)
    mask[7, :] = mask[:, 9] = True
    drawn = shuffled(mask, np.random.default_rng(0))
    assert (drawn & mask).sum() < 15  # 89 active of 2000: 4 ± 2 in common
    assert drawn.sum(axis=0).max() < 15
    assert drawn.sum(axis=1).max() < 15


def test_every_mask_is_equally_likely():
    mask = np.array([[True, True, False], [False, False, False]])
    rng = np.random.default_rng(0)
    codes = [int(np.packbits(shuffled(mask, rng))[0]) for _ in range(3000)]
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == math.comb(6, 2)
    # Chi-square with 14 degrees of freedom: 36.1 is the .999 quantile.
    assert ((counts - 200) ** 2 / 200).sum() < 36.1


def test_the_null_is_the_distribution_of_the_shuffles():
    topology, shapes = mlp(20, 15, 10, 5)
    masks = random_masks(shapes, 0.08, 3)
    plan = DrawPlan("layer", 40, 5)
    trial = connectivity_of(topology, masks, plan).trial
    level = trial.level("effective")
    counts, pieces = [], []
    for place in range(40):
        drawn = layer_shuffle(masks, plan.rng(place))
        counts.append(sum(int(mask.sum()) for mask in effective_masks(topology, drawn).values()))
        pieces.append(weak_components(topology, drawn).components)
    assert level.mean == pytest.approx(np.mean(counts))
    assert (level.low, level.high) == pytest.approx(tuple(np.quantile(counts, [0.025, 0.975])))
    assert level.low < level.mean < level.high
    assert trial.level("components").mean == pytest.approx(np.mean(pieces))
    assert connectivity_of(topology, masks, plan).trial == trial
    assert connectivity_of(topology, masks, DrawPlan("layer", 40, 6)).trial != trial


def test_a_mask_that_wires_its_weights_together_lies_above_its_null():
    # The active weights of each layer sit between the same few units, so none is lost; shuffled, most are.
    topology, shapes = mlp(30, 30, 30, 5)
    masks = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    for mask in masks.values():
        mask[:4, :4] = True
    result = connectivity_of(topology, masks, DrawPlan("layer", 20))
    assert result.total.effective == result.total.active == 48
    assert result.trial.level("effective").high < result.total.effective


# Recorded networks.


def write(path, topology, epochs, axes=""):
    writer = RunWriter(path)
    for epoch, masks in epochs.items():
        layers = tuple(LayerContent.from_dense(name, mask, None, "none", axes=axes) for name, mask in masks.items())
        writer.snapshot(SnapshotContent(epoch=epoch, step=0, layers=layers, topology=topology))
    return path


def test_a_run_is_measured_at_the_epoch_asked_for(tmp_path):
    topology, masks = by_hand()
    full = {name: np.ones_like(mask) for name, mask in masks.items()}
    path = write(tmp_path / "run", topology, {0: full, 3: masks})
    last = connectivity(path)
    assert (last.run, last.epoch, last.total.effective) == (str(path), 3, 3)
    assert last.trial is not None
    assert last.trial.plan == DrawPlan("layer", 20)
    run = open_run(path)
    assert connectivity(run, -1) == connectivity(str(path), 3) == last
    assert connectivity(run, 0, draws=0).total.effective == 18
    snapshot = run.at(0)
    assert connectivity(snapshot, draws=0).total.effective == 18
    assert connectivity(snapshot, 0, draws=0).run == str(path / "epoch-0000.h5")
    with pytest.raises(StructureError, match=r"epoch-0000\.h5: is a snapshot of epoch 0, not 3"):
        connectivity(snapshot, 3)
    with pytest.raises(RunError, match="no snapshot of epoch 7"):
        connectivity(run, 7)


def test_a_snapshot_without_a_graph_is_refused_with_a_hint(tmp_path):
    path = write(tmp_path / "run", None, {0: by_hand()[1]})
    with pytest.raises(StructureError, match=r"epoch-0000\.h5: holds no operator graph.*--graph"):
        connectivity(path)


def test_a_snapshot_with_a_layer_that_the_graph_lacks_is_refused(tmp_path):
    topology, masks = by_hand()
    path = write(tmp_path / "run", topology, {0: {**masks, "embedding": np.ones((2, 2), dtype=bool)}})
    with pytest.raises(StructureError, match=r"epoch-0000\.h5: layer embedding is not in the operator graph"):
        connectivity(path)


def test_axes_in_another_order_are_put_right(tmp_path):
    # A square layer: nothing but the recorded axes tells (in, out) from (out, in).
    topology, _ = mlp(3, 3, 3)
    masks = {name: np.zeros((3, 3), dtype=bool) for name in ("fc1", "fc2")}
    masks["fc1"][0, 1] = masks["fc2"][2, 0] = True  # input 1 to hidden 0 to output 2
    turned = {name: mask.T for name, mask in masks.items()}
    expected = connectivity_of(topology, masks)
    assert (expected.total.effective, connectivity_of(topology, turned).total.effective) == (2, 0)
    path = write(tmp_path / "run", topology, {0: turned}, axes="in,out")
    assert connectivity(path, draws=0).layers == expected.layers
    path = write(tmp_path / "odd", topology, {0: turned}, axes="out,time")
    with pytest.raises(StructureError, match="layer fc1: axes 'out,time' are no order of 'out,in'"):
        connectivity(path)
