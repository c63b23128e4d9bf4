"""Look a builder up by name: in a registry, or as ``package.module:function``."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from masktools.errors import RecipeError

__all__ = ["build", "resolve"]


def resolve(kind: str, name: str, registry: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Return the builder that a recipe names.

    Parameters
    ----------
    kind
        ``model`` or ``data``, for messages.
    name
        A key of the registry, or ``package.module:function``.
    registry
        The built-in ones.

    Raises
    ------
    RecipeError
        If there is no such builder.
    """
    if name in registry:
        return registry[name]
    module, separator, attribute = name.partition(":")
    if not separator:
        raise RecipeError(f"{kind} {name!r} is unknown; choose from {', '.join(registry)}, or package.module:function")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:  # TypeError: a relative name
        raise RecipeError(f"{kind} {name!r} cannot be imported: {error}") from error
    if not callable(found):
        raise RecipeError(f"{kind} {name!r} is not a function")
    return found  # type: ignore[no-any-return]


def build(
    kind: str, name: str, registry: Mapping[str, Callable[..., Any]], options: Mapping[str, Any], **given: Any
) -> Any:
    """Call the builder that a recipe names.

    Parameters
    ----------
    kind, name, registry
        As for `resolve`.
    options
        The recipe's options for it.
    given
        What every builder of this kind is given.

    Raises
    ------
    RecipeError
        If there is no such builder or it does not take these options.
    """
    builder = resolve(kind, name, registry)
    try:
        return builder(**given, **options)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise RecipeError(f"{kind} {name!r} does not take these options: {error}") from error
