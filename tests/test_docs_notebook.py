"""The notebook of the documentation runs from its first cell to its last, and shows what such a run shows."""

import nbformat
import pytest
from code_blocks import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def shown(cell):
    """Return what a cell shows, by kind: parts of printed text may come in pieces, so these are one."""
    kinds = [tuple(sorted(output.get("data", {"stdout": None}))) for output in cell.outputs]
    return [kind for i, kind in enumerate(kinds) if i == 0 or kind != kinds[i - 1] or kind != ("stdout",)]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    stored = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(stored)
    again = nbformat.read(NOTEBOOK, as_version=4)
    for cell in again.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    (tmp_path / "work").mkdir()
    NotebookClient(again, timeout=120, resources={"metadata": {"path": str(tmp_path / "work")}}).execute()
    code = [(old, new) for old, new in zip(stored.cells, again.cells, strict=True) if old.cell_type == "code"]
    assert len(code) > 3
    for old, new in code:
        assert shown(old) == shown(new), f"{old.source}\nwas not stored as it runs now"
        assert not any(output.get("name") == "stderr" for output in old.outputs), old.source
