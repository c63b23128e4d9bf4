"""Who may import whom, and what importing costs."""

import ast
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import masktools

ROOT = Path(__file__).parent.parent
HEAVY = ("h5py", "masktools_train", "networkx", "numpy", "pydantic", "scipy", "torch")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the import contracts of the tree in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{folder / 'train'}"},
        capture_output=True,
        text=True,
        check=False,
    )


def python(program: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_import_contracts_are_kept():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("masktools/masks.py", "import torch"),
        ("masktools/snapshot/layout.py", "import masktools.runs"),
        ("masktools/topology/graph.py", "import masktools_train"),
        ("train/masktools_train/__init__.py", "import masktools.cli.app"),
    ],
)
def test_the_import_contracts_can_be_broken(tmp_path: Path, module: str, line: str):
    for name in ("masktools", "train"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout


def test_no_module_of_the_core_imports_torch_or_training():
    modules = [name for _, name, _ in pkgutil.walk_packages(masktools.__path__, "masktools.")]
    core = [name for name in modules if not name.startswith(("masktools.cli", "masktools.__main__"))]
    assert "masktools.snapshot.read" in core
    program = f"""
import importlib, sys
for name in {core!r}:
    importlib.import_module(name)
    for heavy in ("torch", "masktools_train", "typer"):
        if heavy in sys.modules:
            sys.exit(name + " imports " + heavy)
"""
    python(program)


@pytest.mark.parametrize(
    "program",
    [
        "import masktools",
        "import masktools.cli.app",
        "import sys; sys.argv = ['masktools', '--help']\n"
        "import masktools.cli.app\n"
        "try: masktools.cli.app.main()\n"
        "except SystemExit as end: assert not end.code",
    ],
    ids=["package", "command line", "help"],
)
def test_starting_imports_nothing_heavy(program: str):
    output = python(f"{program}\nimport sys\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))")
    assert output.splitlines()[-1] == "[]"


def test_every_public_name_is_where_it_is_said_to_be():
    assert masktools.__all__ == sorted(masktools.__all__)
    assert set(masktools.__all__) == set(masktools._HOMES)
    assert set(masktools.__all__) <= set(dir(masktools))
    for name in masktools.__all__:
        home = importlib.import_module(masktools._HOMES[name])
        assert name in home.__all__
        assert getattr(masktools, name) is getattr(home, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        masktools.nothing  # noqa: B018


def test_type_checkers_see_the_same_names():
    source = ast.parse((ROOT / "masktools" / "__init__.py").read_text())
    (block,) = [node for node in source.body if isinstance(node, ast.If)]
    seen = {name.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert seen == masktools._HOMES


def test_every_module_says_what_it_is_and_what_it_offers():
    for folder in (ROOT / "masktools", ROOT / "train" / "masktools_train"):
        for path in sorted(folder.rglob("*.py")):
            source = ast.parse(path.read_text())
            assert ast.get_docstring(source), path
            assigned = [node.targets[0].id for node in source.body if isinstance(node, ast.Assign) and _named(node)]
            if path.name not in ("__init__.py", "__main__.py"):
                assert assigned, path
                assert assigned[0] == "__all__", path


def _named(node: ast.Assign) -> bool:
    return isinstance(node.targets[0], ast.Name)
