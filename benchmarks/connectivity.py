"""Full connectivity of large masks, beside the kernels that it cannot do without and beside graph libraries.

    python benchmarks/connectivity.py
    pip install igraph    # not a dependency; without it its rows are left out

Two networks at 90 % sparsity: ResNet-50 (its operator graph traced, ERK densities) and a perceptron with four layers
of 4096 x 4096. "Full connectivity" is `masktools.connectivity_of`: effective weights, dead, ghost and foldable units,
paths and components, position by position and through residual connections. The kernels are what an analysis of the
bare channel graph needs in SciPy: building it, its weak components, reachability both ways, path counts. The libraries
do the same to the same channel graph. Prints times and ratios.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray

from masktools.structure.connectivity import connectivity_of
from masktools.topology.graph import Node, Topology

Masks = dict[str, NDArray[np.bool_]]
Edges = tuple[NDArray[np.int64], NDArray[np.int64], int, int, int]
"""Sources, targets, number of units, number of inputs, number of outputs."""


def perceptron(widths: tuple[int, ...], density: float) -> tuple[Topology, Masks]:
    """Return a perceptron and random masks of a density."""
    nodes, masks, rng = [Node("input", (), widths[:1])], {}, np.random.default_rng(0)
    for number, (fed, out) in enumerate(itertools.pairwise(widths), start=1):
        nodes.append(Node("linear", (len(nodes) - 1,), (out,), weight=f"fc{number}"))
        masks[f"fc{number}"] = rng.random((out, fed)) < density
    return Topology((*nodes, Node("output", (len(nodes) - 1,), widths[-1:]))), masks


def resnet50(density: float) -> tuple[Topology, Masks]:
    """Return ResNet-50 and random masks of ERK densities."""
    import torch

    from masktools_train.budgets import layer_counts
    from masktools_train.models import build_model
    from masktools_train.sparse_layer import prunable_weights
    from masktools_train.tracing import trace

    model = build_model("resnet50", {}, (3, 224, 224), 1000)
    topology = trace(model, torch.zeros(2, 3, 224, 224))
    shapes = {name: tuple(weight.shape) for name, weight in prunable_weights(model).items()}
    counts, rng = layer_counts(shapes, density, "erk", ()), np.random.default_rng(0)
    masks = {}
    for name, shape in shapes.items():
        mask = np.zeros(int(np.prod(shape)), dtype=np.bool_)
        mask[rng.choice(mask.size, counts[name], replace=False)] = True
        masks[name] = mask.reshape(shape)
    return topology, masks


def channel_edges(topology: Topology, masks: Masks) -> Edges:
    """Return the edges of the channel graph, a unit for each channel of each node; sums join their terms."""
    starts = np.cumsum([0, *(node.shape[0] for node in topology.nodes)])
    sources, targets = [], []
    for index, node in enumerate(topology.nodes):
        for source in node.inputs:
            if node.weight is not None:
                far, near = np.nonzero(masks[node.weight].any(axis=tuple(range(2, masks[node.weight].ndim))))
            else:
                far = np.arange(node.shape[0])
                near = far // (node.shape[0] // topology.nodes[source].shape[0])
            sources.append(starts[source] + near)
            targets.append(starts[index] + far)
    ends = [node.shape[0] for node in topology.nodes if node.op in ("input", "output")]
    return np.concatenate(sources), np.concatenate(targets), int(starts[-1]), ends[0], ends[-1]


def by_scipy(topology: Topology, masks: Masks) -> dict[str, Callable[[], Any]]:
    """Return the kernels."""
    sources, targets, size, _, _ = channel_edges(topology, masks)
    layers = [layer_matrix(topology, masks, index) for index in range(len(topology.nodes))]

    def build() -> Any:
        return scipy.sparse.csr_array((np.ones(len(sources), np.float32), (sources, targets)), shape=(size, size))

    graph = build()
    return {
        "build": build,
        "components": lambda: scipy.sparse.csgraph.connected_components(graph, directed=False),
        "reach both ways": lambda: (sweep(topology, layers, True), sweep_back(topology, layers)),
        "path counts": lambda: sweep(topology, layers, False),
    }


def layer_matrix(topology: Topology, masks: Masks, index: int) -> Any:
    """Return the channel graph of a layer as a matrix, out x in; None where a node has no weight."""
    node = topology.nodes[index]
    if node.weight is None:
        return None
    mask = masks[node.weight]
    return scipy.sparse.csr_array(mask.any(axis=tuple(range(2, mask.ndim))).astype(np.float64))


def sweep(topology: Topology, layers: list[Any], boolean: bool) -> list[NDArray[np.float64]]:
    """Follow paths from the input, as booleans or as counts scaled layer by layer."""
    values: list[NDArray[np.float64]] = []
    for node, matrix in zip(topology.nodes, layers, strict=True):
        fed = [values[source] for source in node.inputs]
        if not fed:
            value = np.ones(node.shape[0])
        elif matrix is not None:
            value = matrix @ fed[0]
        else:
            value = np.repeat(np.sum(fed, axis=0), node.shape[0] // len(fed[0]))
        values.append((value > 0).astype(np.float64) if boolean else value / max(value.max(), 1e-300))
    return values


def sweep_back(topology: Topology, layers: list[Any]) -> list[NDArray[np.float64]]:
    """Follow paths back from the output, as booleans."""
    values = [np.zeros(node.shape[0]) for node in topology.nodes]
    values[-1][:] = 1
    for index in reversed(range(len(topology.nodes))):
        node, matrix = topology.nodes[index], layers[index]
        for source in node.inputs:
            size = topology.nodes[source].shape[0]
            value = matrix.T @ values[index] if matrix is not None else values[index].reshape(size, -1).max(axis=1)
            values[source] = np.maximum(values[source], value > 0)
    return values


def by_networkx(topology: Topology, masks: Masks) -> None:
    """Build the graph, then components, reachability both ways and path counts."""
    import networkx as nx

    sources, targets, size, inputs, outputs = channel_edges(topology, masks)
    graph = nx.DiGraph()
    graph.add_nodes_from(range(size))
    graph.add_edges_from(zip(sources.tolist(), targets.tolist(), strict=True))
    sum(1 for _ in nx.weakly_connected_components(graph))
    for ends, view in ((range(inputs), graph), (range(size - outputs, size), graph.reverse(copy=False))):
        reached, stack = set(ends), list(ends)
        while stack:
            new = [unit for unit in view.successors(stack.pop()) if unit not in reached]
            reached.update(new)
            stack.extend(new)
    counts = dict.fromkeys(range(inputs), 1.0)
    for unit in nx.topological_sort(graph):
        if unit not in counts:
            counts[unit] = sum(counts[before] for before in graph.predecessors(unit))


def by_igraph(topology: Topology, masks: Masks) -> None:
    """Do the same with igraph; its path counts go edge by edge in Python, as it has none of its own."""
    import igraph

    sources, targets, size, inputs, outputs = channel_edges(topology, masks)
    graph = igraph.Graph(n=size, edges=np.stack([sources, targets], axis=1), directed=True)
    graph.connected_components(mode="weak")
    for ends, mode in ((range(inputs), "out"), (range(size - outputs, size), "in")):
        top = graph.copy()
        top.add_vertices(1)
        top.add_edges([(size, end) if mode == "out" else (end, size) for end in ends])
        top.subcomponent(size, mode=mode)


def timed(work: Callable[[], Any], rounds: int) -> float:
    """Return the median time of a call in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of what takes less than a second")
    parser.add_argument("--skip-networkx-mlp", action="store_true", help="networkx needs several GB and minutes there")
    options = parser.parse_args()
    networks = {
        "ResNet-50": resnet50(0.1),
        "MLP 4 x 4096": perceptron((4096, 4096, 4096, 4096, 4096), 0.1),
    }
    for name, (topology, masks) in networks.items():
        edges = len(channel_edges(topology, masks)[0])
        print(f"{name}: {edges:,} edges of the channel graph")
        kernels = {part: timed(work, options.rounds) for part, work in by_scipy(topology, masks).items()}
        total = sum(kernels.values())
        ours = timed(lambda network=(topology, masks): connectivity_of(*network), options.rounds)
        for part, seconds in {**kernels, "sum of the kernels": total, "ours: full connectivity": ours}.items():
            print(f"  {part:28s} {1000 * seconds:10.1f} ms {seconds / total:8.2f} of the kernels")
        peers: dict[str, Callable[[Topology, Masks], None]] = {"igraph": by_igraph, "networkx": by_networkx}
        for peer, work in peers.items():
            if peer == "networkx" and options.skip_networkx_mlp and name.startswith("MLP"):
                continue
            try:
                seconds = timed(lambda run=work, network=(topology, masks): run(*network), 1)
            except ImportError:
                print(f"  {peer:28s} is not installed")
                continue
            print(f"  {peer:28s} {1000 * seconds:10.1f} ms {seconds / ours:8.1f} times ours")


if __name__ == "__main__":
    main()
