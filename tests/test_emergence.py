import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import pack, random_masks

from masktools.errors import StructureError
from masktools.run_writer import RunWriter
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.snapshot.read import Snapshot
from masktools.structure.dynamics.emergence import emergence, emergence_epoch, emergence_of
from masktools.structure.overlap import overlap_of
from masktools.topology.graph import Node, Topology, Window


def _row(active, size=20):
    mask = np.zeros(size, dtype=np.bool_)
    mask[list(active)] = True
    return mask


def _of(epochs, threshold=0.9):
    packed = [pack({f"layer{i}": row for i, row in enumerate(rows)}) for rows in epochs]
    return emergence_of(list(enumerate(packed)), packed[-1], threshold)


def test_hand_computed_curve():
    # Final mask {0..4} of 20. At first {0, 1, 10, 11, 12}: X = 2, mean 25/20, kappa 2 (2 - 1.25) / (10 - 2.5) = .2.
    result = _of([[_row([0, 1, 10, 11, 12])], [_row([0, 1, 2, 3, 12])], [_row(range(5))]])
    first, second, last = result.curve
    assert first.kappa == pytest.approx(0.2)
    assert first.jaccard == 2 / 8
    assert first.intersection_share == 2 / 5
    assert first.expected_share == 1.25 / 5
    assert (first.births, first.deaths, first.active) == (None, None, 5)
    assert (second.births, second.deaths) == (2, 2)
    assert (last.births, last.deaths) == (1, 1)
    assert second.kappa == pytest.approx(2 * (4 - 1.25) / 7.5)
    assert last.kappa == last.jaccard == last.intersection_share == 1
    assert (result.initial_share, result.expected_initial_share) == (2 / 5, 1.25 / 5)
    assert result.emergence_epoch == 2
    assert _of([[_row([0, 1, 10, 11, 12])], [_row([0, 1, 2, 3, 12])], [_row(range(5))]], 0.7).emergence_epoch == 1


def test_a_dip_below_the_threshold_postpones_emergence():
    final = range(5)
    result = _of([[_row(final)], [_row(final)], [_row(range(10, 15))], [_row(final)], [_row(final)]])
    assert [point.kappa == 1 for point in result.curve] == [True, True, False, True, True]
    assert result.emergence_epoch == 3
    assert result.layers[0].emergence_epoch == 3


def test_a_static_mask_is_there_from_the_start():
    result = _of([[_row(range(5))]] * 4, threshold=1)
    assert result.emergence_epoch == 0
    assert [point.births for point in result.curve] == [None, 0, 0, 0]


def test_layers_differ():
    early, late = _row(range(5)), _row(range(3))
    result = _of([[early, _row(range(10, 13))], [early, _row(range(10, 13))], [early, late]])
    assert [layer.emergence_epoch for layer in result.layers] == [0, 2]
    assert result.emergence_epoch == 2


@pytest.mark.parametrize(("active", "why"), [(range(20), "dense"), ((), "empty")])
def test_not_defined_for_a_dense_or_an_empty_final_layer(active, why):
    result = _of([[_row(range(5))], [_row(active)]])
    assert result.layers[0].emergence_epoch is None
    assert result.layers[0].undefined == why
    assert result.layers[0].kappa == (0, None)
    assert result.emergence_epoch is None


def test_a_dense_layer_does_not_hide_the_others():
    result = _of([[_row(range(20)), _row(range(3))], [_row(range(20)), _row(range(3))]])
    assert [layer.emergence_epoch for layer in result.layers] == [None, 0]
    assert [layer.undefined for layer in result.layers] == ["dense", None]
    assert result.emergence_epoch == 0


def test_iterated_pruning_starts_dense_at_kappa_zero():
    result = _of([[_row(range(20))], [_row(range(10))], [_row(range(5))]])
    assert result.curve[0].kappa == 0
    assert result.curve[0].intersection_share == result.curve[0].expected_share == 1
    # 10 of 20 around the final 5: mean 2.5, kappa 2 * 2.5 / (15 - 5).
    assert result.curve[1].kappa == 0.5
    assert (result.curve[1].births, result.curve[1].deaths) == (0, 10)
    assert result.emergence_epoch == 2


def test_an_undefined_kappa_has_not_arrived():
    assert emergence_epoch([0, 1, 2], [1.0, None, 1.0], 0.9) == 2
    assert emergence_epoch([0, 1, 2], [1.0, 1.0, None], 0.9) is None


@given(st.lists(st.one_of(st.none(), st.floats(-1, 1)), min_size=1, max_size=12), st.floats(0.05, 1), st.integers(1, 5))
def test_emergence_epoch_is_its_definition(kappas, threshold, step):
    epochs = [step * i for i in range(len(kappas))]
    arrived = [t for i, t in enumerate(epochs) if all(k is not None and k >= threshold for k in kappas[i:])]
    assert emergence_epoch(epochs, kappas, threshold) == (min(arrived) if arrived else None)


def test_curve_is_the_overlap_with_the_last_epoch(write_run):
    masks = [random_masks(seed) for seed in (1, 2, 3)]
    result = emergence(write_run("a", masks))
    for point, mask in zip(result.curve, masks, strict=True):
        total = overlap_of(pack(mask), pack(masks[-1])).total
        assert (point.kappa, point.jaccard) == (total.kappa, total.jaccard)
        assert point.intersection_share == total.intersection / total.active_b
        assert point.expected_share == pytest.approx(total.expected_intersection / total.active_b)
    for layer in result.layers:
        expected = [overlap_of(pack(mask), pack(masks[-1])).layers for mask in masks]
        assert layer.kappa == tuple(next(row.kappa for row in rows if row.name == layer.name) for rows in expected)


def test_epochs_are_those_of_the_files_and_births_count_from_snapshot_to_snapshot(write_run):
    a, b = random_masks(1), random_masks(2)
    result = emergence(write_run("a", {3: a, 7: b, 40: b}))
    assert [point.epoch for point in result.curve] == [3, 7, 40]
    assert result.emergence_epoch == 7
    changed = sum(int((b[name] & ~a[name]).sum()) for name in a)
    assert (result.curve[1].births, result.curve[1].deaths) == (changed, changed)


def test_one_snapshot_is_not_enough(write_run):
    with pytest.raises(StructureError, match="at least two snapshots"):
        emergence(write_run("a", [random_masks(0)]))


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_thresholds_out_of_range(write_run, threshold):
    with pytest.raises(StructureError, match="threshold"):
        emergence(write_run("a", [random_masks(0)] * 2), threshold)


def test_layers_that_change_are_named(write_run):
    path = write_run("a", [random_masks(0), random_masks(0, sizes=(12, 9, 5))])
    with pytest.raises(StructureError, match=r"fc1\.weight.*\(epoch 0\).*\(last epoch\)"):
        emergence(path)


def test_nothing_to_go_by():
    with pytest.raises(StructureError, match="no snapshots"):
        emergence_of([], {})


def test_masks_must_end_with_the_final_ones_and_epochs_ascend():
    a, b = pack(random_masks(0)), pack(random_masks(1))
    with pytest.raises(StructureError, match=r"last snapshot \(epoch 1\) does not hold the final masks"):
        emergence_of([(0, a), (1, a)], b)
    with pytest.raises(StructureError, match="epoch 2 comes after epoch 2"):
        emergence_of([(2, a), (2, b)], b)


def test_each_snapshot_is_read_once(write_run, monkeypatch):
    path = write_run("a", [random_masks(seed) for seed in range(4)])
    read = []
    masks = Snapshot.masks
    monkeypatch.setattr(Snapshot, "masks", lambda self: read.append(self.epoch) or masks(self))
    emergence(path)
    assert sorted(read) == [0, 1, 2, 3]


def test_what_the_first_mask_does_not_explain():
    # Half of the final mask is the first one, and all of that is kept throughout; the other half is found at the end.
    final, first = _row(range(10), 100), _row([0, 1, 2, 3, 4, 90, 91, 92, 93, 94], 100)
    middle = _row([0, 1, 2, 3, 4, 80, 81, 82, 83, 84], 100)
    result = _of([[first], [middle], [final], [final]])
    kappas = [point.kappa for point in result.curve]
    beyond = [point.kappa_beyond_initial for point in result.curve]
    assert kappas[0] == pytest.approx((0.5 - 0.1) / 0.9)
    assert kappas[1] == kappas[0]
    # Inside the first mask (10 weights) both keep the same 5; outside (90) they share none of 5 each, mean 25/90.
    excess, room = 5 - 2.5 + 0 - 25 / 90, 10 - 5 + 10 - 50 / 90
    assert beyond == [None, pytest.approx(2 * excess / room), 1, 1]
    assert result.layers[0].kappa_beyond_initial == tuple(beyond)
    assert (result.emergence_epoch, result.emergence_epoch_beyond_initial) == (2, 2)
    low = _of([[first], [middle], [final], [final]], threshold=0.3)
    assert (low.emergence_epoch, low.emergence_epoch_beyond_initial) == (0, 1)
    assert low.layers[0].emergence_epoch_beyond_initial == 1


def test_a_static_run_has_nothing_beyond_its_first_mask():
    result = _of([[_row(range(5))]] * 3)
    assert [point.kappa_beyond_initial for point in result.curve] == [None, None, None]
    assert (result.emergence_epoch, result.emergence_epoch_beyond_initial) == (0, None)
    assert (result.spells.spells, result.spells.ongoing, result.spells.survival.median) == (5, 5, None)
    assert [point.turnover.exploration for point in result.curve] == [0.25, 0.25, 0.25]


def test_a_run_that_starts_dense_explores_everything_and_only_loses():
    result = _of([[_row(range(20))], [_row(range(20))], [_row(range(10))], [_row(range(5))]])
    assert [point.kappa_beyond_initial for point in result.curve] == [None, None, 0.5, 1]
    assert result.emergence_epoch_beyond_initial == 3
    assert {point.turnover.exploration for point in result.curve} == {1}
    assert (result.spells.survival.median, result.spells.expected_survival.median) == (2, 2)


def test_two_snapshots_are_enough():
    result = _of([[_row(range(5))], [_row(range(3, 8))]])
    assert (result.emergence_epoch, result.emergence_epoch_beyond_initial) == (1, 1)
    assert (result.early_bird.points, result.early_bird.epoch) == ((), None)
    # Three of the first five are gone after one epoch; the three that came were seen for none.
    assert (result.spells.survival.median, result.spells.survival.at(1)) == (1, pytest.approx(0.4))
    assert (result.spells.spells, result.spells.ongoing) == (8, 5)


@pytest.mark.parametrize("active", [(), range(20)])
def test_runs_without_any_freedom(active):
    result = _of([[_row(active)]] * 6)
    assert [point.kappa for point in result.curve] == [None] * 6
    assert (result.emergence_epoch, result.emergence_epoch_beyond_initial) == (None, None)
    assert result.early_bird.epoch is None
    assert result.early_bird.vacuous is True
    assert [point.turnover.deaths for point in result.curve] == [None, 0, 0, 0, 0, 0]
    json.dumps(result.to_dict(), allow_nan=False)


def test_a_layer_without_weights_changes_nothing():
    rows = [[_row(range(5)), _row((), 0)], [_row(range(3, 8)), _row((), 0)]]
    result, alone = _of(rows), _of([row[:1] for row in rows])
    assert result.layers[1].undefined == "empty"
    for one, other in zip(result.curve, alone.curve, strict=True):
        assert one.to_dict() == other.to_dict()


def test_gaps_and_late_beginnings(write_run):
    a, b = random_masks(1), random_masks(2)
    result = emergence(write_run("a", {3: a, 7: b, 40: a}))
    spells = result.spells
    active = sum(int(mask.sum()) for mask in a.values())
    assert spells.left_truncated == active
    born = sum(int((b[name] & ~a[name]).sum()) for name in a)
    back = sum(int((a[name] & ~b[name]).sum()) for name in a)
    assert [(point.duration, point.at_risk, point.deaths) for point in spells.survival.points] == [
        (0, born + back, 0),
        (33, born, born),
    ]
    assert (result.curve[2].turnover.regrowth, spells.survival.median) == (back, 33)


def test_learning_rates_of_the_log_stand_beside_the_curve(write_run):
    a, b = random_masks(1), random_masks(2)
    metrics = [
        {"epoch": 0, "lr": None},
        {"epoch": 1, "lr": 0.5},
        {"epoch": 2, "lr": 0.04},
        {"epoch": 3, "lr": "0.1"},
        {"epoch": 4, "lr": True},
        {"epoch": None, "lr": 0.1},
        {"lr": 0.1},
        {"epoch": 9, "lr": 0.1},
    ]
    result = emergence(write_run("a", [a, a, b, b, b, b], metrics=metrics))
    assert [point.lr for point in result.curve] == [None, 0.5, 0.04, None, None, None]
    assert (result.emergence_epoch, result.lr_decay) == (2, (0.5, 0.04))
    assert emergence(write_run("b", [a, b, b])).lr_decay is None
    at_once = emergence(write_run("c", [a, a], metrics=metrics))
    assert (at_once.emergence_epoch, at_once.lr_decay) == (0, None)


def test_windows_of_the_early_bird(write_run):
    a, b = random_masks(1), random_masks(2)
    path = write_run("a", [a, b, b, b])
    assert emergence(path).early_bird.epoch is None
    result = emergence(path, window=3)
    assert (result.early_bird.window, result.early_bird.epoch) == (3, 3)
    assert [layer.early_bird_epoch for layer in result.layers] == [3, 3]
    with pytest.raises(StructureError, match="at least 2 masks"):
        emergence(path, window=1)


def _write(path, epochs, axes=""):
    writer = RunWriter(path)
    for epoch, masks in enumerate(epochs):
        layers = tuple(LayerContent.from_dense(name, mask, None, "none", axes=axes) for name, mask in masks.items())
        writer.snapshot(SnapshotContent(epoch, epoch, layers, {}, {}, None))
    return path


def test_hubs_do_not_depend_on_the_order_of_the_axes(tmp_path):
    masks = [random_masks(seed) for seed in range(3)]
    plain = emergence(_write(tmp_path / "plain", masks))
    turned = emergence(
        _write(tmp_path / "turned", [{name: mask.T for name, mask in row.items()} for row in masks], "in,out")
    )
    assert plain.hubs == turned.hubs
    assert [point.kappa for point in plain.curve] == [point.kappa for point in turned.curve]
    unknown = emergence(_write(tmp_path / "unknown", masks, "in,tap"))
    assert unknown.hubs["fan_in"].layers == ()
    assert unknown.curve == plain.curve


def test_groups_of_convolutions_are_taken_from_the_operator_graph(write_run):
    node = Node("conv2d", (0,), (4, 5, 5), weight="conv.weight", window=Window((3, 3), padding=(1, 1), groups=2))
    topology = Topology((Node("input", (), (6, 5, 5)), node, Node("output", (1,), (4, 5, 5))))
    rng = np.random.default_rng(0)
    masks = [{"conv.weight": rng.random((4, 3, 3, 3)) < 0.4} for _ in range(2)]
    known = emergence(write_run("known", masks, topology=topology)).hubs["fan_out"].layers[0]
    assert (known.units, emergence(write_run("bare", masks)).hubs["fan_out"].layers[0].units) == (6, 3)


def test_to_dict_holds_what_is_promised(write_run):
    result = emergence(write_run("a", [random_masks(seed) for seed in range(6)]))
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert told.keys() >= {
        *("run", "threshold", "emergence_epoch", "emergence_epoch_beyond_initial", "initial_share"),
        *("expected_initial_share", "layers", "curve", "survival", "early_bird", "hubs"),
    }
    assert told["curve"][1].keys() >= {
        *("epoch", "lr", "kappa", "kappa_beyond_initial", "jaccard", "intersection_share", "expected_share", "active"),
        *("births", "deaths", "turnover", "expected_turnover", "regrowth", "expected_regrowth", "regrowth_z"),
        *("exploration", "expected_exploration"),
    }
    for layer in told["layers"]:
        for key in ("kappa", "kappa_beyond_initial", "births", "deaths", "turnover", "regrowth", "exploration"):
            assert len(layer[key]) == 6
    assert sum(layer["births"][3] for layer in told["layers"]) == told["curve"][3]["births"]
    survival = told["survival"]
    assert sum(number for *_, number in survival["cells"]) == survival["spells"]
    assert survival["spells"] == survival["ended"] + survival["ongoing"]
    assert survival["cohorts"].keys() == {"initial", "later"}
    assert told["hubs"].keys() == {"fan_out", "fan_in"}
    assert told["hubs"]["fan_in"]["emergence_epoch"] == 5
