"""GraphML, which graph programs read (Gephi, yEd, igraph, networkx)."""

import io
from typing import TYPE_CHECKING, Any

from masktools.topology.drawing import Drawing

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["as_graphml", "neurons_as_graphml"]


def as_graphml(drawn: Drawing) -> str:
    """Return the operator graph as GraphML; every fact is an attribute of its node."""
    import networkx as nx  # takes longer to load than all the rest

    graph: nx.DiGraph[str] = nx.DiGraph()
    for number, node in enumerate(drawn.nodes):
        graph.add_node(f"n{number}", name=node.name, op=node.op, shape=node.shape, **node.facts)
    graph.add_edges_from((f"n{source}", f"n{target}") for source, target in drawn.edges)
    return _written(graph)


def neurons_as_graphml(graph: "nx.DiGraph[Any]") -> str:
    """Return a neuron graph as GraphML; its nodes are called by layer and number."""
    import networkx as nx

    names = {unit: f"{unit[0]}:{unit[1]}" for unit in graph}
    return _written(nx.relabel_nodes(graph, names))


def _written(graph: "nx.DiGraph[str]") -> str:
    import networkx as nx

    buffer = io.BytesIO()
    nx.write_graphml(graph, buffer)
    return buffer.getvalue().decode("utf-8")
