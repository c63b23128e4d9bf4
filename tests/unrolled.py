"""Slow, obvious oracle: every unit at every position is a node of a networkx graph, every use of a weight an edge."""

import itertools
import math

import networkx as nx
import numpy as np

from masktools.topology.graph import Node, Topology, Window


def unrolled(topology, masks):
    """Nodes are (node index, unit...), edges carry `weight`, the index of the weight element or None."""
    graph = nx.DiGraph()
    for number, node in enumerate(topology.nodes):
        for unit in np.ndindex(*node.shape):
            graph.add_node((number, *unit))
        for source in node.inputs:
            for near, far, element in _edges(topology, node, source, masks):
                graph.add_edge((source, *near), (number, *far), element=element, layer=node.weight)
    return graph


def _edges(topology, node, source, masks):
    shape = topology.nodes[source].shape
    if node.op == "linear":
        for out, fed in zip(*np.nonzero(masks[node.weight]), strict=True):
            yield (int(fed),), (int(out),), (int(out), int(fed))
    elif node.op == "conv2d":
        w = node.window
        fed_per, out_per = shape[0] // w.groups, node.shape[0] // w.groups
        for o, i, kh, kw in zip(*np.nonzero(masks[node.weight]), strict=True):
            for h, v in itertools.product(range(node.shape[1]), range(node.shape[2])):
                y = h * w.stride[0] - w.padding[0] + kh * w.dilation[0]
                x = v * w.stride[1] - w.padding[1] + kw * w.dilation[1]
                if 0 <= y < shape[1] and 0 <= x < shape[2]:
                    near = (int(o) // out_per * fed_per + int(i), int(y), int(x))
                    yield near, (int(o), h, v), (int(o), int(i), int(kh), int(kw))
    elif node.op == "pool2d":
        w = node.window
        for c, h, v, kh, kw in np.ndindex(*node.shape, *w.kernel):
            y = h * w.stride[0] - w.padding[0] + kh * w.dilation[0]
            x = v * w.stride[1] - w.padding[1] + kw * w.dilation[1]
            if 0 <= y < shape[1] and 0 <= x < shape[2]:
                yield (c, y, x), (c, h, v), None
    elif node.op == "adaptive_pool2d":
        for c, h, v in np.ndindex(*node.shape):
            for y in range(math.floor(h * shape[1] / node.shape[1]), math.ceil((h + 1) * shape[1] / node.shape[1])):
                for x in range(math.floor(v * shape[2] / node.shape[2]), math.ceil((v + 1) * shape[2] / node.shape[2])):
                    yield (c, y, x), (c, h, v), None
    elif node.op == "flatten":
        for number, near in enumerate(np.ndindex(*shape)):
            yield near, (number,), None
    else:
        for unit in np.ndindex(*node.shape):
            yield unit, unit, None


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
    for number, node in enumerate(topology.nodes):
        for place, source in enumerate(node.inputs):
            edges = {
                ((source, near[1]), (number, far[1]), data["element"])
                for near, far, data in graph.edges(data=True)
                if near[0] == source and far[0] == number
            }
            for near, far, element in edges:
                channels.add_edge(near, far, key=(place, element))
    return channels


def count_paths(topology, graph, *, taps=True):
    """Whole number of paths through the channel graph."""
    channels = channel_graph(topology, graph)
    count = {}
    for name in nx.topological_sort(channels):
        if topology.nodes[name[0]].op == "input":
            count[name] = 1
        else:
            edges = [near for near, _ in channels.in_edges(name)]
            if not taps and topology.nodes[name[0]].weight is not None:
                edges = set(edges)
            count[name] = sum(count[near] for near in edges)
    return sum(value for name, value in count.items() if topology.nodes[name[0]].op == "output")


def component_sizes(topology, graph):
    """Number of units (channels of inputs and layers) in each weak component of the channel graph."""
    channels = channel_graph(topology, graph)
    return sorted(
        sum(topology.nodes[number].op in ("input", "linear", "conv2d") for number, _ in piece)
        for piece in nx.weakly_connected_components(channels)
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

    def linear(self, source, out, name):
        self.shapes[name] = (out, *self.nodes[source].shape)
        return self.node("linear", [source], (out,), weight=name)

    def conv(self, source, out, name, kernel=(3, 3), **geometry):
        window, fed = Window(kernel, **geometry), self.nodes[source].shape
        self.shapes[name] = (out, fed[0] // window.groups, *kernel)
        return self.node("conv2d", [source], (out, *_size(fed, window)), weight=name, window=window)

    def pool(self, source, kernel, size=None, **geometry):
        window, fed = Window(kernel, **geometry), self.nodes[source].shape
        return self.node("pool2d", [source], (fed[0], *(size or _size(fed, window))), window=window)

    def adaptive(self, source, *size):
        return self.node("adaptive_pool2d", [source], (self.nodes[source].shape[0], *size))

    def flatten(self, source):
        return self.node("flatten", [source], (math.prod(self.nodes[source].shape),))

    def same(self, op, *sources):
        return self.node(op, sources, self.nodes[sources[0]].shape)

    def done(self, *sources):
        for source in sources:
            self.same("output", source)
        return Topology(tuple(self.nodes)), self.shapes


def _size(fed, window):
    return tuple(
        (fed[axis + 1] + 2 * window.padding[axis] - window.dilation[axis] * (window.kernel[axis] - 1) - 1)
        // window.stride[axis]
        + 1
        for axis in range(2)
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


NETS = {net.__name__: net for net in (strided, grouped, residual, adaptive, shared, ceiled)}
NETS["mlp"] = lambda: mlp(6, 5, 4, 3)


def random_masks(shapes, density, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape) < density for name, shape in shapes.items()}


def full_masks(shapes):
    return {name: np.ones(shape, dtype=bool) for name, shape in shapes.items()}
