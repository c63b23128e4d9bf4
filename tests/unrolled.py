"""Slow, obvious oracle: every unit at every position is a node of a networkx graph, every use of a weight an edge."""

import itertools
import math

import networkx as nx
import numpy as np

from masktools.topology.graph import ADAPTIVE, CONVOLUTIONS, LAYERS, POOLS, Heads, Node, Topology, View, Window


def unrolled(topology, masks):
    """Nodes are (node index, unit, position...); edges carry place, layer and `element`, the index of a weight."""
    graph = nx.MultiDiGraph()
    for number, node in enumerate(topology.nodes):
        for unit in np.ndindex(*node.shape):
            graph.add_node((number, *unit))
        shapes = [topology.nodes[source].shape for source in node.inputs]
        if node.op == "attention":
            edges = list(_attended(topology, node, shapes, graph))
        else:
            edges = [
                (place, near, far, element)
                for place in range(len(shapes))
                for near, far, element in _edges(node, shapes, place, masks)
            ]
        for place, near, far, element in edges:
            tail, head = (node.inputs[place], *near), (number, *far)
            graph.add_edge(tail, head, key=(place, element), place=place, element=element, layer=node.weight)
    return graph


def _edges(node, shapes, place, masks):
    shape = shapes[place]
    if node.op == "linear":
        for out, fed in zip(*np.nonzero(masks[node.weight]), strict=True):
            for position in np.ndindex(*node.shape[1:]):
                yield (int(fed), *position), (int(out), *position), (int(out), int(fed))
    elif node.op in CONVOLUTIONS:
        fed_per, out_per = shape[0] // node.window.groups, node.shape[0] // node.window.groups
        for o, i, *tap in np.argwhere(masks[node.weight]).tolist():
            for near, far in _slid(node, shape, tap):
                yield (o // out_per * fed_per + i, *near), (o, *far), (o, i, *tap)
    elif node.op in POOLS:
        for tap in np.ndindex(*node.window.kernel):
            for near, far in _slid(node, shape, tap):
                for unit in range(node.shape[0]):
                    yield (unit, *near), (unit, *far), None
    elif node.op in ADAPTIVE:
        for unit, *far in np.ndindex(*node.shape):
            bins = [
                range(math.floor(place * before / after), math.ceil((place + 1) * before / after))
                for place, before, after in zip(far, shape[1:], node.shape[1:], strict=True)
            ]
            for near in itertools.product(*bins):
                yield (unit, *near), (unit, *far), None
    elif node.op == "resample":
        for unit, *far in np.ndindex(*node.shape):
            for near in itertools.product(*(axis[place] for axis, place in zip(node.reads, far, strict=True))):
                yield (unit, *near), (unit, *far), None
    elif node.op == "flatten":
        for number, near in enumerate(np.ndindex(*shape)):
            yield near, (number,), None
    elif node.op == "view":
        elements = list(np.ndindex(*shape))
        for indices, far in zip(np.ndindex(*node.view.sizes), np.ndindex(*node.shape), strict=True):
            steps = sum(index * stride for index, stride in zip(indices, node.view.strides, strict=True))
            yield elements[node.view.offset + steps], far, None
    elif node.op == "concat":
        (axis,) = node.axes
        before = sum(other[axis] for other in shapes[:place])
        for near in np.ndindex(*shape):
            yield near, (*near[:axis], near[axis] + before, *near[axis + 1 :]), None
    elif node.op == "mix":
        for far in np.ndindex(*node.shape):
            for near in np.ndindex(*shape):
                if all(axis in node.axes or near[axis] == far[axis] for axis in range(len(far))):
                    yield near, far, None
    else:
        for unit in np.ndindex(*node.shape):
            yield unit, unit, None


def _slid(node, shape, tap):
    w = node.window
    for far in np.ndindex(*node.shape[1:]):
        near = tuple(
            f * stride - padding + t * dilation
            for f, stride, padding, t, dilation in zip(far, w.stride, w.padding, tap, w.dilation, strict=True)
        )
        if all(0 <= index < extent for index, extent in zip(near, shape[1:], strict=True)):
            yield near, far


def _attended(topology, node, shapes, graph):
    """Edges of an attention, given the graph of everything before it.

    For each output (d, r, n), at row r and position n: the values (d, r, m) that it reads; and if it reads more than
    one and the input reaches any of these, the products of queries (c, r, n) and keys (c, r, m) of its head of which
    the other factor is reached.
    """
    queries, keys, values = node.inputs
    units, extents, count = shapes[0][0], shapes[2], node.heads.count
    inputs = [name for name in graph if topology.nodes[name[0]].op == "input"]
    ahead = set(inputs).union(*(nx.descendants(graph, name) for name in inputs))
    for d, *row, n in np.ndindex(*node.shape):
        read = [m for m in range(extents[-1]) if m <= n or not node.heads.causal]
        for m in read:
            yield 2, (d, *row, m), (d, *row, n), None
        if len(read) > 1 and any((values, d, *row, m) in ahead for m in read):
            for c in range(units):
                if c * count // units == d * count // node.shape[0]:
                    if any((keys, c, *row, m) in ahead for m in read):
                        yield 0, (c, *row, n), (d, *row, n), None
                    if (queries, c, *row, n) in ahead:
                        for m in read:
                            yield 1, (c, *row, m), (d, *row, n), None


def reached(topology, graph, op, direction):
    """Boolean array per node: what is reached from all inputs, or what reaches an output."""
    ends = {name for name in graph if topology.nodes[name[0]].op == op}
    step = graph.successors if direction == "forward" else graph.predecessors
    found, stack = set(ends), list(ends)
    while stack:
        new = [name for name in step(stack.pop()) if name not in found]
        found.update(new)
        stack.extend(new)
    arrays = [np.zeros(node.shape, dtype=bool) for node in topology.nodes]
    for name in found:
        arrays[name[0]][name[1:]] = True
    return arrays


def effective(topology, masks, graph):
    """Mask by layer of the weights with an edge on a path from input to output."""
    ahead = reached(topology, graph, "input", "forward")
    back = reached(topology, graph, "output", "backward")
    result = {name: np.zeros(mask.shape, dtype=bool) for name, mask in masks.items()}
    for near, far, data in graph.edges(data=True):
        if data["layer"] is not None and ahead[near[0]][near[1:]] and back[far[0]][far[1:]]:
            result[data["layer"]][data["element"]] = True
    return result


def channel_graph(topology, graph):
    """Multigraph of (node index, channel); one edge for each weight that is used anywhere, one for each column."""
    channels = nx.MultiDiGraph()
    channels.add_nodes_from((number, c) for number, node in enumerate(topology.nodes) for c in range(node.shape[0]))
    for near, far, data in graph.edges(data=True):
        if topology.nodes[far[0]].op != "attention":
            channels.add_edge(near[:2], far[:2], key=(data["place"], data["element"]))
    for number, node in enumerate(topology.nodes):
        if node.op == "attention":
            # Whatever is reached: a value leads to its own unit, queries and keys to all units of their head.
            for place, source in enumerate(node.inputs):
                for c, d in itertools.product(range(topology.nodes[source].shape[0]), range(node.shape[0])):
                    together = _head(topology, source, c, node) == _head(topology, number, d, node)
                    if c == d if place == 2 else together:
                        channels.add_edge((source, c), (number, d), key=(place, None))
    return channels


def _head(topology, number, unit, attention):
    return unit // (topology.nodes[number].shape[0] // attention.heads.count)


def count_paths(topology, graph, *, taps=True):
    """Whole number of paths through the channel graph."""
    channels = channel_graph(topology, graph)
    count = {}
    for name in nx.topological_sort(channels):
        if topology.nodes[name[0]].op in ("input", "constant"):
            count[name] = int(topology.nodes[name[0]].op == "input")
        else:
            edges = [near for near, _ in channels.in_edges(name)]
            if not taps and topology.nodes[name[0]].weight is not None:
                edges = set(edges)
            count[name] = sum(count[near] for near in edges)
    return sum(value for name, value in count.items() if topology.nodes[name[0]].op == "output")


def component_sizes(topology, graph):
    """Number of units (channels of inputs and layers) in each weak component of the channel graph without constants."""
    channels = channel_graph(topology, graph)
    nobody = set()
    for name in nx.topological_sort(channels):
        op, near = topology.nodes[name[0]].op, set(channels.predecessors(name))
        if op == "constant" or (op != "input" and op not in LAYERS and near <= nobody):
            nobody.add(name)
    for number, node in enumerate(topology.nodes):
        if node.op == "attention":
            for source in node.inputs:
                for unit in range(topology.nodes[source].shape[0]):
                    channels.add_edge((source, unit), ("head", number, _head(topology, source, unit, node)))
    channels.remove_nodes_from(nobody)
    pieces = [[name for name in piece if name[0] != "head"] for piece in nx.weakly_connected_components(channels)]
    return sorted(
        sum(topology.nodes[number].op in ("input", *LAYERS) for number, _ in piece) for piece in pieces if piece
    )


class Build:
    """Write an operator graph down line by line; each method returns the index of the new node."""

    def __init__(self):
        self.nodes, self.shapes = [], {}

    def node(self, op, inputs, shape, **rest):
        self.nodes.append(Node(op, tuple(inputs), tuple(shape), **rest))
        return len(self.nodes) - 1

    def input(self, *shape):
        return self.node("input", (), shape)

    def constant(self, *shape):
        return self.node("constant", (), shape)

    def linear(self, source, out, name):
        units, *positions = self.nodes[source].shape
        self.shapes[name] = (out, units)
        return self.node("linear", [source], (out, *positions), weight=name)

    def conv(self, source, out, name, kernel=(3, 3), **geometry):
        window, fed = _window(kernel, **geometry), self.nodes[source].shape
        self.shapes[name] = (out, fed[0] // window.groups, *kernel)
        op = f"conv{len(kernel)}d"
        return self.node(op, [source], (out, *_size(fed, window)), weight=name, window=window)

    def pool(self, source, kernel, size=None, **geometry):
        window, fed = _window(kernel, **geometry), self.nodes[source].shape
        return self.node(f"pool{len(kernel)}d", [source], (fed[0], *(size or _size(fed, window))), window=window)

    def adaptive(self, source, *size):
        return self.node(f"adaptive_pool{len(size)}d", [source], (self.nodes[source].shape[0], *size))

    def resample(self, source, *reads):
        """Read lists of positions along each axis."""
        shape = (self.nodes[source].shape[0], *map(len, reads))
        return self.node("resample", [source], shape, reads=tuple(tuple(map(tuple, axis)) for axis in reads))

    def view(self, source, change, *shape):
        """Rearrange as `change` does with an array, by strides alone, and then give it a shape."""
        array = np.arange(math.prod(self.nodes[source].shape), dtype=np.int8).reshape(self.nodes[source].shape)
        changed = change(array)
        offset = changed.__array_interface__["data"][0] - array.__array_interface__["data"][0]
        assert 0 <= offset < array.size
        view = View(changed.shape, changed.strides, offset)
        return self.node("view", [source], shape or changed.shape, view=view)

    def concat(self, *sources, axis=0):
        shape = list(self.nodes[sources[0]].shape)
        shape[axis] = sum(self.nodes[source].shape[axis] for source in sources)
        return self.node("concat", sources, shape, axes=(axis,))

    def mix(self, source, *axes):
        return self.node("mix", [source], self.nodes[source].shape, axes=axes)

    def attention(self, queries, keys, values, heads=1, *, causal=False):
        shape = (self.nodes[values].shape[0], *self.nodes[queries].shape[1:])
        return self.node("attention", [queries, keys, values], shape, heads=Heads(heads, causal))

    def flatten(self, source):
        return self.node("flatten", [source], (math.prod(self.nodes[source].shape),))

    def same(self, op, *sources, **rest):
        return self.node(op, sources, self.nodes[sources[0]].shape, **rest)

    def done(self, *sources):
        for source in sources:
            self.same("output", source)
        return Topology(tuple(self.nodes)), self.shapes


def _window(kernel, **geometry):
    axes = len(kernel)
    plain = {"stride": (1,) * axes, "padding": (0,) * axes, "dilation": (1,) * axes}
    return Window(kernel, **(plain | geometry))


def _size(fed, window):
    return tuple(
        (fed[axis + 1] + 2 * window.padding[axis] - window.dilation[axis] * (window.kernel[axis] - 1) - 1)
        // window.stride[axis]
        + 1
        for axis in range(len(window.kernel))
    )


def mlp(*widths):
    b = Build()
    x = b.input(widths[0])
    for number, width in enumerate(widths[1:], start=1):
        x = b.linear(x, width, f"fc{number}")
    return b.done(x)


def strided():
    """Stride 2 with padding, and a pool whose floor drops a row and a column."""
    b = Build()
    x = b.conv(b.input(2, 9, 9), 3, "a", stride=(2, 2), padding=(1, 1))
    x = b.pool(b.same("identity", x), (2, 2), stride=(2, 2))
    x = b.conv(x, 3, "b", padding=(1, 1))
    return b.done(b.linear(b.flatten(x), 2, "c"))


def grouped():
    """Groups, dilation, depthwise, and a map that is not square."""
    b = Build()
    x = b.conv(b.input(4, 6, 5), 6, "a", dilation=(2, 1), padding=(1, 2), groups=2)
    x = b.conv(x, 6, "b", kernel=(2, 3), stride=(1, 2), groups=6)
    x = b.conv(x, 2, "c", kernel=(1, 1))
    return b.done(b.pool(x, (3, 3), stride=(2, 2), padding=(1, 1)))


def residual():
    """Two blocks with an identity and a strided projection as shortcuts."""
    b = Build()
    x = b.conv(b.input(1, 5, 5), 3, "stem", padding=(1, 1))
    y = b.conv(b.same("identity", b.conv(x, 2, "a1", padding=(1, 1))), 3, "a2", padding=(1, 1))
    x = b.same("add", y, x)
    y = b.conv(b.conv(x, 3, "b1", stride=(2, 2), padding=(1, 1)), 4, "b2", padding=(1, 1))
    x = b.same("add", b.conv(x, 4, "short", kernel=(1, 1), stride=(2, 2)), y)
    x = b.flatten(b.adaptive(x, 1, 1))
    return b.done(b.linear(x, 3, "head"))


def adaptive():
    """Overlapping bins, then more bins than positions."""
    b = Build()
    x = b.conv(b.input(2, 5, 7), 3, "a", padding=(1, 1), stride=(1, 2))
    x = b.adaptive(x, 3, 2)
    x = b.conv(x, 2, "b", kernel=(2, 2))
    x = b.adaptive(x, 3, 4)
    return b.done(b.linear(b.flatten(x), 3, "c"))


def shared():
    """One weight in three nodes, two inputs, two outputs, a node that feeds nothing, and x + x."""
    b = Build()
    x = b.linear(b.input(4), 4, "w")
    y = b.linear(b.input(4), 4, "w")
    b.linear(x, 2, "unread")
    z = b.linear(b.same("add", x, y, x), 4, "w")
    return b.done(b.linear(z, 2, "head"), y)


def ceiled():
    """A pool that rounds its size up, with dilation."""
    b = Build()
    x = b.pool(b.input(2, 6, 6), (2, 2), stride=(2, 2), padding=(0, 1), dilation=(2, 1), size=(2, 4))
    x = b.conv(x, 2, "a", padding=(1, 1))
    x = b.conv(b.pool(x, (2, 2), stride=(3, 3), size=(1, 2)), 2, "b", kernel=(1, 2))
    return b.done(x)


def _block(b, x, name, heads=2, *, causal=False):
    """A block of a transformer, units first."""
    width = b.nodes[x].shape[0]
    y = b.same("identity", x, label="layer_norm")
    y = b.attention(*(b.linear(y, width, f"{name}.{part}") for part in "qkv"), heads, causal=causal)
    x = b.same("add", x, b.linear(y, width, f"{name}.proj"))
    return b.same("add", x, b.linear(b.linear(x, 3, f"{name}.up"), width, f"{name}.down"))


def tokens():
    """A transformer: linear layers at every position, attention of two heads, a mean over the positions."""
    b = Build()
    x = _block(b, b.linear(b.input(2, 3), 4, "embed"), "block")
    return b.done(b.linear(b.flatten(b.adaptive(x, 1)), 2, "head"))


def causal():
    """Attention that reads no later positions, an answer at each, and one of the first alone."""
    b = Build()
    x = b.linear(b.view(b.input(3, 3), lambda a: a.T), 2, "embed")
    x = b.resample(x, [(), (0,), (1,)])
    x = _block(b, x, "one", heads=1, causal=True)
    return b.done(b.linear(x, 2, "head"), b.linear(b.view(x, lambda a: a[:, 0]), 2, "first"))


def class_token():
    """A token that no input makes, and an offset that differs from token to token."""
    b = Build()
    x = b.linear(b.input(2, 2), 4, "embed")
    x = b.same("add", b.concat(b.constant(4, 1), x, axis=1), b.constant(4, 3))
    x = _block(b, x, "block")
    return b.done(b.linear(b.view(x, lambda a: a[:, 0]), 2, "head"))


def cross():
    """Queries of one input and keys of another, of other numbers; values of other units; rows that do not mix."""
    b = Build()
    x, y = b.input(2, 2, 2), b.input(3, 2, 3)
    # Keys and values are reached at positions of their own.
    k = b.resample(b.linear(y, 4, "k"), [(0,), ()], [(), (1,), (2,)])
    v = b.resample(b.linear(y, 2, "v"), [(0,), (1,)], [(0, 1), (), ()])
    return b.done(b.linear(b.attention(b.linear(x, 4, "q"), k, v, 2), 2, "head"))


def uneven():
    """Attention that reads no later positions with more queries than keys and with fewer, and one of a single key."""
    b = Build()
    x = b.linear(b.input(3, 2), 3, "embed")
    y, z = b.resample(x, [(0,), (), (1,), (0,)]), b.resample(x, [(1,)])
    made = [
        b.attention(b.linear(queries, 2, f"q{n}"), b.linear(keys, 2, f"k{n}"), b.linear(keys, 2, f"v{n}"), causal=n < 2)
        for n, (queries, keys) in enumerate(((y, x), (x, y), (x, z)))
    ]
    return b.done(*(b.linear(x, 1, f"head{n}") for n, x in enumerate(made)))


def dense_block():
    """Maps side by side with all that were made before them, one of them twice."""
    b = Build()
    x = b.conv(b.input(1, 3, 2), 3, "stem", padding=(1, 1))
    y = b.conv(b.same("identity", x, label="batch_norm"), 2, "a", padding=(1, 1))
    z = b.conv(b.same("identity", b.concat(x, y)), 2, "b", padding=(1, 1))
    x = b.pool(b.conv(b.concat(x, y, z, y), 3, "transition", kernel=(1, 1)), (2, 1), padding=(1, 0), stride=(2, 1))
    x = b.concat(x, b.conv(x, 2, "c", kernel=(3, 1), padding=(1, 0)))
    return b.done(b.linear(b.flatten(x), 2, "head"))


def u_net():
    """Down, up by repeating positions, and side by side with a crop of what was there before."""
    b = Build()
    x = b.conv(b.input(1, 5, 5), 2, "a", padding=(1, 1))
    y = b.conv(b.pool(x, (2, 2), stride=(2, 2)), 3, "b", padding=(1, 1))
    y = b.resample(y, [(0,), (0, 1), (1,)], [(0,), (0, 1), (1,)])
    x = b.view(x, lambda a: a[:, 1:4, 1:4])
    return b.done(b.conv(b.concat(x, y), 2, "c"), b.conv(y, 1, "d", kernel=(1, 1)))


def mixer():
    """Layers over the units and over the positions, which views put in each other's place."""
    b = Build()
    x = b.view(b.conv(b.input(1, 4, 4), 3, "patch", kernel=(2, 2), stride=(2, 2)), lambda a: a, 3, 4)
    y = b.linear(b.linear(b.view(x, lambda a: a.T), 3, "up"), 4, "down")
    x = b.same("add", x, b.view(y, lambda a: a.T))
    x = b.same("add", x, b.linear(b.linear(x, 2, "wide"), 3, "narrow"))
    return b.done(b.linear(b.flatten(b.resample(x, [range(4)])), 2, "head"))


def shuffle():
    """Grouped convolutions with their channels exchanged between them; halves that go different ways."""
    b = Build()
    x = b.conv(b.input(2, 3, 3), 4, "a", groups=2, padding=(1, 1))
    x = b.view(x, lambda a: a.reshape(2, 2, 3, 3).swapaxes(0, 1), 4, 3, 3)
    x = b.conv(x, 4, "b", kernel=(2, 1), groups=2)
    left, right = (b.view(x, lambda a, h=half: a[2 * h : 2 * h + 2]) for half in (0, 1))
    x = b.concat(left, b.conv(right, 2, "c", kernel=(1, 1)))
    # Units that are made of others: two features at a time.
    x = b.view(x, lambda a: a, 12, 2)
    return b.done(b.linear(b.view(x, lambda a: a[::5, ::-1]), 2, "head"))


def gated():
    """Products: of two branches, and of channels with what all their positions give."""
    b = Build()
    x = b.input(2, 3, 3)
    x = b.same("mul", b.conv(x, 3, "a", padding=(1, 1)), b.same("identity", b.conv(x, 3, "b", padding=(1, 1))))
    y = b.linear(b.linear(b.flatten(b.adaptive(x, 1, 1)), 2, "squeeze"), 3, "excite")
    y = b.view(y, lambda a: np.broadcast_to(a[:, None, None], (3, 3, 3)))
    x = b.same("mul", x, y, b.constant(3, 3, 3))
    return b.done(b.conv(x, 2, "c", stride=(2, 2), padding=(1, 1)))


def sequence():
    b = Build()
    x = b.conv(b.input(2, 9), 4, "a", kernel=(3,), padding=(2,), dilation=(2,), stride=(2,))
    x = b.pool(b.conv(x, 4, "b", kernel=(2,), groups=2), (2,), stride=(2,), padding=(1,))
    x = b.adaptive(b.conv(x, 3, "c", kernel=(1,)), 2)
    return b.done(b.linear(b.flatten(x), 2, "head"))


def volume():
    b = Build()
    x = b.conv(b.input(1, 3, 2, 4), 2, "a", kernel=(2, 1, 3), padding=(0, 0, 1), stride=(1, 1, 2))
    x = b.pool(x, (2, 2, 1), padding=(1, 1, 0), stride=(2, 1, 1))
    x = b.conv(x, 2, "b", kernel=(2, 2, 2), groups=2, padding=(0, 1, 0))
    return b.done(b.linear(b.flatten(b.adaptive(x, 1, 2, 1)), 2, "head"))


def padded():
    """Uneven padding with zeros, then by reflection; a corner that nothing reads."""
    b = Build()
    x = b.resample(b.conv(b.input(1, 2, 2), 2, "a", kernel=(1, 1)), [(), (0,), (1,), ()], [(0,), (1,), ()])
    x = b.conv(x, 2, "b")
    x = b.resample(x, [(1,), (0,), (1,), (0,)], [(0,), (), (0,), (0,)])
    return b.done(b.conv(x, 2, "c", kernel=(3, 2), stride=(1, 2)))


def mixed():
    """Softmax over the positions along one axis, over the units, over both."""
    b = Build()
    x = b.resample(b.conv(b.input(1, 2, 3), 3, "a", kernel=(1, 1)), [(0,), ()], [(0,), (), (2,)])
    x = b.conv(b.mix(x, 2), 3, "b", kernel=(2, 1), padding=(1, 0))
    y = b.conv(b.resample(b.mix(x, 0), [(0,), (), ()], [(0,), (1,), ()]), 2, "c", kernel=(1, 2))
    constant = b.mix(b.concat(b.constant(1, 3, 2), b.linear(y, 2, "d")), 0)
    return b.done(b.linear(b.view(constant, lambda a: a[:2]), 2, "e"), b.linear(b.mix(y, 0, 1, 2), 1, "f"))


NETS = {
    net.__name__: net
    for net in (
        *(strided, grouped, residual, adaptive, shared, ceiled),
        *(
            tokens,
            causal,
            class_token,
            cross,
            dense_block,
            u_net,
            mixer,
            shuffle,
            gated,
            sequence,
            volume,
            padded,
            mixed,
        ),
    )
}
NETS["mlp"] = lambda: mlp(6, 5, 4, 3)


def random_masks(shapes, density, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape) < density for name, shape in shapes.items()}


def full_masks(shapes):
    return {name: np.ones(shape, dtype=bool) for name, shape in shapes.items()}
