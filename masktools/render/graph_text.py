"""The operator graph as text."""

from collections.abc import Sequence

from masktools.render.document import Column, Document, Table
from masktools.render.numbers import rate
from masktools.topology.drawing import Drawing, DrawnNode

__all__ = ["graph_document", "graph_lines"]


def graph_lines(drawn: Drawing) -> list[str]:
    """Return a line for each operator, with rails at the left for everything that is needed again later.

    Parameters
    ----------
    drawn
        The graph, nodes in topological order.

    Returns
    -------
    list of str
        A node is ``o``; a rail ``|`` is a result that a later node still reads, and a node names the ones that it
        reads other than the line above it.
    """
    last = {source: max(target for origin, target in drawn.edges if origin == source) for source, _ in drawn.edges}
    reads: dict[int, list[int]] = {}
    for source, target in drawn.edges:
        reads.setdefault(target, []).append(source)
    rails: list[int | None] = []
    lines = []
    for number, node in enumerate(drawn.nodes):
        rails = [rail if rail is not None and last.get(rail, -1) >= number else None for rail in rails]
        while rails and rails[-1] is None:
            rails.pop()
        shown = "".join("  " if rail is None else "| " for rail in rails)
        other = [source for source in reads.get(number, []) if source != number - 1]
        lines.append(f"{shown}o {number} {_words(node)}{_sources(other)}")
        if last.get(number, -1) > number + 1:
            _put(rails, number)
    return lines


def _put(rails: list[int | None], number: int) -> None:
    if None in rails:
        rails[rails.index(None)] = number
    else:
        rails.append(number)


def _words(node: DrawnNode) -> str:
    named = node.name if node.name == node.op else f"{node.op} {node.name}"
    density = node.facts.get("density")
    return f"{named} {node.shape}" + (f" density {rate(density)}" if isinstance(density, float) else "")


def _sources(numbers: Sequence[int]) -> str:
    return f" <- {', '.join(map(str, numbers))}" if numbers else ""


def graph_document(run: str, epoch: int, drawn: Drawing) -> Document:
    """Return the operator graph of a snapshot: as text for people, as nodes and edges for programs.

    Parameters
    ----------
    run, epoch
        What the graph was recorded in.
    drawn
        The graph.
    """
    layers = sum("weights" in node.facts for node in drawn.nodes)
    names = tuple(Column(name) for name in ("node", "op", "name", "shape", "inputs"))
    sources = {target: [s for s, t in drawn.edges if t == target] for _, target in drawn.edges}
    records = tuple(
        (number, node.op, node.name, node.shape, " ".join(map(str, sources.get(number, []))))
        for number, node in enumerate(drawn.nodes)
    )
    data = {
        "run": run,
        "epoch": epoch,
        "nodes": [{"name": node.name, "op": node.op, "shape": node.shape, **node.facts} for node in drawn.nodes],
        "edges": [list(edge) for edge in drawn.edges],
    }
    table = Table(
        f"{run} (epoch {epoch}): operator graph",
        (Column("graph", " "),),
        tuple((line,) for line in graph_lines(drawn)),
        f"{len(drawn.nodes)} operators, {layers} of them with a weight. A bar is a result that is read further down.",
    )
    return Document("info", data, (table,), (), Table("", names, records, ""))
