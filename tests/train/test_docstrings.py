"""What the docstrings of public names say of parameters, results and errors is what the signatures say."""

import builtins
import importlib
import inspect
import re

import pytest

from masktools import errors
from masktools_train.recording import errors as tracing

PACKAGES = ("masktools", "masktools.plots", "masktools_train")
HEADING = re.compile(
    r"^(Parameters|Attributes|Returns|Yields|Raises|Warns|Notes|References|Examples)\n-+$", re.MULTILINE
)


def sections(thing):
    """Return the sections of a docstring by their headings."""
    text = inspect.cleandoc(thing.__doc__ or "")
    marks = list(HEADING.finditer(text))
    starts = [*(mark.start() for mark in marks), len(text)]
    return {mark[1]: text[mark.end() : end].strip("\n") for mark, end in zip(marks, starts[1:], strict=True)}


def entries(section):
    """Return the names that a section explains; several may share an explanation."""
    lines = [line for line in section.split("\n") if line and not line[0].isspace()]
    return [name.strip() for line in lines for name in line.split(":")[0].split(",")]


def parameters_of(thing):
    return [name for name in inspect.signature(thing).parameters if name not in ("self", "cls")]


def has_result(function):
    return inspect.signature(function).return_annotation not in (None, "None", inspect.Signature.empty)


def problems(name, thing):
    """Return what is wrong with a docstring; methods may be a single line, but what they explain must be there."""
    found = sections(thing)
    if not (thing.__doc__ or "").strip():
        return [f"{name}: no docstring"]
    told, there = entries(found.get("Parameters", "")), parameters_of(thing)
    wrong = [f"{name}: has {there}, explains {told}"] if told != there else []
    if inspect.isfunction(thing) and has_result(thing) and not {"Returns", "Yields"} & set(found):
        wrong.append(f"{name}: does not say what it returns")
    raised = entries(found.get("Raises", ""))
    unknown = [error for error in raised if not any(hasattr(place, error) for place in (errors, builtins, tracing))]
    return wrong + [f"{name}: raises {error}, which does not exist" for error in unknown]


def public():
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, Exception)):
                yield f"{package}.{name}", thing


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*each, id=each[0]) for each in public()])
def test_docstrings_say_what_signatures_do(name, thing):
    assert problems(name, thing) == []
    for method, value in vars(thing).items() if inspect.isclass(thing) else ():
        function = getattr(value, "__func__", value)
        if not method.startswith("_") and inspect.isfunction(function) and "Parameters" in sections(function):
            said = problems(f"{name}.{method}", function)
            assert [each for each in said if "returns" not in each] == []


def test_what_is_looked_for_is_found():
    def short(one, two):
        """Do nothing.

        Parameters
        ----------
        one, three
            Numbers.

        Raises
        ------
        NoSuchError
            Never.
        """

    def silent(one: int) -> int:
        """Return it.

        Parameters
        ----------
        one
            A number.
        """
        return one

    assert problems("short", short) == [
        "short: has ['one', 'two'], explains ['one', 'three']",
        "short: raises NoSuchError, which does not exist",
    ]
    assert problems("silent", silent) == ["silent: does not say what it returns"]
    assert len(list(public())) > 100
