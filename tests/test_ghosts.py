"""Foldable ghosts: fold them in numbers, and see that the network computes the same."""

import dataclasses

import numpy as np
import pytest
from unrolled import NETS, Build, mlp, random_masks

from masktools.topology.ghosts import foldable_ghosts
from masktools.topology.graph import LAYERS, POOLS
from masktools.topology.reach import backward, forward
from masktools.topology.rearrangement import source_elements
from masktools.topology.windows import tap_matrices, tap_table


def value(topology, node, sources, weights, biases, feed):
    """Evaluate one node in numbers; activations are leaky rectifiers, so that a unit of zeros stays one."""
    flat = [np.pad(source.reshape(len(source), -1), ((0, 0), (0, 1))) for source in sources]
    if node.op in ("input", "constant"):
        return feed.standard_normal(node.shape)
    if node.op in LAYERS:
        made = np.zeros((node.shape[0], int(np.prod(node.shape[1:]))))
        for matrices, met in zip(
            tap_matrices(weights[node.weight], node.groups), tap_table(topology, node), strict=True
        ):
            read = flat[0][:, met].reshape(node.groups, -1, made.shape[1])
            made += (matrices @ read).reshape(made.shape)
        return (made + biases[node.weight][:, None]).reshape(node.shape)
    if node.op in POOLS or node.op.startswith("adaptive") or node.op == "resample":
        table = tap_table(topology, node)
        if node.label.startswith("max"):
            made = np.where(table >= 0, flat[0][:, table], -np.inf).max(axis=1)
        else:
            made = flat[0][:, table].sum(axis=1)
            made /= len(table) if node.op in POOLS else np.maximum((table >= 0).sum(axis=0), 1)
        return made.reshape(node.shape)
    if node.op == "attention":
        return attend(node, *sources)
    if node.op == "mix":
        powers = np.exp(sources[0])
        return powers / powers.sum(axis=node.axes, keepdims=True)
    if node.op == "concat":
        return np.concatenate(sources, axis=node.axes[0])
    if node.op in ("add", "mul"):
        return (np.sum if node.op == "add" else np.prod)(sources, axis=0)
    if node.op == "view":
        return sources[0].reshape(-1)[source_elements(node.view)].reshape(node.shape)
    if node.op == "identity":
        return pointwise(node, sources[0], biases)
    return sources[0].reshape(node.shape)


def pointwise(node, source, biases):
    if node.label == "layer_norm":
        return (source - source.mean(axis=0)) / (source.std(axis=0) + 0.1)
    if node.bias:
        # What is folded is gone, and its offset with it.
        there = (source != 0).reshape(len(source), -1).any(axis=1)
        return source + (biases[node.bias] * there).reshape(-1, *[1] * (source.ndim - 1))
    return np.where(source > 0, source, 0.1 * source)


def attend(node, queries, keys, values):
    q, k, v = (x.reshape(node.heads.count, -1, *x.shape[1:]) for x in (queries, keys, values))
    scores = np.exp(np.einsum("hc...n,hc...m->h...nm", q, k))
    if node.heads.causal:
        scores = np.tril(scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return np.einsum("h...nm,hd...m->hd...n", scores, v).reshape(node.shape)


def evaluate(topology, weights, biases, seed, keep=lambda number, made: made):
    """All values; constants are the same for every seed, inputs are not."""
    values = []
    for number, node in enumerate(topology.nodes):
        feed = np.random.default_rng([number, seed if node.op == "input" else 0])
        made = value(topology, node, [values[source] for source in node.inputs], weights, biases, feed)
        values.append(keep(number, made))
    return values


class Fold:
    """Take units out, and put what is missing into the biases that may carry it: those found first are kept."""

    def __init__(self, topology, foldable, leading):
        self.topology, self.foldable, self.leading = topology, foldable, leading
        self.added, self.original = {}, None
        names = [name for node in topology.nodes for name in {node.weight, node.bias} if name]
        self.private = [
            all(names.count(name) == 1 for name in {node.weight, node.bias} if name) for node in topology.nodes
        ]

    def __call__(self, number, made):
        node = self.topology.nodes[number]
        if node.op in LAYERS:
            made[self.foldable[node.weight]] = 0
            kept = ~self.foldable[node.weight]
        else:
            kept = (made != 0).reshape(len(made), -1).any(axis=1)
        if (node.op in LAYERS and self.private[number]) or any(self._shifts(source, number) for source in node.inputs):
            if number not in self.added:
                self.added[number] = self._missing(self.original[number] - made, self.leading[number], kept)
            made = made + self.added[number].reshape(-1, *[1] * (made.ndim - 1))
        return made

    def _shifts(self, source, number):
        """Whether a summand has a bias of its own that nothing but the sum sees."""
        node = self.topology.nodes[source]
        readers = [other for other in self.topology.nodes for read in other.inputs if read == source]
        own = node.op in LAYERS or (node.op == "identity" and node.bias)
        return self.topology.nodes[number].op == "add" and own and len(readers) == 1 and self.private[source]

    @staticmethod
    def _missing(difference, leading, kept):
        """One number a unit: what is missing has to be the same wherever the unit leads on."""
        missing = np.zeros(len(difference))
        for unit in np.flatnonzero(kept):
            found = difference[unit][leading[unit]]
            if found.size:
                assert np.ptp(found) < 1e-9
                missing[unit] = found.flat[0]
        return missing


def ghosts_of(topology, masks):
    reached = forward(topology, masks)
    reaching = backward(topology, masks, reached)
    found = foldable_ghosts(topology, masks, reached, reaching)
    ghosts = {name: np.zeros(len(mask), dtype=bool) for name, mask in masks.items()}
    live = dict(ghosts)
    for node, ahead, behind in zip(topology.nodes, reached, reaching, strict=True):
        if node.weight:
            ghosts[node.weight] = ghosts[node.weight] | behind.anywhere
            both = (ahead.to_array() & behind.to_array()).reshape(node.shape[0], -1).any(axis=1)
            live[node.weight] = live[node.weight] | both
    return found, {name: ghosts[name] & ~live[name] for name in masks}, [field.to_array() for field in reaching]


def check(topology, masks):
    """Fold what is found; return how many ghosts there are, and how many of them are folded."""
    found, ghosts, leading = ghosts_of(topology, masks)
    assert list(found) == list(topology.layers)
    rng = np.random.default_rng(5)
    weights = {name: mask * rng.standard_normal(mask.shape) for name, mask in masks.items()}
    biases = {name: rng.standard_normal(len(mask)) for name, mask in masks.items()}
    biases |= {node.bias: rng.standard_normal(node.shape[0]) for node in topology.nodes if node.op == "identity"}
    plain = [evaluate(topology, weights, biases, seed) for seed in (1, 2)]
    for number, node in enumerate(topology.nodes):
        if node.weight:
            assert not (found[node.weight] & ~ghosts[node.weight]).any()
            for unit in np.flatnonzero(found[node.weight] & leading[number].reshape(node.shape[0], -1).any(axis=1)):
                one, other = (values[number][unit] for values in plain)
                assert np.ptp(one) < 1e-12
                np.testing.assert_allclose(one, other, rtol=1e-12)
    fold = Fold(topology, found, leading)
    for seed, values in zip((1, 2), plain, strict=True):
        fold.original = values
        folded = evaluate(topology, weights, biases, seed, fold)
        for number, node in enumerate(topology.nodes):
            if node.op == "output":
                np.testing.assert_allclose(folded[number], values[number], atol=1e-9)
    return sum(flags.sum() for flags in ghosts.values()), sum(flags.sum() for flags in found.values())


SEEDS = range(4)
DENSITIES = (0.2, 0.4)


@pytest.mark.parametrize("net", NETS)
def test_folding_what_is_found_changes_no_output(net):
    topology, shapes = NETS[net]()
    for density in DENSITIES:
        for seed in SEEDS:
            check(topology, random_masks(shapes, density, seed))


def test_the_masks_above_have_ghosts_of_both_kinds():
    counts = []
    for net in NETS.values():
        topology, shapes = net()
        found, ghosts, _ = zip(*(ghosts_of(topology, random_masks(shapes, 0.2, seed)) for seed in SEEDS), strict=True)
        counts.append([sum(flags.sum() for masks in many for flags in masks.values()) for many in (found, ghosts)])
    folded, ghosts = np.array(counts).T
    assert folded.sum() > 50
    assert (ghosts - folded).sum() > 50
    assert (folded > 0).sum() > len(NETS) / 2


def found_in(topology, shapes, **masks):
    """Names and units of the foldable ghosts; masks that are not given are dense."""
    masks = {name: masks.get(name, np.ones(shape, dtype=bool)) for name, shape in shapes.items()}
    check(topology, masks)
    found, ghosts, _ = ghosts_of(topology, masks)
    assert any(flags.any() for flags in ghosts.values())
    return {(name, int(unit)) for name, flags in found.items() for unit in np.flatnonzero(flags)}


def rows(shape, *empty):
    mask = np.ones(shape, dtype=bool)
    mask[list(empty)] = False
    return mask


def test_a_hidden_feature_that_reads_nothing_is_folded_and_so_is_what_reads_it_alone():
    topology, shapes = mlp(3, 2, 2, 1)
    second = np.array([[True, False], [True, True]])
    assert found_in(topology, shapes, fc1=rows((2, 3), 0), fc2=second) == {("fc1", 0), ("fc2", 0)}


def test_a_constant_that_the_network_returns_is_not_folded():
    topology, shapes = mlp(3, 2, 2)
    assert found_in(topology, shapes, fc2=rows((2, 2), 1)) == set()


def convolutions(**geometry):
    b = Build()
    x = b.same("identity", b.conv(b.input(1, 4, 4), 2, "a", padding=(1, 1)))
    return b.done(b.linear(b.flatten(b.conv(x, 2, "b", **geometry)), 2, "fc"))


def test_a_map_is_folded_unless_a_tap_reads_its_padding():
    empty = rows((2, 1, 3, 3), 1)
    topology, shapes = convolutions()
    assert found_in(topology, shapes, a=empty) == {("a", 1)}
    topology, shapes = convolutions(padding=(1, 1))
    assert found_in(topology, shapes, a=empty) == set()
    taps = np.ones((2, 2, 3, 3), dtype=bool)
    taps[:, 1] = False
    taps[:, 1, 1, 1] = True
    assert found_in(topology, shapes, a=empty, b=taps) == {("a", 1)}


def test_a_ghost_of_a_ghost_is_uniform_only_if_nothing_on_the_way_meets_padding():
    b = Build()
    x = b.conv(b.input(1, 4, 4), 2, "a", kernel=(1, 1))
    x = b.conv(b.conv(x, 2, "b", padding=(1, 1)), 2, "c", kernel=(1, 1))
    topology, shapes = b.done(b.linear(b.flatten(x), 1, "fc"))
    second = np.ones((2, 2, 3, 3), dtype=bool)
    second[0, 0] = False
    # Unit 0 of b reads the constant alone, and near the border less of it.
    assert found_in(topology, shapes, a=rows((2, 1, 1, 1), 1), b=second) == set()
    second[:, 1] = False
    second[:, 1, 1, 1] = True
    assert found_in(topology, shapes, a=rows((2, 1, 1, 1), 1), b=second) == {("a", 1), ("b", 0)}


@pytest.mark.parametrize(
    ("label", "padding", "expected"), [("avg", 1, set()), ("avg", 0, {("a", 1)}), ("max", 1, {("a", 1)})]
)
def test_pooling_keeps_a_constant_unless_it_averages_zeros_in(label, padding, expected):
    b = Build()
    x = b.conv(b.input(1, 4, 4), 2, "a", kernel=(1, 1))
    x = b.pool(x, (2, 2), stride=(2, 2), padding=(padding, padding))
    b.nodes[x] = dataclasses.replace(b.nodes[x], label=f"{label}_pool2d")
    topology, shapes = b.done(b.linear(b.flatten(x), 1, "fc"))
    assert found_in(topology, shapes, a=rows((2, 1, 1, 1), 1)) == expected


@pytest.mark.parametrize(("label", "expected"), [("relu", {("a", 1)}), ("layer_norm", set()), ("mul", set())])
def test_a_norm_over_the_units_or_an_unknown_function_is_no_way_through(label, expected):
    b = Build()
    x = b.same("identity", b.linear(b.input(3), 2, "a"), label=label)
    topology, shapes = b.done(b.linear(x, 2, "fc"))
    assert found_in(topology, shapes, a=rows((2, 3), 1)) == expected


def residual_block(**kinds):
    """The shortcut is x, which is read twice; the branch ends in b, or in an offset of its own."""
    b = Build()
    x = b.linear(b.input(3), 2, "a")
    y = b.linear(b.same("identity", x), 2, "b")
    if "bias" in kinds:
        y = b.same("identity", y, label="batch_norm", **kinds)
    return b.done(b.linear(b.same("identity", b.same("add", x, y)), 2, "c"))


@pytest.mark.parametrize("kinds", [{}, {"bias": "offset"}])
def test_a_ghost_on_the_shortcut_goes_into_the_bias_of_the_branch(kinds):
    topology, shapes = residual_block(**kinds)
    assert found_in(topology, shapes, a=rows((2, 3), 1)) == {("a", 1)}


def test_a_ghost_on_the_branch_stays_where_the_shortcut_is_read_by_others():
    topology, shapes = residual_block()
    assert found_in(topology, shapes, b=rows((2, 2), 1)) == set()


def test_a_sum_of_ghosts_is_folded_as_one():
    topology, shapes = residual_block()
    masks = {"a": rows((2, 3), 1), "b": rows((2, 2), 1)}
    assert found_in(topology, shapes, **masks) == {("a", 1), ("b", 1)}


def test_a_bias_that_serves_several_nodes_carries_nothing():
    b = Build()
    x, y = b.linear(b.input(2), 2, "a"), b.input(2)
    topology, shapes = b.done(b.linear(x, 2, "w"), b.linear(y, 2, "w"))
    assert found_in(topology, shapes, a=rows((2, 2), 1)) == set()


def test_a_ghost_is_folded_only_if_all_its_uses_are():
    topology, shapes = NETS["shared"]()
    # Its second use is an output.
    assert found_in(topology, shapes, w=rows((4, 4), 1)) == set()


def test_values_are_folded_through_attention_and_keys_are_not():
    b = Build()
    x = b.input(2, 3)
    q, k, v = (b.linear(x, 2, name) for name in "qkv")
    topology, shapes = b.done(b.linear(b.attention(q, k, v), 2, "out"))
    assert found_in(topology, shapes, v=rows((2, 2), 0)) == {("v", 0)}
    assert found_in(topology, shapes, k=rows((2, 2), 0)) == set()


def test_a_product_with_what_inputs_reach_is_not_folded():
    b = Build()
    x = b.input(2)
    topology, shapes = b.done(b.linear(b.same("mul", b.linear(x, 2, "a"), b.linear(x, 2, "b")), 1, "c"))
    assert found_in(topology, shapes, a=rows((2, 2), 0)) == set()
    assert found_in(topology, shapes, a=rows((2, 2), 0), b=rows((2, 2), 0)) == {("a", 0), ("b", 0)}


def test_two_ghosts_do_not_carry_each_other():
    b = Build()
    x, y = b.input(2), b.input(2)
    shortcut = b.linear(x, 2, "a")
    total = b.same("add", b.linear(y, 2, "b"), b.linear(y, 2, "c"), shortcut)
    topology, shapes = b.done(b.linear(b.same("identity", total), 1, "d"), b.linear(shortcut, 1, "e"))
    # Both sums have a bias of their own, but what is left of them is read elsewhere too.
    assert found_in(topology, shapes, b=rows((2, 2), 0), c=rows((2, 2), 0)) == set()
    assert found_in(topology, shapes, b=rows((2, 2), 0)) == {("b", 0)}


def test_a_branch_whose_weight_is_used_twice_carries_nothing():
    b = Build()
    x = b.linear(b.input(2), 2, "w")
    total = b.same("add", b.linear(x, 2, "w"), b.linear(b.input(2), 2, "g"))
    topology, shapes = b.done(b.linear(b.same("identity", total), 1, "out"))
    assert found_in(topology, shapes, g=rows((2, 2), 0)) == set()


def test_a_maximum_over_padding_alone_is_no_constant():
    b = Build()
    x = b.conv(b.input(1, 2, 2), 1, "a", kernel=(1, 1))
    x = b.pool(x, (1, 1), padding=(1, 1))
    b.nodes[x] = dataclasses.replace(b.nodes[x], label="max_pool2d")
    topology, _ = b.done(b.linear(b.flatten(x), 1, "fc"))
    found, ghosts, _ = ghosts_of(topology, {"a": rows((1, 1, 1, 1), 0), "fc": np.ones((1, 16), dtype=bool)})
    assert ghosts["a"][0]
    assert not found["a"][0]
