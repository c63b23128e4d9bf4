"""Results as data frames."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ToFrame"]


class ToFrame:
    """A result whose rows can be had as a data frame."""

    def to_frame(self) -> "pd.DataFrame":
        """Return the rows that the command writes as CSV, one a layer, epoch, variant, ... as a pandas data frame.

        A number that is not defined is missing (``NaN``, or ``NA`` among whole numbers and flags).

        Returns
        -------
        pandas.DataFrame
            Columns have the names of the CSV; rows are numbered from 0 on.

        Raises
        ------
        MasktoolsError
            If pandas is not installed.
        """
        # By name: rendering is above every result, and what it takes to make a table is loaded only for this.
        rendering = importlib.import_module("masktools.render.frames")
        frame: pd.DataFrame = rendering.frame_of(self)
        return frame
