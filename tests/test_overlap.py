import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import pack, random_masks

from masktools.errors import RunError, SnapshotError, StructureError
from masktools.masks import PackedMask
from masktools.runs import open_run
from masktools.structure.comparison import compare
from masktools.structure.comparisons import compare_many
from masktools.structure.configuration import ABSENT, config_differences, flatten
from masktools.structure.overlap import overlap_of


def _masks(*rows):
    return {f"layer{i}": PackedMask.from_bool(np.array(row, dtype=np.bool_)) for i, row in enumerate(rows)}


@st.composite
def mask_pairs(draw):
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    return tuple([np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))) for n in sizes] for _ in range(2))


def test_hand_computed():
    a = _masks([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    b = _masks([0, 1, 1, 1, 1, 1, 0, 0, 0, 0])
    layer = overlap_of(a, b).layers[0]
    assert (layer.size, layer.active_a, layer.active_b, layer.intersection) == (10, 4, 5, 3)
    assert layer.jaccard == 3 / 6
    assert layer.expected_intersection == 2
    assert layer.expected_jaccard == 2 / 7
    assert layer.share == 3 / 4
    assert layer.hamming == 3 / 10
    assert layer.kappa == 2 / 5
    assert layer.z == pytest.approx(math.sqrt(1.5))
    assert layer.p_value == pytest.approx(132 / 252)
    assert (layer.density_a, layer.density_b) == (0.4, 0.5)
    assert layer.density_difference == 0.1


@given(mask_pairs())
def test_counts_against_explicit_sets(pair):
    rows_a, rows_b = pair
    total = overlap_of(_masks(*rows_a), _masks(*rows_b)).total
    a, b = ({(i, k) for i, row in enumerate(rows) for k in np.flatnonzero(row).tolist()} for rows in pair)
    assert (total.active_a, total.active_b, total.intersection) == (len(a), len(b), len(a & b))
    assert total.size == sum(map(len, rows_a))
    assert total.jaccard == (len(a & b) / len(a | b) if a | b else None)
    assert total.share == (len(a & b) / min(len(a), len(b)) if a and b else None)
    assert total.hamming == len(a ^ b) / total.size


@pytest.fixture(scope="module")
def metrics():
    return pytest.importorskip("sklearn.metrics")


@given(pair=mask_pairs())
def test_kappa_is_scikit_learns(metrics, pair):
    rows_a, rows_b = pair
    for layer, a, b in zip(overlap_of(_masks(*rows_a), _masks(*rows_b)).layers, rows_a, rows_b, strict=True):
        if layer.kappa is not None:
            assert layer.kappa == pytest.approx(metrics.cohen_kappa_score(a, b), abs=1e-12)


@given(mask_pairs())
def test_symmetry_and_bounds(pair):
    rows_a, rows_b = pair
    here, there = overlap_of(_masks(*rows_a), _masks(*rows_b)), overlap_of(_masks(*rows_b), _masks(*rows_a))
    for x, y in zip((*here.layers, here.total), (*there.layers, there.total), strict=True):
        assert (x.jaccard, x.kappa, x.z, x.share, x.hamming) == (y.jaccard, y.kappa, y.z, y.share, y.hamming)
        assert x.kappa is None or -1 <= x.kappa <= 1
        for bounded in (x.jaccard, x.share, x.hamming, x.p_value, x.expected_jaccard):
            assert bounded is None or 0 <= bounded <= 1


@given(mask_pairs(), st.randoms(use_true_random=False))
def test_relabelling_weights_changes_nothing(pair, random):
    orders = [random.sample(range(len(row)), len(row)) for row in pair[0]]
    shuffled = [[row[order] for row, order in zip(rows, orders, strict=True)] for rows in pair]
    assert overlap_of(*(_masks(*rows) for rows in pair)) == overlap_of(*(_masks(*rows) for rows in shuffled))


@given(mask_pairs())
def test_a_mask_equals_itself(pair):
    total = overlap_of(_masks(*pair[0]), _masks(*pair[0])).total
    assert total.kappa in (1, None)
    assert total.jaccard in (1, None)
    assert total.hamming == 0


def test_total_is_stratified_and_not_pooled():
    rng = np.random.default_rng(1)
    densities = (0.9, 0.02)
    a, b = (_masks(*(rng.random(20_000) < p for p in densities)) for _ in range(2))
    total = overlap_of(a, b).total
    pooled = overlap_of(
        *({"all": PackedMask.from_bool(np.concatenate([m.to_bool() for m in masks.values()]))} for masks in (a, b))
    ).total
    assert abs(total.kappa) < 0.02
    assert abs(total.z) < 4
    assert pooled.kappa > 0.7
    assert pooled.z > 100
    layers = overlap_of(a, b).layers
    assert total.expected_intersection == pytest.approx(sum(layer.expected_intersection for layer in layers))


def test_dense_and_empty_layers():
    overlap = overlap_of(_masks([1, 1, 1], [0, 0, 0], [1, 0, 1]), _masks([1, 1, 1], [0, 0, 0], [1, 1, 1]))
    dense, empty, half = overlap.layers
    assert (dense.kappa, dense.z, dense.p_value, dense.jaccard, dense.share) == (None, None, None, 1, 1)
    assert (empty.kappa, empty.z, empty.p_value, empty.jaccard, empty.share) == (None, None, None, None, None)
    assert (half.kappa, half.z) == (0, None)
    assert overlap.total.kappa == 0


def test_order_of_layers_does_not_matter():
    a, b = _masks([1, 0], [1, 1, 0]), _masks([1, 1], [0, 1, 0])
    assert overlap_of(a, b) == overlap_of(a, dict(reversed(b.items())))


@pytest.mark.parametrize(
    ("b", "message"),
    [
        ({"x": np.ones(3)}, "layer 'y' is in one but not in two"),
        ({"x": np.ones(3), "y": np.ones((2, 3)), "w": np.ones(1)}, "layer 'w' is in two but not in one"),
        ({"x": np.ones(3), "y": np.ones((3, 2))}, "layer 'y' has shape 2x3 in one but 3x2 in two"),
    ],
)
def test_layers_that_do_not_match_are_named(b, message):
    a = {"x": np.ones(3, dtype=np.bool_), "y": np.ones((2, 3), dtype=np.bool_)}
    with pytest.raises(StructureError, match=message):
        overlap_of(pack(a), pack({k: v.astype(np.bool_) for k, v in b.items()}), ("one", "two"))


def test_no_layers():
    with pytest.raises(StructureError, match="no layers"):
        overlap_of({}, {})


def test_compare_reads_paths_runs_and_snapshots(write_run):
    first, second = random_masks(0), random_masks(1)
    a = write_run("a", [first, second], {"seed": 0, "optimizer": {"lr": 0.1, "name": "sgd"}})
    b = write_run("b", [second, second, first], {"seed": 1, "optimizer": {"lr": 0.1}, "alpha": None})
    result = compare(a, b)
    assert result.epochs == (1, 2)
    assert result.runs == (str(a), str(b))
    assert result.overlap == overlap_of(pack(second), pack(first))
    assert compare(str(a), open_run(b)) == result
    assert compare(open_run(a).final, open_run(b).final).overlap == result.overlap
    assert compare(a, b, epoch=1).total.kappa == 1
    assert compare(a, b, epoch=-2).epochs == (0, 1)
    assert [(d.key, d.a, d.b) for d in result.configuration] == [
        ("alpha", ABSENT, None),
        ("optimizer.name", "sgd", ABSENT),
        ("seed", 0, 1),
    ]
    assert result.to_dict()["config_differences"][0] == {"key": "alpha", "b": None}


def test_compare_names_both_runs(write_run):
    a = write_run("a", [random_masks(0)])
    b = write_run("b", [random_masks(0, sizes=(12, 9, 5))])
    with pytest.raises(StructureError, match=r"fc1.weight.*8x12 in .*/a \(epoch 0\) but 9x12 in .*/b \(epoch 0\)"):
        compare(a, b)


def test_compare_refuses_what_is_not_there(write_run, tmp_path):
    a = write_run("a", [random_masks(0)])
    with pytest.raises(RunError, match="missing"):
        compare(a, tmp_path / "missing")
    with pytest.raises(RunError, match="no snapshot of epoch 7"):
        compare(a, a, epoch=7)
    with pytest.raises(StructureError, match="is a snapshot of epoch 0, not 7"):
        compare(open_run(a).final, a, epoch=7)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(SnapshotError, match=r"text\.h5"):
        compare(a, tmp_path / "text.h5")


def test_compare_many_holds_every_pair_in_its_place(write_run):
    paths = [write_run(f"r{seed}", [random_masks(seed)]) for seed in range(4)]
    result = compare_many(paths)
    assert len(result.pairs) == 6
    kappa = result.matrix("kappa")
    for i in range(4):
        for j in range(4):
            if i == j:
                assert kappa[i][j] is None
                with pytest.raises(IndexError):
                    result.pair(i, j)
            else:
                assert kappa[i][j] == compare(paths[i], paths[j]).total.kappa
                assert set(result.pair(i, j).runs) == {str(paths[i]), str(paths[j])}
    assert result.to_dict()["matrix"]["jaccard"][0][1] == compare(paths[0], paths[1]).total.jaccard


def test_compare_many_needs_two(write_run):
    with pytest.raises(StructureError, match="at least two"):
        compare_many([write_run("a", [random_masks(0)])])


def test_configurations():
    assert flatten({"a": {"b": {"c": 1}}, "d": [1, {"e": 2}], "f": {}}) == {"a.b.c": 1, "d": [1, {"e": 2}], "f": {}}
    assert config_differences({"a": 1, "n": math.nan, "l": [1]}, {"a": 1.0, "n": math.nan, "l": [1]}) == ()
    assert [d.key for d in config_differences({"a": 1, "b": None}, {"a": True})] == ["a", "b"]


def test_a_mapping_without_keys_is_not_absent_where_the_other_has_keys():
    without, one = {"options": {}, "x": {"y": {}}}, {"options": {"q": 1}, "x": {"y": {"z": {}}}}
    told = [("options.q", ABSENT, 1), ("x.y.z", ABSENT, {})]
    assert [(d.key, d.a, d.b) for d in config_differences(without, one)] == told
    assert [(d.key, d.b, d.a) for d in config_differences(one, without)] == told
    assert config_differences(without, without) == ()
    # Neither of these is a mapping on both sides.
    assert [(d.key, d.a, d.b) for d in config_differences({"o": {}}, {})] == [("o", {}, ABSENT)]
    assert [(d.key, d.a, d.b) for d in config_differences({"o": {}}, {"o": 3, "op": 1})] == [
        ("o", {}, 3),
        ("op", ABSENT, 1),
    ]


def test_results_are_frozen():
    overlap = overlap_of(_masks([1, 0]), _masks([1, 0]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        overlap.total.kappa = 0
