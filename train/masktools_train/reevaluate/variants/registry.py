"""All ways of starting again."""

from collections.abc import Mapping

from masktools.errors import RecipeError
from masktools_train.reevaluate.variants import foreign, structures, weights
from masktools_train.reevaluate.variants.variant import Variant

__all__ = ["DEFAULT", "VARIANTS", "find_variant"]

VARIANTS: Mapping[str, Variant] = {
    variant.name: variant for variant in (*weights.VARIANTS, *structures.VARIANTS, *foreign.VARIANTS)
}
"""By name; a new one is its function and one line in the file of its topic."""

DEFAULT = ("original", "new", "layer-shuffled")
"""What is trained unless told otherwise."""


def find_variant(name: str) -> Variant:
    """Return a variant by its name.

    Raises
    ------
    RecipeError
        If there is none of this name.
    """
    if name not in VARIANTS:
        raise RecipeError(f"variant {name!r} is unknown; choose from {', '.join(VARIANTS)}")
    return VARIANTS[name]
