"""Edge lists as Parquet, by way of pyarrow."""

from pathlib import Path

import numpy as np

from masktools.errors import MasktoolsError
from masktools.exporters.edges import COLUMNS, edges_of
from masktools.exporters.parameters import about, parameters
from masktools.structure.source import Recorded

__all__ = ["write_edges_parquet"]


def write_edges_parquet(moment: Recorded, path: Path, graph: str = "channels") -> None:
    """Write the edges of a network, a row each, in one row group a layer.

    Numbers are 64-bit integers, values 32-bit floats, or 64-bit ones where a layer has such weights; they are null
    where the snapshot holds no weights. The metadata of the file says version, epoch and run.

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
    MasktoolsError
        If pyarrow is not installed.
    StructureError
        If a layer has no axes for outputs and inputs.
    SnapshotError
        If the snapshot cannot be read.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MasktoolsError("Parquet files are written by pyarrow, which is not there: pip install pyarrow") from None
    names = COLUMNS[graph]
    fields = [pa.field("layer", pa.dictionary(pa.int32(), pa.string()))]
    fields += [pa.field(name, pa.int64()) for name in names[1:] if name != "value"]
    if "value" in names:
        fields.append(pa.field("value", pa.float64() if _wide(moment) else pa.float32()))
    schema = pa.schema(fields, metadata=about(moment))
    with parquet.ParquetWriter(path, schema) as writer:
        for edges in edges_of(moment, graph):
            layer = pa.DictionaryArray.from_arrays(np.zeros(len(edges), dtype=np.int32), [edges.layer])
            columns = [layer, *map(pa.array, edges.numbers)]
            if "value" in names:
                kind = schema.field("value").type
                found = edges.values
                columns.append(
                    pa.nulls(len(edges), kind) if found is None else pa.array(found.astype(kind.to_pandas_dtype()))
                )
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _wide(moment: Recorded) -> bool:
    """Say whether a layer has weights of 64 bits, which 32 would round."""
    weights = (parameter.stored for parameter in parameters(moment))
    return any(weight is not None and weight.dtype.itemsize > 4 for weight in weights)
