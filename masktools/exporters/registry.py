"""Every format that a graph can be exported to: a new one is its file and one line here."""

from collections.abc import Callable, Mapping

from masktools.errors import StructureError
from masktools.exporters.dot import as_dot
from masktools.exporters.graphml import as_graphml, neurons_as_graphml
from masktools.structure.source import Recorded
from masktools.topology.drawing import drawing

__all__ = ["GRAPH_FORMATS", "NEURON_FORMATS", "exported_graph"]

GRAPH_FORMATS: Mapping[str, Callable[[Recorded], str]] = {
    "graphml": lambda moment: as_graphml(drawing(moment.topology, moment.masks)),
    "dot": lambda moment: as_dot(drawing(moment.topology, moment.masks)),
}
"""By ending, what writes the operator graph."""

NEURON_FORMATS: Mapping[str, Callable[[Recorded], str]] = {
    "graphml": lambda moment: neurons_as_graphml(moment.snapshot.to_networkx()),
}
"""By ending, what writes the graph of units."""


def exported_graph(moment: Recorded, ending: str, *, neurons: bool = False) -> str:
    """Return a graph of a recorded network as text.

    Parameters
    ----------
    moment
        The network at one moment.
    ending
        A key of `GRAPH_FORMATS`, or of `NEURON_FORMATS`.
    neurons
        Whether to export the units and their weights, instead of the operators.

    Raises
    ------
    StructureError
        If there is no such format, or the snapshot holds no operator graph; the message names the file.
    """
    formats = NEURON_FORMATS if neurons else GRAPH_FORMATS
    if ending not in formats:
        what = "the neuron graph" if neurons else "the operator graph"
        raise StructureError(
            f"{what} cannot be written as {ending or 'a file without ending'!r}; there are {', '.join(formats)}"
        )
    return formats[ending](moment)
