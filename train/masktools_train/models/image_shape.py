"""Check that the inputs of a network for images are images, and large enough for it."""

from collections.abc import Sequence

from masktools.errors import RecipeError

__all__ = ["image_shape"]


def image_shape(model: str, input_shape: Sequence[int], smallest: int = 1) -> tuple[int, int, int]:
    """Return channels, height and width of the inputs.

    Parameters
    ----------
    model
        Name of the model, for the message.
    input_shape
        Shape of one input, as the data set gives it.
    smallest
        Height and width that the network needs: below them one of its maps would have no entry left.

    Raises
    ------
    RecipeError
        If the inputs are no images, or smaller than that.

    Examples
    --------
    >>> image_shape("lenet-5", (1, 28, 28), smallest=16)
    (1, 28, 28)
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or shape[0] < 1 or min(shape[1:]) < smallest:
        raise RecipeError(
            f"model {model} cannot take inputs of shape {shape}: it takes images, as (channels, height, width), "
            f"of at least {smallest} x {smallest}"
        )
    channels, height, width = shape
    return channels, height, width
