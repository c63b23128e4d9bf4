"""Every format that a network can be exported to: a new one is its file and one line here."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from masktools.atomic import replacing
from masktools.errors import MasktoolsError, StructureError
from masktools.exporters.dot import as_dot
from masktools.exporters.edges_csv import write_edges_csv
from masktools.exporters.edges_parquet import write_edges_parquet
from masktools.exporters.graphml import as_graphml, neurons_as_graphml
from masktools.exporters.npz import write_npz
from masktools.exporters.safetensors import write_safetensors
from masktools.structure.source import Recorded
from masktools.topology.drawing import drawing

__all__ = ["FORMATS", "ExportFormat", "find_format", "write_export"]


@dataclasses.dataclass(frozen=True)
class ExportFormat:
    """A format.

    Parameters
    ----------
    endings
        Endings of file names that mean it, without the dot; none where it has to be asked for by name.
    holds
        What a file holds, for the table of `docs/export.md`.
    write
        What writes a recorded network into a file; its third argument is one of `graphs`, or empty.
    graphs
        What can be written of the graph, the first by default; empty for formats of arrays.
    """

    endings: tuple[str, ...]
    holds: str
    write: Callable[[Recorded, Path, str], None]
    graphs: tuple[str, ...] = ()


def _graphml(moment: Recorded, path: Path, graph: str) -> None:
    if graph == "neurons":
        text = neurons_as_graphml(moment.snapshot.to_networkx())
    else:
        text = as_graphml(drawing(moment.topology, moment.masks))
    path.write_text(text, encoding="utf-8")


def _dot(moment: Recorded, path: Path, graph: str) -> None:  # noqa: ARG001
    path.write_text(as_dot(drawing(moment.topology, moment.masks)), encoding="utf-8")


FORMATS: Mapping[str, ExportFormat] = {
    "graphml": ExportFormat(
        ("graphml",), "the operator graph, or the graph of units", _graphml, ("operators", "neurons")
    ),
    "dot": ExportFormat(("dot",), "the operator graph, for Graphviz", _dot, ("operators",)),
    "npz": ExportFormat(("npz",), "weights, masks and other tensors as NumPy arrays", write_npz),
    "safetensors": ExportFormat(("safetensors",), "weights, masks and other tensors", write_safetensors),
    "csv": ExportFormat(("csv",), "a row for every edge", write_edges_csv, ("channels", "weights")),
    "parquet": ExportFormat(("parquet",), "a row for every edge", write_edges_parquet, ("channels", "weights")),
}
"""By name; `masktools_train.exporting` has those that torch writes."""


def find_format(path: Path, name: str | None, formats: Mapping[str, ExportFormat] = FORMATS) -> ExportFormat:
    """Return the format that a file is to be written in.

    Parameters
    ----------
    path
        The file; its ending says the format where `name` does not.
    name
        A key of `formats`, or None.
    formats
        Those that there are. Of two with the same ending the first is meant.

    Raises
    ------
    StructureError
        If no format is called that, or none has that ending.
    """
    if name is not None:
        if name not in formats:
            raise StructureError(f"there is no format {name!r} to export to; there are {', '.join(formats)}")
        return formats[name]
    ending = path.suffix[1:].lower()
    found = next((each for each in formats.values() if ending in each.endings), None)
    if found is None:
        endings = dict.fromkeys(f".{ending}" for each in formats.values() for ending in each.endings)
        raise StructureError(f"{path}: no format has this ending; there are {', '.join(endings)}")
    return found


def write_export(moment: Recorded, path: Path, form: ExportFormat, graph: str | None = None) -> None:
    """Write a recorded network for another program, the whole file or nothing.

    Parameters
    ----------
    moment
        The network at one moment.
    path
        The file; one that is there is replaced.
    form
        The format.
    graph
        What of the graph to write, where the format has a choice; None takes its first.

    Raises
    ------
    StructureError
        If the format does not hold such a graph, or the snapshot lacks what it needs.
    MasktoolsError
        If the file cannot be written, or the snapshot cannot be read.
    """
    if graph is not None and graph not in form.graphs:
        there = f"takes --graph {' or '.join(form.graphs)}" if form.graphs else "holds arrays, so there is no --graph"
        raise StructureError(f"{path}: cannot be written with --graph {graph}: this format {there}")
    try:
        with replacing(path) as temporary:
            form.write(moment, temporary, graph or next(iter(form.graphs), ""))
    except OSError as error:
        raise MasktoolsError(f"{path}: cannot be written: {error.strerror or error}") from error
