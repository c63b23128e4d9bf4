"""Look a builder up by name: in a registry, or as ``package.module:function``."""

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from masktools.errors import MasktoolsError, RecipeError
from masktools_train.own_code import own_failure

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
        found = getattr(_imported(module), attribute)
    except Exception as error:  # whatever the user's module does while it is imported
        where = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise RecipeError(f"{kind} {name!r} cannot be imported: {where}{error}") from error
    if not callable(found):
        raise RecipeError(f"{kind} {name!r} is not a function")
    return found  # type: ignore[no-any-return]


def _imported(module: str) -> ModuleType:
    """Import a module, from the working directory too: there people keep their own, as for ``python -m``.

    The directory comes last, so that a file there never takes the place of an installed package.
    """
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    return importlib.import_module(module)


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

    Returns
    -------
    Any
        What was built.

    Raises
    ------
    RecipeError
        If there is no such builder, it does not take these options, or one of the user's fails.
    """
    builder = resolve(kind, name, registry)
    try:
        return builder(**given, **options)
    except MasktoolsError:
        raise
    except Exception as error:
        refused = (TypeError, ValueError) if name in registry else TypeError
        if isinstance(error, refused) and (name in registry or "argument" in str(error)):
            raise RecipeError(f"{kind} {name!r} does not take these options: {error}") from error
        if name in registry:
            raise
        raise own_failure(kind, name, error) from error
