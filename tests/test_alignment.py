import dataclasses
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from unrolled import NETS, Build, mlp, random_masks

from masktools.errors import StructureError
from masktools.nulls.shuffles import layer_shuffle
from masktools.structure.alignment import assignment
from masktools.structure.alignment.assignment import best_assignment
from masktools.structure.alignment.matching import align
from masktools.structure.alignment.problem import Problem
from masktools.structure.alignment.starts import STARTS
from masktools.structure.alignment.units import permute
from masktools.topology.graph import Topology
from masktools.topology.permutation_groups import permutation_groups


def cyclic():
    """A weight with both its axes in one group."""
    b = Build()
    x = b.linear(b.input(6), 5, "in")
    return b.done(b.linear(b.same("add", b.linear(x, 5, "loop"), x), 3, "out"))


ALL_NETS = NETS | {"cyclic": cyclic}


def in_common(a, b):
    return sum(float((a[name].astype(float) * b[name]).sum()) for name in a)


def random_orders(groups, rng):
    return [rng.permutation(group.size) for group in groups]


def rewired(masks, share, rng):
    """Move that share of the active weights of each layer to random inactive places."""
    moved = {}
    for name, mask in masks.items():
        flat = mask.ravel().copy()
        active, inactive = np.flatnonzero(flat), np.flatnonzero(~flat)
        count = round(share * active.size)
        flat[rng.choice(active, count, replace=False)] = False
        flat[rng.choice(inactive, count, replace=False)] = True
        moved[name] = flat.reshape(mask.shape)
    return moved


def planted(net, density, seed, share=0.5):
    """Return graph, masks, their permuted and rewired partners, and the orders that undo the permutation."""
    topology, shapes = net
    rng = np.random.default_rng(seed)
    groups = permutation_groups(topology, shapes)
    empty = {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()}
    for mask in empty.values():
        mask.flat[: round(density * mask.size)] = True
    a = layer_shuffle(empty, rng)
    orders = random_orders(groups, rng)
    return topology, a, rewired(permute(a, groups, orders), share, rng), [np.argsort(order) for order in orders]


def p_value(topology, a, b, draws):
    rng = np.random.default_rng(10**6)  # not a seed of the masks: the first draw would be A itself
    found = align(a, b, topology).objective
    nulls = [align(a, layer_shuffle(b, rng), topology).objective for _ in range(draws)]
    return (1 + sum(null >= found for null in nulls)) / (1 + draws), nulls


def conv_net():
    b = Build()
    x = b.conv(b.input(3, 8, 8), 16, "a", padding=(1, 1))
    x = b.conv(x, 24, "b", padding=(1, 1))
    x = b.pool(x, (4, 4), stride=(4, 4))
    return b.done(b.linear(b.linear(b.flatten(x), 30, "c"), 10, "d"))


def residual_net():
    b = Build()
    x = b.conv(b.input(3, 8, 8), 16, "stem", padding=(1, 1))
    for stage, width in enumerate((16, 24, 32)):
        for block in range(2):
            name, stride = f"{stage}.{block}", (2, 2) if stage and not block else (1, 1)
            y = b.conv(x, width, f"{name}.conv1", stride=stride, padding=(1, 1))
            y = b.conv(y, width, f"{name}.conv2", padding=(1, 1))
            if stage and not block:
                x = b.conv(x, width, f"{name}.short", kernel=(1, 1), stride=stride)
            x = b.same("add", y, x)
    return b.done(b.linear(b.flatten(b.adaptive(x, 1, 1)), 10, "head"))


# --- the solver


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_best_assignment_is_the_best_of_all(size, seed):
    gain = np.random.default_rng(seed).integers(-4, 5, (size, size)).astype(float)
    order = best_assignment(gain)
    assert sorted(order) == list(range(size))
    best = max(gain[range(size), list(some)].sum() for some in itertools.permutations(range(size)))
    assert gain[range(size), order].sum() == best


def test_the_solver_from_its_file_is_that_of_scipy():
    solver = assignment._from_file()
    for seed in range(20):
        gain = np.random.default_rng(seed).integers(0, 5, (30, 30)).astype(np.float32)
        assert np.array_equal(solver(gain, maximize=True), linear_sum_assignment(gain, maximize=True))


LOADING = """
import sys
import numpy as np
from masktools.structure.alignment import assignment
{before}
order = assignment.best_assignment(np.array([[1.0, 5.0, 4.0], [2.0, 9.0, 3.0], [4.0, 4.0, 4.5]]))
print(order.tolist(), "scipy.optimize" in sys.modules, sys.modules.get("_lsap") is sys)
assert sys.modules.get("_lsap") in (None, sys)
from scipy.optimize import linear_sum_assignment
from scipy.optimize import _lsap
assert linear_sum_assignment is _lsap.linear_sum_assignment
assert linear_sum_assignment(np.eye(3), maximize=True)[1].tolist() == [0, 1, 2]
assert sys.modules["scipy.optimize._lsap"] is _lsap
assert assignment.best_assignment(np.eye(2)).tolist() == [0, 1]
"""


@pytest.mark.parametrize(
    ("before", "package", "name"),
    [
        ("", False, False),
        ("import scipy.optimize", True, False),
        ("assignment._EXTENSION = '_no_such_file'", True, False),
        ("sys.modules['_lsap'] = sys", False, True),
    ],
    ids=["from its file", "loaded already", "not where it was", "name taken"],
)
def test_however_the_solver_is_loaded_it_is_the_same_and_scipy_still_works(before, package, name):
    done = subprocess.run(
        [sys.executable, "-c", LOADING.format(before=before)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\n")[0] == f"{[2, 1, 0]} {package} {name}"


# --- gains


def brute_gain(topology, shapes, a, b, number, orders):
    """Objective of putting unit j at place i, and the other units at places where they bear on nothing else."""
    groups = permutation_groups(topology, shapes)
    group = groups[number]
    others = [np.arange(group.size) if n == number else order for n, order in enumerate(orders)]
    moved = permute(b, groups, others)
    gain = np.zeros((group.size, group.size))
    for member in group.members:
        one, two = (np.moveaxis(arrays[member.layer], member.axis, 0) for arrays in (a, moved))
        place = slice(member.start, len(one) - member.after)
        rows = [array[place].astype(float).reshape(group.size, -1) for array in (one, two)]
        gain += rows[0] @ rows[1].T
    return gain


@pytest.mark.parametrize("net", sorted(ALL_NETS))
def test_gains_are_what_two_units_have_in_common(net):
    topology, shapes = ALL_NETS[net]()
    groups = permutation_groups(topology, shapes)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        a, b, orders = random_masks(shapes, 0.3, seed), random_masks(shapes, 0.3, seed + 50), random_orders(groups, rng)
        problem = Problem(a, b, topology)
        assert problem.type is np.float32
        for number in range(len(groups)):
            at = [
                np.arange(g.size) if n == number else order
                for n, (g, order) in enumerate(zip(groups, orders, strict=True))
            ]
            found = problem.gain(number, at)
            assert np.array_equal(found, brute_gain(topology, shapes, a, b, number, at))
            # Certain beliefs are orders: evidence is then the gain, layer by layer in nats.
            beliefs = [
                np.eye(g.size, dtype=np.float32)[order].astype(np.float32) for g, order in zip(groups, at, strict=True)
            ]
            problem.evidence = dict.fromkeys(topology.layers, 1.0)
            assert np.allclose(problem.expected_gain(number, beliefs), found)
        assert problem.objective(orders) == in_common(a, permute(b, groups, orders))


def test_evidence_by_hand():
    a = {"fc1": np.array([[True, False, False, False]] * 2), "fc2": np.ones((1, 2), bool)}
    b = {"fc1": np.array([[False, True, True, True]] * 2), "fc2": np.zeros((1, 2), bool)}
    topology = mlp(4, 2, 1)[0]
    # fc1: density (2 + 6) / 16 = 1/2, log(1 / (2 * .5)) = 0, below 2/3. fc2: nothing in B to be in common.
    assert Problem(a, b, topology).evidence == {"fc1": 2 / 3, "fc2": 0.0}
    sparse = {"fc1": np.eye(2, 4, dtype=bool), "fc2": np.ones((1, 2), bool)}
    problem = Problem(sparse, sparse, topology)
    assert problem.evidence == pytest.approx({"fc1": math.log(2), "fc2": 2 / 3})
    # The same network in weights of size 3 and 5.
    weights = [{name: size * mask for name, mask in sparse.items()} for size in (3.0, -5.0)]
    scaled = Problem(*weights, topology)
    assert scaled.evidence == pytest.approx({name: value / 15 for name, value in problem.evidence.items()})
    assert scaled.type is np.float64


# --- alignment


@given(st.sampled_from(sorted(ALL_NETS)), st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([0.1, 0.4]))
def test_alignment_reports_what_applying_it_gives(net, seed, weights, density):
    topology, shapes = ALL_NETS[net]()
    a, b = random_masks(shapes, density, seed), random_masks(shapes, density, seed + 1)
    if weights:
        rng = np.random.default_rng(seed)
        a, b = ({k: m * rng.standard_normal(m.shape).astype(np.float32) for k, m in x.items()} for x in (a, b))
    found = align(a, b, topology)
    assert found.objective_before == pytest.approx(in_common(a, b), rel=1e-12, abs=1e-12)
    assert found.objective == pytest.approx(in_common(a, found.apply(b)), rel=1e-12, abs=1e-12)
    assert found.objective >= found.objective_before - (1e-12 if weights else 0)
    assert [sorted(order) for order in found.permutations] == [list(range(group.size)) for group in found.groups]
    again = align(a, b, topology)
    assert all(map(np.array_equal, found.permutations, again.permutations))
    assert (again.start, again.sweeps, again.objective) == (found.start, found.sweeps, found.objective)


@pytest.mark.parametrize("net", ["strided", "residual", "adaptive", "shared", "mlp"])
@pytest.mark.parametrize("start", sorted(STARTS))
def test_no_group_can_be_ordered_better_while_the_others_stay(net, start):
    # Of a weight with both axes in one group the problem is only linearised, so nothing of the kind is promised.
    topology, shapes = ALL_NETS[net]()
    for seed in range(3):
        a, b = random_masks(shapes, 0.3, seed), random_masks(shapes, 0.3, seed + 10)
        found = align(a, b, topology, starts=(start,))
        for number, group in enumerate(found.groups):
            for order in itertools.permutations(range(group.size)):
                orders = [np.array(order) if n == number else o for n, o in enumerate(found.permutations)]
                assert in_common(a, permute(b, found.groups, orders)) <= found.objective


@pytest.mark.parametrize("weights", [False, True])
def test_the_descent_goes_on_until_no_group_improves(weights):
    topology, shapes = mlp(60, 40, 30, 20, 10)
    a, b = random_masks(shapes, 0.2, 0), random_masks(shapes, 0.2, 1)
    if weights:
        rng = np.random.default_rng(0)
        a, b = ({name: mask * rng.standard_normal(mask.shape) for name, mask in masks.items()} for masks in (a, b))
    found = align(a, b, topology, starts=("identity",))
    assert found.sweeps > 2
    problem = Problem(a, b, topology)
    for number, order in enumerate(found.permutations):
        gain = problem.gain(number, found.permutations)
        best = linear_sum_assignment(gain, maximize=True)
        assert gain[best].sum() == pytest.approx(gain[np.arange(len(order)), order].sum(), rel=1e-6)


def test_an_order_that_only_seems_better_is_not_taken():
    # Both axes of `loop` are in one group: what is linear at the present order need not hold at the next.
    topology, shapes = cyclic()
    refused = 0
    for seed in range(40):
        a, b = random_masks(shapes, 0.5, seed), random_masks(shapes, 0.5, seed + 100)
        found = align(a, b, topology, starts=("identity",))
        assert found.objective >= found.objective_before
        problem = Problem(a, b, topology)
        gain = problem.gain(0, found.permutations)
        order = linear_sum_assignment(gain, maximize=True)[1]
        refused += gain[np.arange(5), order].sum() > gain[np.arange(5), found.permutations[0]].sum()
        assert problem.objective([order]) <= found.objective
    assert refused > 0


def test_a_start_settles_groups_from_its_side_on():
    # All inputs are read by all units, so only the outputs tell them apart, layer after layer; and the other way round.
    topology, shapes = mlp(12, 10, 9, 12)
    masks = random_masks(shapes, 0.5, 0)
    groups = permutation_groups(topology, shapes)
    orders = random_orders(groups, np.random.default_rng(1))
    for start, other, dense in (("outputs", "inputs", "fc1"), ("inputs", "outputs", "fc3")):
        a = masks | {dense: np.ones_like(masks[dense])}
        problem = Problem(a, permute(a, groups, orders), topology)
        assert problem.objective(STARTS[start](problem)) == in_common(a, a)
        assert problem.objective(STARTS[other](problem)) < in_common(a, a)


def test_only_settled_groups_count_where_asked():
    topology, shapes = mlp(6, 5, 4, 3)
    a, b = random_masks(shapes, 0.5, 0), random_masks(shapes, 0.5, 1)
    orders = [np.arange(5), np.arange(4)]
    problem = Problem(a, b, topology)
    inputs, inner, outputs = a["fc1"] * 1.0 @ b["fc1"].T, a["fc2"].T * 1.0 @ b["fc2"], a["fc3"].T * 1.0 @ b["fc3"]
    assert np.array_equal(problem.gain(0, orders, settled={0}), inputs)
    assert np.array_equal(problem.gain(0, orders, settled={1}), inputs + inner)
    assert np.array_equal(problem.gain(1, orders, settled=()), outputs)
    assert np.array_equal(problem.gain(1, orders), a["fc2"] * 1.0 @ b["fc2"].T + outputs)


@pytest.mark.parametrize("net", ["strided", "residual", "adaptive", "mlp", "cyclic"])
def test_small_networks_are_aligned_as_well_as_can_be(net):
    # Every order of all groups at once; coordinate descent has no such guarantee, and reaches it with some restarts.
    topology, shapes = ALL_NETS[net]()
    if net == "mlp":
        topology, shapes = mlp(5, 4, 3, 2)
    groups = permutation_groups(topology, shapes)
    for seed in range(2):
        a, b = random_masks(shapes, 0.4, seed), random_masks(shapes, 0.4, seed + 10)
        problem = Problem(a, b, topology)
        every = itertools.product(*(list(map(np.array, itertools.permutations(range(g.size)))) for g in groups))
        assert align(a, b, topology, restarts=20).objective == max(map(problem.objective, every))


@pytest.mark.parametrize("net", sorted(ALL_NETS))
def test_equal_networks_stay_as_they_are(net):
    topology, shapes = ALL_NETS[net]()
    masks = random_masks(shapes, 0.3, 0)
    found = align(masks, masks, topology)
    assert found.start == "identity"
    assert found.sweeps == (1 if found.groups else 0)
    assert all(np.array_equal(order, np.arange(len(order))) for order in found.permutations)


@pytest.mark.parametrize("weights", [False, True])
def test_a_permuted_network_is_put_back(weights):
    topology, a, b, back = planted(conv_net(), 0.3, seed=1, share=0)
    if weights:
        rng = np.random.default_rng(2)
        a = {name: mask * rng.standard_normal(mask.shape) for name, mask in a.items()}
        groups = permutation_groups(topology, {name: mask.shape for name, mask in a.items()})
        b = permute(a, groups, [np.argsort(order) for order in back])
    found = align(a, b, topology)
    assert all(map(np.array_equal, found.permutations, back))
    assert found.objective == pytest.approx(in_common(a, a))


@pytest.mark.parametrize(
    ("net", "density"),
    [(lambda: mlp(100, 60, 30, 10), 0.1), (conv_net, 0.05), (conv_net, 0.2), (residual_net, 0.05), (residual_net, 0.2)],
    ids=["mlp", "conv 5 %", "conv 20 %", "residual 5 %", "residual 20 %"],
)
def test_a_planted_permutation_is_found_with_half_the_weights_rewired(net, density):
    topology, a, b, back = planted(net(), density, seed=3)
    active = sum(int(mask.sum()) for mask in a.values())
    found = align(a, b, topology)
    assert found.objective_before / active < density + 0.05
    # Half of the active weights are in place, whatever fell together besides.
    assert found.objective / active >= 0.5 - 0.005
    same = sum(int((order == known).sum()) for order, known in zip(found.permutations, back, strict=True))
    assert same >= 0.9 * sum(len(order) for order in back)
    p, nulls = p_value(topology, a, b, draws=9)
    assert p == 1 / 10
    assert max(nulls) / active < 0.42


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "density"), [(lambda: mlp(100, 60, 30, 10), 0.1), (conv_net, 0.05)], ids=["mlp", "conv 5 %"]
)
def test_a_planted_permutation_is_beyond_each_of_99_nulls(net, density):
    topology, a, b, _ = planted(net(), density, seed=3)
    p, nulls = p_value(topology, a, b, draws=99)
    assert p == 1 / 100
    assert max(nulls) < 0.9 * align(a, b, topology).objective


@pytest.mark.slow
def test_half_of_lenet_is_found_at_2_percent_and_its_null_does_not():
    topology, a, b, _ = planted(mlp(784, 300, 100, 10), 0.02, seed=0)
    active = sum(int(mask.sum()) for mask in a.values())
    found = align(a, b, topology)
    assert found.objective_before / active < 0.03
    assert found.objective / active == pytest.approx(0.5, abs=0.003)
    p, nulls = p_value(topology, a, b, draws=9)
    assert p == 1 / 10
    assert 0.15 < min(nulls) / active <= max(nulls) / active < 0.2


@pytest.mark.slow
def test_alignment_makes_overlap_out_of_nothing():
    topology, a, _, _ = planted(mlp(784, 300, 100, 10), 0.01, seed=0)
    b = layer_shuffle(a, np.random.default_rng(9))
    active = sum(int(mask.sum()) for mask in a.values())
    found = align(a, b, topology)
    assert found.objective_before / active < 0.02
    assert 0.17 < found.objective / active < 0.23
    p, _ = p_value(topology, a, b, draws=9)
    assert p > 1 / 10


def test_weights_are_matched_through_noise():
    topology, shapes = residual_net()
    rng = np.random.default_rng(0)
    groups = permutation_groups(topology, shapes)
    a = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    noisy = {name: w + rng.standard_normal(w.shape).astype(np.float32) for name, w in a.items()}
    orders = random_orders(groups, rng)
    found = align(a, permute(noisy, groups, orders), topology)
    assert all(
        np.array_equal(order[back], np.arange(len(order)))
        for order, back in zip(orders, found.permutations, strict=True)
    )


def test_relaxation_finds_what_a_greedy_start_does_not():
    topology, a, b, back = planted(residual_net(), 0.1, seed=1, share=0.7)
    truth = in_common(a, permute(b, align(a, b, topology).groups, back))
    reached = {start: align(a, b, topology, starts=(start,)).objective for start in STARTS}
    assert reached["relaxed"] >= truth
    assert max(reached["identity"], reached["inputs"], reached["outputs"]) < 0.8 * truth
    assert align(a, b, topology).start == "relaxed"


def test_biases_move_with_their_units():
    topology, shapes = mlp(4, 3, 2)
    nodes = (dataclasses.replace(n, bias=f"{n.weight}.bias") if n.weight else n for n in topology.nodes)
    topology = Topology(tuple(nodes))
    rng = np.random.default_rng(0)
    a = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    order = np.array([2, 0, 1])
    b = {"fc1": a["fc1"][order], "fc2": a["fc2"][:, order]}
    found = align(a, b, topology)
    bias = np.array([1.0, 2.0, 3.0])
    moved = found.apply({**b, "fc1.bias": bias[order], "fc2.bias": np.array([5.0, 6.0])})
    assert np.array_equal(moved["fc1.bias"], bias)
    assert np.array_equal(moved["fc2.bias"], [5.0, 6.0])
    assert np.array_equal(moved["fc1"], a["fc1"])
    assert found.to_dict()["groups"][0]["biases"] == (
        {"layer": "fc1.bias", "axis": 0, "block": 1, "start": 0, "after": 0},
    )


def test_a_network_without_hidden_units():
    topology, shapes = mlp(4, 3)
    a, b = random_masks(shapes, 0.5, 0), random_masks(shapes, 0.5, 1)
    found = align(a, b, topology)
    assert (found.groups, found.permutations, found.sweeps) == ((), (), 0)
    assert found.objective == found.objective_before == in_common(a, b)
    assert np.array_equal(found.apply(b)["fc1"], b["fc1"])


@pytest.mark.parametrize("value", [0.0, False])
def test_empty_networks_can_be_aligned(value):
    topology, shapes = mlp(4, 3, 2)
    empty = {name: np.full(shape, value) for name, shape in shapes.items()}
    found = align(empty, empty, topology, restarts=2)
    assert found.objective == 0
    assert found.start == "identity"


def test_results_say_where_they_come_from():
    topology, shapes = mlp(6, 5, 4, 3)
    a, b = random_masks(shapes, 0.3, 0), random_masks(shapes, 0.3, 1)
    found = align(a, b, topology, starts=(), restarts=3, seed=4)
    assert found.start == "random"
    values = found.to_dict()
    assert values["groups"][0]["permutation"] == found.permutations[0].tolist()
    assert (values["objective"], values["start"]) == (found.objective, "random")


def test_what_cannot_be_aligned():
    topology, shapes = mlp(6, 5, 3)
    masks = random_masks(shapes, 0.3, 0)
    weights = {name: mask.astype(float) for name, mask in masks.items()}
    for a, b, message in (
        (masks, {"fc1": masks["fc1"]}, "layer fc2 is in one of the two networks only"),
        (masks, masks | {"fc1": masks["fc1"].T}, r"fc1 has shape \(5, 6\) in one network and \(6, 5\)"),
        (masks, weights, "layer fc1: a mask cannot be matched with weights"),
        (weights, weights | {"fc2": weights["fc2"] * math.nan}, "layer fc2: weights must be finite"),
        (weights | {"fc2": weights["fc2"] * 1j}, weights, "layer fc2: masks or real weights"),
        ({"fc1": masks["fc1"]}, {"fc1": masks["fc1"]}, "layer fc2 of the operator graph"),
        ({name: w * 1e200 for name, w in weights.items()}, weights, "too large"),
    ):
        with pytest.raises(StructureError, match=message):
            align(a, b, topology)
    with pytest.raises(StructureError, match="no start 'middle'"):
        align(masks, masks, topology, starts=("middle",))
    for none in ({"starts": ()}, {"restarts": -1}):
        with pytest.raises(StructureError, match="at least one start"):
            align(masks, masks, topology, **none)
    found = align(masks, masks, topology)
    with pytest.raises(StructureError, match=r"bn\.bias is no parameter of the operator graph"):
        found.apply({"bn.bias": np.zeros(5)})
    with pytest.raises(StructureError, match=r"fc1 of shape \(4, 6\) does not have 5 units of 1 along axis 0"):
        found.apply({"fc1": np.zeros((4, 6))})
