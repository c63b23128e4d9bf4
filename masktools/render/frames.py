"""Results as pandas data frames, made of the very rows that CSV holds."""

import importlib
import numbers
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from masktools.errors import MasktoolsError
from masktools.render.document import Cell, Document, Table, defined

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TABLES", "frame_of", "rows_of"]

TABLES: Mapping[str, str] = {
    "Alignment": "result_tables.alignment_table",
    "Bottlenecks": "result_tables.layers_table",
    "Clustering": "result_tables.single_row",
    "CompactReport": "compaction.compact_document",
    "Comparison": "comparison.comparison_document",
    "Comparisons": "comparison.comparisons_document",
    "Connectivity": "connectivity.connectivity_document",
    "ConnectivityCurve": "connectivity_curve.curve_document",
    "Criteria": "criteria.criteria_table",
    "Emergence": "result_tables.emergence_table",
    "Emergences": "result_tables.emergences_table",
    "EpochMatrix": "epochs.epochs_document",
    "Explanation": "explanation.explanation_document",
    "FreezeResult": "sweep.freeze_document",
    "ImportResult": "imported.import_document",
    "Interval": "result_tables.single_row",
    "LayerCores": "result_tables.single_row",
    "LayerDegreeShape": "result_tables.sides_table",
    "LayerSpectrum": "result_tables.single_row",
    "LayerTails": "result_tables.tails_table",
    "LayerThroughput": "result_tables.single_row",
    "NetworkPersistence": "result_tables.persistence_table",
    "Nnstd": "result_tables.layers_table",
    "NonBacktracking": "result_tables.single_row",
    "NullLevel": "result_tables.single_row",
    "Overlap": "comparison.overlap_table",
    "PairMean": "result_tables.single_row",
    "PairedDifference": "result_tables.single_row",
    "PruneResult": "robustness.prune_document",
    "ReinitResult": "reevaluation.reinit_document",
    "RobustnessGroup": "result_tables.robustness_table",
    "RunSummary": "run_info.run_document",
    "SeedGroup": "result_tables.seeds_table",
    "SignStability": "criteria.signs_table",
    "SurvivalCurve": "result_tables.survival_table",
    "SweepResult": "sweep.sweep_document",
    "TrainResult": "result_tables.training_table",
    "Trial": "result_tables.trial_table",
    "Verification": "verification.verification_document",
}
"""By the name of a result's class, the function of `masktools.render` that makes a document or a table of it.

They are named and not imported, because each brings the modules of its own topic with it.
"""


def rows_of(result: object) -> Table:
    """Return the rows of a result for programs: of the document that its command writes, where it has one.

    Parameters
    ----------
    result
        A result whose class is in `TABLES`.

    Raises
    ------
    MasktoolsError
        If its class is not.
    """
    home = TABLES.get(type(result).__name__)
    if home is None:
        raise MasktoolsError(f"{type(result).__name__} has no rows to make a data frame of")
    module, name = home.split(".")
    made: Document | Table = getattr(importlib.import_module(f"masktools.render.{module}"), name)(result)
    return made.rows_for_programs if isinstance(made, Document) else made


def frame_of(result: object) -> "pd.DataFrame":
    """Return the rows of a result as a data frame.

    Parameters
    ----------
    result
        A result whose class is in `TABLES`.

    Raises
    ------
    MasktoolsError
        If its class is not, or pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MasktoolsError("data frames are made by pandas, which is not there: pip install pandas") from None
    table = rows_of(result)
    columns = [[defined(row[place]) for row in table.rows] for place in range(len(table.columns))]
    names = [column.name for column in table.columns]
    return pd.DataFrame({name: _series(cells) for name, cells in zip(names, columns, strict=True)}, columns=names)


def _series(cells: Sequence[Cell]) -> "pd.Series":
    """Return a column of the type that its cells have in common, gaps included."""
    import pandas as pd

    values = [cell for cell in cells if cell is not None]
    if len(values) == len(cells) and cells:
        return pd.Series(cells)
    if values and all(isinstance(value, bool) for value in values):
        return pd.Series(cells, dtype="boolean")
    if values and all(isinstance(value, numbers.Integral) for value in values):
        try:
            return pd.Series(cells, dtype="Int64")
        except OverflowError:  # more than 64 bits, such as a number of FLOPs may have
            return pd.Series(cells, dtype="float64")
    if all(isinstance(value, numbers.Real) for value in values):
        return pd.Series(cells, dtype="float64")
    return pd.Series(cells)
