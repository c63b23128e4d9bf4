"""The public names, as docs/api.md lists them and as their docstrings describe them."""

import ast
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import masktools
import masktools.plots
import masktools_train

ROOT = Path(__file__).parents[2]

PUBLIC = [(package, name) for package in (masktools, masktools.plots, masktools_train) for name in package.__all__]
NAMES = [f"{package.__name__}.{name}" for package, name in PUBLIC]

SPECIFIED_ELSEWHERE = {"masktools_train.Recipe"}
"""The keys of a recipe are described in docs/training.md."""


def load():
    specification = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says():
    written = (ROOT / "docs" / "api.md").read_text("utf-8")
    assert written == load().page(), "docs/api.md is out of date: run make api"


def test_the_page_lists_every_public_name_and_no_other():
    written = (ROOT / "docs" / "api.md").read_text("utf-8")
    listed = re.findall(r"^#### (\w+)$", written, re.MULTILINE)
    assert sorted(listed) == sorted(name for _, name in PUBLIC)


def test_signatures_are_those_of_the_code():
    module = load()
    source = "def f(self, a: int, b: 'X' = 1, *rest: str, c=2, **more: int) -> 'Y': ..."
    assert module._signature(ast.parse(source).body[0]) == "f(a: int, b: X = 1, *rest: str, c=2, **more: int) -> Y"
    source = "def f(a, *, b): ..."
    assert module._signature(ast.parse(source).body[0]) == "f(a, *, b)"
    assert module._signature(ast.parse(source).body[0], width=5) == "f(\n    a,\n    *,\n    b,\n)"
    source = "class C:\n  a: int\n  b: list[int] = dataclasses.field(default_factory=list)\n  c: int = Field(3, ge=0)\n"
    assert module._class_signature(ast.parse(source).body[0]) == "C(a: int, b: list[int] = list(), c: int = 3)"


def sections(value):
    """Return the body of each numpydoc section of a docstring, and the summary."""
    parts = re.split(r"^(\w[\w ]*)\n-+$", inspect.getdoc(value) or "", flags=re.MULTILINE)
    return parts[0].strip(), dict(zip(parts[1::2], parts[2::2], strict=True))


def described(section):
    """Return the names that a section describes: those at the beginning of a line."""
    lines = [line for line in section.split("\n") if line and not line.startswith(" ")]
    return [name.strip().lstrip("*") for line in lines for name in line.split(" : ")[0].split(",")]


@pytest.mark.parametrize(("package", "name"), PUBLIC, ids=NAMES)
def test_every_public_name_is_described(package, name):
    value = getattr(package, name)
    summary, told = sections(value)
    first = summary.split("\n\n")[0]
    assert first.endswith("."), "a summary is a sentence"
    if f"{package.__name__}.{name}" in SPECIFIED_ELSEWHERE:
        return
    plain = inspect.isclass(value) and issubclass(value, Exception) and "__init__" not in vars(value)
    parameters = [] if plain else [key for key in inspect.signature(value).parameters if key != "self"]
    assert sorted(described(told.get("Parameters", ""))) == sorted(parameters)
    if not inspect.isclass(value):
        source = ast.parse(textwrap.dedent(inspect.getsource(value)))
        raised = {
            node.exc.func.id
            for node in ast.walk(source)
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
        }
        assert raised <= set(described(told.get("Raises", "")))


@pytest.mark.parametrize("name", [name for name in masktools.__all__ if not inspect.isclass(getattr(masktools, name))])
def test_every_function_says_what_it_returns(name):
    """In a section of its own, or in the summary, which then begins with that."""
    summary, told = sections(getattr(masktools, name))
    assert "Returns" in told or summary.startswith("Return ")
