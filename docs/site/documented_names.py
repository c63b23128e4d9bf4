"""Docstrings as the site needs them: no HTML in them, and each parameter with its own type and default.

Of ``low, high`` with one description the parser of numpydoc gives both the type and the default of the first,
``<A, B>`` would be taken for an element of HTML, and that the fields of a pydantic model are the parameters of its
class is not known.
"""

import re
from typing import Any

import griffe

__all__ = ["DocumentedNames"]

CODE = re.compile(r"(`+[^`]*`+)")
ELEMENT = re.compile(r"<(?=[\w/!])")


class DocumentedNames(griffe.Extension):
    """Correct what is read of functions and classes."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Correct a function; whether it describes the parameters it has is checked with that."""
        _correct(func)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Correct a class, the parameters of which its ``__init__`` or its fields have."""
        if "__init__" not in cls.members and _is_model(cls):
            cls.set_member("__init__", _maker(cls))
        _correct(cls)


def _correct(described: griffe.Function | griffe.Class) -> None:
    if described.docstring is None:
        return
    parts = CODE.split(described.docstring.value)
    described.docstring.value = "".join(ELEMENT.sub("&lt;", part) if part[:1] != "`" else part for part in parts)
    for section in described.docstring.parsed:
        if isinstance(section, griffe.DocstringSectionParameters):
            for parameter in section.value:
                if parameter.name in described.parameters:
                    own = described.parameters[parameter.name]
                    parameter.annotation, parameter.value = own.annotation, own.default


def _is_model(cls: griffe.Class) -> bool:
    """Return whether a class derives from pydantic's."""
    named = [base.canonical_path if isinstance(base, griffe.Expr) else base for base in cls.bases]
    return "pydantic.BaseModel" in named or any(_is_model(base) for base in cls.resolved_bases)


def _maker(cls: griffe.Class) -> griffe.Function:
    """Return the ``__init__`` that pydantic makes of the fields of a class."""
    fields = [each for each in cls.members.values() if isinstance(each, griffe.Attribute) and each.annotation]
    keyword = griffe.ParameterKind.keyword_only
    parameters = [
        griffe.Parameter(field.name, annotation=field.annotation, kind=keyword, default=_default(field.value))
        for field in fields
        if not field.name.startswith("_") and field.name != "model_config"
    ]
    start = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    return griffe.Function("__init__", parameters=griffe.Parameters(start, *parameters), lineno=cls.lineno)


def _default(value: Any) -> Any:
    """Return the default of a field, also where the field says more than that."""
    if not isinstance(value, griffe.ExprCall) or not value.canonical_path.endswith("Field"):
        return value
    for argument in value.arguments:
        if not isinstance(argument, griffe.ExprKeyword):
            return argument
        if argument.name == "default_factory":
            return griffe.ExprCall(argument.value, [])
    return None
