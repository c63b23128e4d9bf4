"""Edge lists as CSV."""

import csv
import itertools
from pathlib import Path

from masktools.exporters.edges import COLUMNS, edges_of
from masktools.structure.source import Recorded

__all__ = ["write_edges_csv"]

_ROWS = 1 << 16
"""Rows that are made into text at once: texts take many times the memory of the numbers."""


def write_edges_csv(moment: Recorded, path: Path, graph: str = "channels") -> None:
    """Write the edges of a network, a row each, layer by layer.

    A value is written with the fewest digits that give it back in its own precision. Where a snapshot holds no
    weights, values are empty.

    Parameters
    ----------
    moment
        The network at one moment.
    path
        The file, which is replaced.
    graph
        A key of `COLUMNS`: ``channels`` or ``weights``.

    Raises
    ------
    StructureError
        If a layer has no axes for outputs and inputs.
    SnapshotError
        If the snapshot cannot be read.
    """
    valued = "value" in COLUMNS[graph]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS[graph])
        for edges in edges_of(moment, graph):
            for start in range(0, len(edges), _ROWS):
                chunk = slice(start, start + _ROWS)
                columns: list[list[object]] = [number[chunk].tolist() for number in edges.numbers]
                if valued:
                    values = edges.values
                    columns.append([""] * len(columns[0]) if values is None else values[chunk].astype(str).tolist())
                writer.writerows(zip(itertools.repeat(edges.layer), *columns, strict=False))
