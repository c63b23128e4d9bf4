"""Attention, however it is written, is one node; other products of two tensors are refused."""

import pytest
import torch
from small_networks import Net, graph, kinds, tokens
from torch import nn

from masktools.topology.graph import Heads, Node, View
from masktools_train.sparse_layer import prunable_weights
from masktools_train.tracing import TraceError, trace

functional = nn.functional
LATER = torch.full((5, 5), -torch.inf).triu(1)


def layers(*names, features=4):
    return {name: nn.Linear(4, features) for name in names}


def heads(x):
    return x.unflatten(-1, (2, 2)).transpose(1, 2)


def joined(x):
    return x.transpose(1, 2).flatten(2)


def written(change=lambda scores: scores):
    def through(net, x):
        query, key, value = heads(net.q(x)), heads(net.k(x)), heads(net.v(x))
        scores = change((query / 2) @ key.transpose(-2, -1))
        return net.o(joined(functional.dropout(scores.softmax(-1), 0.1, net.training) @ value))

    return through


def by_einsum(net, x):
    query, key, value = (layer(x).unflatten(-1, (2, 2)) for layer in (net.q, net.k, net.v))
    weights = torch.einsum("bihd,bjhd->bhij", query / 2, key).softmax(dim=-1)
    return net.o(torch.einsum("bhij,bjhd->bihd", weights, value).flatten(2))


def expected(causal=False):
    return (
        Node("input", (), (5, 4)),
        Node("view", (0,), (4, 5), label="view", view=View((4, 5), (1, 4))),
        Node("linear", (1,), (4, 5), "q.weight", "q.bias", label="linear"),
        Node("linear", (1,), (4, 5), "k.weight", "k.bias", label="linear"),
        Node("linear", (1,), (4, 5), "v.weight", "v.bias", label="linear"),
        Node("attention", (2, 3, 4), (4, 5), label="attention", heads=Heads(2, causal)),
        Node("linear", (5,), (4, 5), "o.weight", "o.bias", label="linear"),
        Node("output", (6,), (4, 5)),
    )


def without_scaling(topology):
    """Take identities out: constants may scale the queries before or the scores after."""
    new, nodes = {}, []
    for index, node in enumerate(topology.nodes):
        if node.op == "identity":
            new[index] = new[node.inputs[0]]
        else:
            new[index] = len(nodes)
            fields = {name: getattr(node, name) for name in ("weight", "bias", "label", "view", "heads")}
            nodes.append(Node(node.op, tuple(new[i] for i in node.inputs), node.shape, **fields))
    return tuple(nodes)


@pytest.mark.parametrize(
    ("through", "causal"),
    [
        (written(), False),
        (written(lambda scores: scores + torch.rand(2, 5, 5)), False),
        (written(lambda scores: scores.view(2, 1, 2, 5, 5).add(0.5).view(-1, 2, 5, 5) * 0.3), False),
        (written(lambda scores: scores + LATER), True),
        (written(lambda scores: scores.masked_fill(LATER < 0, -1e9)), True),
        (written(lambda scores: torch.where(LATER == 0, scores, -torch.inf)), True),
        (written(lambda scores: scores.where(LATER == 0, torch.tensor(-1e30))), True),
        (by_einsum, False),
        (lambda n, x: n.o(joined(functional.scaled_dot_product_attention(
            heads(n.q(x)), heads(n.k(x)), heads(n.v(x))))), False),
        (lambda n, x: n.o(joined(functional.scaled_dot_product_attention(
            heads(n.q(x)), heads(n.k(x)), heads(n.v(x)), is_causal=True))), True),
        (lambda n, x: n.o(joined(functional.scaled_dot_product_attention(
            heads(n.q(x)), heads(n.k(x)), heads(n.v(x)), attn_mask=LATER == 0))), True),
        (lambda n, x: n.o(torch.bmm(
            torch.bmm(
                heads(n.q(x)).reshape(4, 5, 2), heads(n.k(x)).reshape(4, 5, 2).mT
            ).softmax(2),
            heads(n.v(x)).reshape(4, 5, 2)
        ).view(2, 2, 5, 2).transpose(1, 2).reshape(2, 5, 4)), False),
    ],
)  # fmt: skip
def test_the_same_node_however_it_is_written(through, causal):
    topology = graph(through, tokens(), **layers("q", "k", "v", "o"))
    assert without_scaling(topology) == expected(causal)


def test_one_layer_for_queries_keys_and_values():
    def through(net, x):
        query, key, value = net.qkv(x).unflatten(2, (3, 2, 2)).permute(2, 0, 3, 1, 4)
        return joined(functional.scaled_dot_product_attention(query, key, value))

    topology = graph(through, tokens(), qkv=nn.Linear(4, 12))
    views = [node.view for node in topology.nodes[3:6]]
    assert views == [View((20,), (1,), 20 * part) for part in range(3)]
    assert topology.nodes[6] == Node("attention", (3, 4, 5), (4, 5), label="attention", heads=Heads(2))


def test_windows_are_positions_apart():
    def through(net, x):
        windows = x.unflatten(1, (3, 2)).flatten(0, 1)
        parts = (heads(layer(windows)) for layer in (net.q, net.k, net.v))
        return joined(functional.scaled_dot_product_attention(*parts)).unflatten(0, (2, 3))

    topology = graph(through, tokens(6), **layers("q", "k", "v"))
    assert topology.nodes[-2:] == (
        Node("attention", (2, 3, 4), (4, 3, 2), label="attention", heads=Heads(2)),
        Node("output", (5,), (4, 3, 2)),
    )


def test_heads_that_share_keys_and_values():
    def through(net, x):
        one = (layer(x)[:, None] for layer in (net.k, net.v))
        return joined(functional.scaled_dot_product_attention(heads(net.q(x)), *one))

    topology = graph(through, tokens(), q=nn.Linear(4, 4), **layers("k", "v", features=2))
    assert [node.view for node in topology.nodes[5:7]] == [View((2, 10), (0, 1))] * 2
    assert topology.nodes[7].inputs == (2, 5, 6)


def test_the_module_with_packed_weights():
    module = nn.MultiheadAttention(4, 2, batch_first=True)
    topology = graph(lambda n, x: n.m(x, x, x)[0], tokens(), m=module)
    assert topology.nodes[2:] == (
        Node("linear", (1,), (12, 5), "m.in_proj_weight", "m.in_proj_bias", label="linear"),
        *(Node("view", (2,), (4, 5), label="view", view=View((20,), (1,), 20 * part)) for part in range(3)),
        Node("attention", (3, 4, 5), (4, 5), label="attention", heads=Heads(2)),
        Node("linear", (6,), (4, 5), "m.out_proj.weight", "m.out_proj.bias", label="linear"),
        Node("output", (7,), (4, 5)),
    )
    assert list(prunable_weights(module)) == ["in_proj_weight", "out_proj.weight"]


def test_cross_attention():
    def through(net, x, memory):
        return net.m(x, memory, memory, need_weights=False)[0]

    net = Net(through, m=nn.MultiheadAttention(4, 2, batch_first=True))
    topology = trace(net, (tokens(), tokens(3)), method="eager")
    assert topology.layers == ("m.in_proj_weight", "m.out_proj.weight")
    (attention,) = [node for node in topology.nodes if node.op == "attention"]
    made = [topology.nodes[topology.nodes[part].inputs[0]] for part in attention.inputs]
    assert [node.shape for node in made] == [(12, 5), (12, 3), (12, 3)]
    other = Net(through, m=nn.MultiheadAttention(4, 2, kdim=6, vdim=3, batch_first=True))
    assert list(prunable_weights(other)) == [
        "m.q_proj_weight", "m.k_proj_weight", "m.v_proj_weight", "m.out_proj.weight",
    ]  # fmt: skip
    topology = trace(
        Net(lambda n, x, k, v: n.m(x, k, v)[0], m=other.m), (tokens(), tokens(3, 6), tokens(3, 3)), method="eager"
    )
    assert [node.shape for node in topology.nodes if node.op == "linear"] == [(4, 5), (4, 3), (4, 3), (4, 5)]


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_layers(norm_first):
    layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, norm_first=norm_first)
    fast = torch.backends.mha.get_fastpath_enabled()
    causal = graph(lambda n, x: n.m(x, src_mask=LATER, is_causal=True), tokens(), m=layer)
    free = graph(lambda n, x: n.m(x), tokens(), m=layer)
    assert [node.heads for node in causal.nodes if node.heads] == [Heads(2, causal=True)]
    assert [node.heads for node in free.nodes if node.heads] == [Heads(2)]
    assert kinds(causal) == kinds(free)
    assert free.layers == (
        "m.self_attn.in_proj_weight",
        "m.self_attn.out_proj.weight",
        "m.linear1.weight",
        "m.linear2.weight",
    )
    assert [node.bias for node in free.nodes if node.label == "layer_norm"] == ["m.norm1.bias", "m.norm2.bias"]
    assert sum(node.op == "add" for node in free.nodes) == 2
    assert torch.backends.mha.get_fastpath_enabled() == fast


@pytest.mark.parametrize(
    ("through", "words"),
    [
        (lambda n, x: n.q(x) @ n.k(x).mT, "output of shape .* uses the product of two tensors made from the input"),
        (lambda n, x: torch.relu(n.q(x) @ n.k(x).mT) @ x, r"torch\.relu on .* uses the product of two tensors"),
        (lambda n, x: (n.q(x) @ n.k(x).mT).softmax(1) @ x, "along axis 1 of scores of attention"),
        (lambda n, x: (n.q(x) @ n.k(x).mT) @ x, "uses the product of two tensors"),
        (lambda n, x: (n.q(x) @ n.k(x).mT).softmax(-1).mul(x @ x.mT) @ x, "scores of attention"),
        (lambda n, x: (n.q(x) @ n.k(x).mT + x[:, :, :1]).softmax(-1) @ x, "another tensor made from the input"),
        (written(lambda scores: scores + LATER.triu(2)), "blocks other positions than all later ones"),
        (written(lambda scores: scores.masked_fill(LATER < 0, 0.0)), "other numbers than minus infinity"),
        (written(lambda scores: scores.flip(-1)), "moves rows or columns"),
        (lambda n, x: n.m(x, x, x)[1], "the weights that an attention returns beside its outputs"),
        (lambda n, x: n.m(x, x, x, key_padding_mask=torch.ones(2, 5, dtype=torch.bool).triu(1))[0], "mask"),
        (lambda n, x: nn.MultiheadAttention(4, 2)(x, x, x)[0], "."),
        (lambda n, x: x @ torch.rand(4, 4), "multiplies by a matrix that is no weight of the model"),
    ],
)
def test_other_products_are_refused(through, words):
    with pytest.raises(TraceError, match=words):
        graph(through, tokens(), m=nn.MultiheadAttention(4, 2, batch_first=True), **layers("q", "k", "v", "o"))
