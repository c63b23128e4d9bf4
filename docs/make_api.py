"""Write docs/api.md: every public name with its signature and what it is, from the code and its docstrings.

Run it with ``make api``; a test holds the committed page equal to what this writes.
"""

import ast
import functools
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PACKAGES", "main", "page"]

PACKAGES = {
    "masktools": "The core, without torch: runs and snapshots, and all that is measured on them.",
    "masktools.plots": "Pictures of results, as `mt.plots.NAME`.",
    "masktools_train": "Training with torch, and what trains or evaluates again.",
}
"""Public packages, and what each is for."""

PAGE = Path(__file__).with_name("api.md")

_WIDTH = 100
"""Columns of a signature; a longer one has a line for each argument."""

HEAD = """# Library

What is public is what `masktools.__all__`, `masktools.plots.__all__` and `masktools_train.__all__` hold, and of the
classes among it the methods and properties listed here. Everything else may change at any time; a change of one of
these is said in [CHANGELOG.md](../CHANGELOG.md). Names are loaded when they are first used, so importing these packages
costs nothing.
`help(masktools.compare)` says more, and so does the site that `make docs` makes: parameters, shapes, errors, sources.

Every result, those that these functions return included, has `to_dict()`, values that `json.dumps` takes, and
`to_frame()`, a pandas data frame of the rows that the command writes as CSV (`pip install pandas`).

This page is written by `make api`.
"""


@functools.cache
def _definitions(path: str) -> dict[str, ast.stmt]:
    """Return what a file defines at its top level, by name."""
    body = ast.parse(Path(path).read_text("utf-8")).body
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _definition(value: type | object) -> ast.stmt:
    path = inspect.getsourcefile(value)  # type: ignore[arg-type]
    return _definitions(str(path))[value.__name__]  # type: ignore[attr-defined]


def _summary(node: ast.AST) -> str:
    """Return the first paragraph of a docstring as one line."""
    text = ast.get_docstring(node) or ""  # type: ignore[arg-type]
    return " ".join(text.split("\n\n")[0].split())


def _call(name: str, arguments: list[str], returned: str = "", width: int = _WIDTH) -> str:
    """Return how something is called, on a line of its own for each argument where one line is too long."""
    line = f"{name}({', '.join(arguments)}){returned}"
    if len(line) <= width:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), f"){returned}"])


def _signature(node: ast.FunctionDef, name: str = "", width: int = _WIDTH) -> str:
    """Return how a function is called, annotations as they are written in the code, without `self`."""
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(positional) - len(given.defaults)), *given.defaults]
    arguments = [_argument(item, default) for item, default in zip(positional, defaults, strict=True)]
    if arguments and positional[0].arg in ("self", "cls"):
        del arguments[0]
    if given.vararg is not None:
        arguments.append(f"*{_argument(given.vararg)}")
    elif given.kwonlyargs:
        arguments.append("*")
    arguments += [_argument(item, default) for item, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg is not None:
        arguments.append(f"**{_argument(given.kwarg)}")
    returned = "" if node.returns is None or node.name == "__init__" else f" -> {_annotation(node.returns)}"
    return _call(name or node.name, arguments, returned, width)


def _argument(item: ast.arg, default: ast.expr | None = None) -> str:
    return _declared(item.arg, item.annotation, default)


def _declared(name: str, annotation: ast.expr | None, default: ast.expr | None) -> str:
    """Return a name with its type and its default, where it has them."""
    kind = "" if annotation is None else f": {_annotation(annotation)}"
    return f"{name}{kind}" + ("" if default is None else f"{' = ' if kind else '='}{ast.unparse(default)}")


def _annotation(node: ast.expr) -> str:
    """Return an annotation; one that is quoted, because it is not imported, without its quotes."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)


def _class_signature(node: ast.ClassDef) -> str:
    """Return how an object is made: by ``__init__``, or by the fields of a data class."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _signature(item, node.name)
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)]
    return _call(node.name, [_field(item) for item in fields if not ast.unparse(item.target).startswith("_")])


def _field(item: ast.AnnAssign) -> str:
    """Return a field; of what says more about it than its default (``field``, ``Field``), only the default."""
    default = item.value
    if isinstance(default, ast.Call) and ast.unparse(default.func).rpartition(".")[2] in ("field", "Field"):
        made = [keyword.value for keyword in default.keywords if keyword.arg == "default_factory"]
        default = default.args[0] if default.args else ast.Call(made[0], [], []) if made else None
    return _declared(ast.unparse(item.target), item.annotation, default)


def _members(value: type) -> Iterator[str]:
    """Yield a line for each public method and property, those of its bases in this project included."""
    seen = set()
    for kind in value.__mro__:
        if kind.__module__.partition(".")[0] not in PACKAGES:
            continue
        definition = _definition(kind)
        assert isinstance(definition, ast.ClassDef)  # noqa: S101
        for item in definition.body:
            if not isinstance(item, ast.FunctionDef) or item.name.startswith("_") or item.name in seen:
                continue
            seen.add(item.name)
            marks = {ast.unparse(mark).rpartition(".")[2] for mark in item.decorator_list}
            called = item.name if marks & {"property", "cached_property"} else _signature(item, width=sys.maxsize)
            yield f"- `{called}`: {_summary(item)}"


def _entry(value: object) -> Iterator[str]:
    """Yield the lines of one name."""
    definition = _definition(value)
    if isinstance(definition, ast.FunctionDef):
        yield from (f"#### {definition.name}", "", "```python", _signature(definition), "```", "", _summary(definition))
        return
    assert isinstance(definition, ast.ClassDef)  # noqa: S101
    assert isinstance(value, type)  # noqa: S101
    yield f"#### {definition.name}"
    if not issubclass(value, Exception):
        yield from ("", "```python", f"class {_class_signature(definition)}", "```")
    yield from ("", _summary(definition))
    members = list(_members(value))
    if members:
        yield from ("", *members)


def page() -> str:
    """Return the page."""
    lines = [HEAD.rstrip()]
    for name, purpose in PACKAGES.items():
        package = importlib.import_module(name)
        lines += ["", f"## {name}", "", purpose]
        values = [getattr(package, public) for public in package.__all__]
        for title, wanted in (("Functions", False), ("Classes", True)):
            found = [value for value in values if inspect.isclass(value) is wanted]
            lines += ["", f"### {title}"] if found else []
            for value in found:
                lines += ["", *_entry(value)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page and return the exit status."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
