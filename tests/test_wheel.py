"""The built wheel, installed in a folder of its own and used from another."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import masktools

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, cwd=ROOT)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the source distribution holds."""
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, cwd=ROOT)
    (built,) = folder.iterdir()
    with tarfile.open(built) as archive:
        archive.extractall(folder, filter="data")
    return folder / built.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel, cwd=site)
    return site


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a working directory with files of the user's that have names like our folders."""
    for name in ("train", "analyses", "benchmarks", "tests", "fixtures"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name}.py of the user was imported')\n")
    return tmp_path


def test_the_wheel_holds_both_packages_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        info = f"masktools-{masktools.__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        assert "masktools = masktools.cli.app:main" in archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    expected = {
        str(path.relative_to(folder))
        for folder, package in ((ROOT, "masktools"), (ROOT / "train", "masktools_train"))
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert {"masktools/py.typed", "masktools_train/py.typed"} <= names
    assert any(name.endswith(".toml") for name in names)
    assert metadata["Name"] == "masktools"
    assert metadata["Version"] == masktools.__version__


def test_the_metadata_say_what_an_index_shows(wheel: Path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata["Summary"] == project["description"]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text("utf-8")
    assert {"Author", "Keywords", "Classifier", "Project-URL"} <= set(metadata)
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(
        metadata.get_all("Classifier")
    )


def test_the_source_distribution_makes_the_same_wheel(wheel: Path, unpacked: Path, tmp_path: Path):
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, cwd=unpacked)
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(tmp_path / wheel.name) as theirs:
        assert {name: ours.read(name) for name in ours.namelist()} == {
            name: theirs.read(name) for name in theirs.namelist()
        }


def test_the_source_distribution_can_be_tested_and_cited(unpacked: Path):
    for name in ("tests/test_wheel.py", "fixtures/README.md", "docs/format.md", "Makefile", "constraints.txt"):
        assert (unpacked / name).is_file()
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff"):
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes()
    assert [path for path in unpacked.rglob("*") if path.stat().st_size > 1_000_000] == []


def test_the_program_runs_beside_files_of_the_same_names(installed: Path, elsewhere: Path):
    text = run(sys.executable, "-m", "masktools", "--help", cwd=elsewhere, PYTHONPATH=str(installed))
    assert "compare" in text
    assert "train" in text


def test_the_library_runs_beside_files_of_the_same_names(installed: Path, elsewhere: Path):
    program = """
import masktools, masktools_train, sys
print(masktools.__file__)
print(masktools_train.__file__)
import numpy as np
from masktools.run_writer import RunWriter
from masktools.snapshot.content import LayerContent, SnapshotContent
mask = np.eye(4, dtype=bool)
RunWriter("run").snapshot(SnapshotContent(0, 0, (LayerContent.from_dense("w", mask, np.ones((4, 4), "f4")),)))
assert masktools.open_run("run").final.active == 4
for name in masktools.__all__:
    getattr(masktools, name)
"""
    output = run(sys.executable, "-c", program, cwd=elsewhere, PYTHONPATH=str(installed))
    assert [Path(line).parent.parent for line in output.splitlines()] == [installed, installed]


def test_packaged_recipes_are_found(installed: Path, elsewhere: Path):
    text = run(sys.executable, "-m", "masktools", "train", "--help", cwd=elsewhere, PYTHONPATH=str(installed))
    assert "RECIPE" in text
    recipes = sorted(path.stem for path in (ROOT / "train" / "masktools_train" / "recipes").glob("*.toml"))
    program = (
        "import importlib.resources as r; print(*sorted(p.name for p in r.files('masktools_train.recipes').iterdir()))"
    )
    names = run(sys.executable, "-c", program, cwd=elsewhere, PYTHONPATH=str(installed)).split()
    assert recipes
    assert {f"{name}.toml" for name in recipes} <= set(names)
