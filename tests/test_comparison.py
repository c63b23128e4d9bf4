"""Comparisons beside their nulls: whole runs, read from disk."""

import itertools

import numpy as np
import pytest
from synthetic import mlp_topology, pack, random_masks

from masktools.errors import StructureError
from masktools.nulls.ladder import LADDER
from masktools.nulls.trial import DrawPlan
from masktools.structure.comparison import compare
from masktools.structure.comparisons import compare_many
from masktools.structure.explanation import _ladder, explain
from masktools.structure.overlap import overlap_of
from masktools.topology.graph import Node, Topology, Window

SIZES = (30, 40, 20)


@pytest.fixture
def pair(write_run):
    """Return a function that writes two masks as runs."""

    def write(a, b, sizes=SIZES):
        return tuple(write_run(name, [masks], topology=mlp_topology(sizes)) for name, masks in (("a", a), ("b", b)))

    return write


def hubs(seed, sizes=SIZES):
    """Return masks whose units have very different degrees, the same ones for every seed, at random places."""
    rng, masks = np.random.default_rng(seed), {}
    for number, (before, after) in enumerate(itertools.pairwise(sizes), start=1):
        chance = np.outer(np.linspace(0, 1, after) ** 2, np.linspace(0, 1, before) ** 2)
        masks[f"fc{number}.weight"] = rng.random((after, before)) < 0.8 * chance
    return masks


def test_independent_masks_are_within_every_null(pair):
    a, b = pair(random_masks(0, 0.2, SIZES), random_masks(1, 0.2, SIZES))
    for null in ("layer", "neuron", "degree"):
        level = compare(a, b, null=null, draws=99).level("intersection")
        assert level.p_value > 0.01
        assert abs(level.z) < 4


def test_what_hubs_explain_is_above_the_layer_null_and_within_the_degree_null(pair):
    a, b = pair(hubs(0), hubs(1))
    by_layer, by_degree = (compare(a, b, null=null, draws=99) for null in ("layer", "degree"))
    assert by_layer.total.z > 5
    assert by_layer.level("intersection").p_value == 1 / 100
    assert by_degree.level("intersection").p_value > 0.01
    assert by_degree.level("intersection").mean > 1.3 * by_layer.level("intersection").mean
    # Degrees are what the degree null keeps: every draw has the observed distance and correlation.
    for name in ("fc1.weight", "fc2.weight"):
        level = by_degree.level("fan_in_distance", name)
        assert level.low == level.high == level.observed
        assert by_layer.level("fan_in_correlation", name).p_value == 1 / 100


def test_levels_agree_with_exact_chance(pair):
    a, b = pair(random_masks(0, 0.2, SIZES), random_masks(1, 0.2, SIZES))
    result = compare(a, b, draws=400)
    for row in (*result.layers, result.total):
        level = result.level("intersection", row.name)
        assert level.observed == row.intersection
        assert level.mean == pytest.approx(row.expected_intersection, rel=0.05)
        assert level.z == pytest.approx(row.z, abs=0.3)
        assert result.level("kappa", row.name).observed == pytest.approx(row.kappa)


def test_a_permuted_network_is_found_by_alignment_and_its_null_is_not(pair):
    masks = random_masks(3, 0.15, SIZES)
    order = np.random.default_rng(0).permutation(SIZES[1])
    moved = {"fc1.weight": masks["fc1.weight"][order], "fc2.weight": masks["fc2.weight"][:, order]}
    a, b = pair(masks, moved)
    result = compare(a, b, align="masks", draws=19)
    assert result.total.kappa < 0.2
    assert result.aligned.overlap.total.kappa == 1.0
    assert result.level("aligned_kappa").high < 0.6
    assert result.level("aligned_kappa").p_value == 1 / 20
    assert result.nnstd.total.distance == 0.0
    assert result.level("nnstd").low > 0.3
    assert result.to_dict()["aligned"]["total"].keys().isdisjoint({"z", "p_value", "expected_intersection"})


def test_alignment_by_weights_goes_by_values(write_run):
    # The same mask everywhere: only the values tell the units apart.
    masks = {name: np.ones_like(mask) for name, mask in random_masks(0, 0.2, SIZES).items()}
    masks["fc1.weight"][:, 0] = False
    path = write_run("a", [masks], topology=mlp_topology(SIZES))
    result = compare(path, path, align="weights", draws=5)
    assert (result.aligned.on, result.aligned.overlap.total.kappa) == ("weights", 1.0)


def test_what_was_not_measured_says_why(pair, write_run):
    a, b = pair(random_masks(0, 0.2, SIZES), random_masks(1, 0.2, SIZES))
    assert compare(a, b, nnstd=False).nnstd_missing == "not asked for"
    wide = (3, 1100, 2)
    c, d = pair(random_masks(0, 0.2, wide), random_masks(1, 0.2, wide), wide)
    result = compare(c, d)
    assert result.nnstd is None
    assert "a layer has 1100 units" in result.nnstd_missing
    assert compare(c, d, nnstd=True, draws=0).nnstd.total.units == 1102
    bare = [write_run(name, [random_masks(seed, 0.2, SIZES)]) for seed, name in enumerate("ef")]
    assert compare(*bare).nnstd_missing == "a snapshot holds no operator graph"
    assert compare(*bare, draws=0).trial is None
    with pytest.raises(StructureError, match="the same alignment of random masks"):
        compare(a, b, align="masks", draws=0)


def test_every_pair_of_several_runs_is_a_comparison(write_run):
    paths = [write_run(f"r{seed}", [random_masks(seed, 0.2, SIZES)], topology=mlp_topology(SIZES)) for seed in range(4)]
    result = compare_many(paths, draws=9, nnstd=True, align="masks")
    assert len(result.pairs) == 6
    assert result.pair(1, 3).to_dict() == compare(paths[1], paths[3], draws=9, nnstd=True, align="masks").to_dict()
    mean = result.mean()
    assert mean.mean == pytest.approx(np.mean([pair.total.kappa for pair in result.pairs]))
    assert mean.low <= mean.mean <= mean.high
    assert compare_many(paths).pairs[0].degrees == ()


def test_an_explanation_adds_up(pair):
    a, b = pair(hubs(0), hubs(1))
    found = explain(a, b, draws=49)
    assert [rung.null for rung in found.total] == ["global", "layer", "neuron", "degree"]
    total = found.overlap.total
    assert found.total[-1].expected + found.wiring() * total.intersection == pytest.approx(total.intersection)
    assert found.total[1].expected == pytest.approx(total.expected_intersection, rel=0.05)
    assert found.total[1].kappa == pytest.approx(total.kappa, abs=0.02)
    # Hubs on both sides: fan-in explains part of it, fan-out more, and nothing is left for the wiring.
    assert found.total[2].part > 0.05
    assert found.total[3].part > 0.05
    assert abs(found.wiring()) < 0.1
    assert found.total[3].p_value > 0.01


def test_an_explanation_of_a_convolution_has_a_rung_of_taps(write_run):
    rng = np.random.default_rng(0)
    channels = rng.random((8, 6, 1, 1)) < 0.4
    taps = np.arange(9).reshape(3, 3) < 4  # always the same four taps of a kernel
    conv = channels & taps & (rng.random((8, 6, 3, 3)) < 0.9)
    masks = {"conv.weight": conv, "point.weight": rng.random((4, 8, 1, 1)) < 0.5, "fc.weight": rng.random((5, 4)) < 0.5}
    path = write_run("a", [masks])
    found = explain(path, path, draws=49)
    assert [rung.null for rung in found.ladder["conv.weight"]] == list(LADDER)
    assert [rung.null for rung in found.ladder["fc.weight"]] == list(LADDER)[:-1]
    assert [rung.null for rung in found.ladder["point.weight"]] == list(LADDER)[:-1]
    tap, degree = found.total[-1], found.total[-2]
    alone = found.ladder["conv.weight"][-1].expected
    rest = sum(found.ladder[name][-1].expected for name in ("fc.weight", "point.weight"))
    assert tap.expected == pytest.approx(alone + rest)
    assert tap.expected > degree.expected
    assert tap.p_value == 1 / 50


def test_an_explanation_of_independent_masks_finds_nothing_on_any_rung(short_walk):
    # Convolutions beside layers without kernels: on the last rung both must be random. With the same draw of the others
    # beside every draw of the convolutions, 11 of these 20 would be found there.
    wrong = dict.fromkeys(LADDER, 0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, b = ({"conv": rng.random((4, 3, 3, 3)) < 0.3, "fc": rng.random((20, 30)) < 0.3} for _ in range(2))
        overlap = overlap_of(pack(a), pack(b))
        ladder = _ladder(a, b, overlap, DrawPlan(draws=39, seed=seed), {}, frozenset())
        for rung in ladder["total"]:
            wrong[rung.null] += rung.p_two_sided <= 0.05
    # Binomial(20, .05): more than 5 has probability .0003.
    assert all(count <= 5 for count in wrong.values()), wrong


def test_layers_that_share_nothing_still_count_in_the_correction(write_run):
    # Layers of one weight, the first one shared: the others have p = 1 by what was drawn, not for want of a test.
    a = {f"l{i}": np.arange(100).reshape(10, 10) == i for i in range(5)}
    b = {f"l{i}": np.arange(100).reshape(10, 10) == (i if i == 0 else i + 20) for i in range(5)}
    paths = write_run("a", [a]), write_run("b", [b])
    result = compare(*paths, draws=99)
    level = result.level("intersection", "l0")
    assert level.p_value < 0.1
    assert level.adjusted_p_value == 5 * level.p_value
    assert [result.level("intersection", f"l{i}").adjusted_p_value for i in range(1, 5)] == [1.0] * 4
    rung = explain(*paths, draws=49).ladder["l0"][1]
    assert (rung.null, rung.adjusted_p_value) == ("layer", 5 * rung.p_value)


def test_an_explanation_says_where_a_rung_leaves_no_freedom(write_run):
    # Outputs 0 and 1 read the same input and the others none: no other mask has these degrees.
    nested = {"fc": np.arange(20).reshape(4, 5) % 5 == 0}
    nested["fc"][2:] = False
    path = write_run("a", [nested])
    found = explain(path, path, draws=9).total
    assert [rung.free for rung in found] == [True, True, True, False]
    assert not compare(path, path, null="degree", draws=9).level("kappa").free


def test_random_masks_of_grouped_convolutions_follow_the_graph_of_the_one_drawn(write_run):
    nodes = (
        Node("input", (), (6, 4, 4)),
        Node("conv2d", (0,), (8, 4, 4), weight="conv", window=Window((3, 3), padding=(1, 1), groups=2)),
        Node("output", (1,), (8, 4, 4)),
    )
    rng = np.random.default_rng(0)
    a, b = ({"conv": rng.random((8, 3, 3, 3)) < 0.3 * (1 + np.arange(8) % 2)[:, None, None, None]} for _ in range(2))
    paths = write_run("a", [a]), write_run("b", [b], topology=Topology(nodes))
    level = compare(*paths, null="degree", draws=9).level("fan_out_correlation", "conv")
    assert level.low == level.high == level.observed


def test_nothing_shared_is_nothing_to_explain(pair):
    a = random_masks(0, 0.2, SIZES)
    b = {name: ~mask & (np.random.default_rng(1).random(mask.shape) < 0.2) for name, mask in a.items()}
    found = explain(*pair(a, b), draws=9)
    assert found.wiring() is None
    assert all(rung.part is None for rung in found.total)
    assert found.to_dict()["total"]["wiring"] is None
