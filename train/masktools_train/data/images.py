"""One image file as an array of fixed size: cut at random for training, in the middle for testing."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from masktools.errors import RecipeError

__all__ = ["SUFFIXES", "crop_box", "read_image"]

SUFFIXES = (".jpeg", ".jpg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
"""How names of image files end, in small letters."""

_AREA = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10


def read_image(
    path: str, size: int, resize: int, crop: np.random.Generator | None = None, mirrored: bool = False
) -> NDArray[np.uint8]:
    """Read an image file.

    Parameters
    ----------
    path
        The file. Grey, palette and CMYK images become RGB.
    size
        Height and width of the result.
    resize
        Length of the shorter side before the middle is cut out.
    crop
        Source of randomness of the cut; None takes the middle.
    mirrored
        Exchange left and right.

    Returns
    -------
    array
        uint8, shape ``(size, size, 3)``.

    Raises
    ------
    RecipeError
        If the file cannot be read as an image; the message names it.
    """
    try:
        with Image.open(path) as image:
            found = _middle(image, size, resize) if crop is None else _cut(image, size, crop)
            pixels = np.asarray(found)
    except Exception as error:  # whatever a damaged file makes a decoder raise: there are many of both
        raise RecipeError(f"{path}: cannot be read as an image: {error}") from error
    return pixels[:, ::-1] if mirrored else pixels


def crop_box(width: int, height: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Choose the part of an image that is to be stretched to a square.

    Its share of the area is uniform from .08 to 1, and the logarithm of its ratio of sides is uniform, from 3/4 to 4/3.
    After ten parts that do not fit, it is the largest in the middle whose ratio is one of these.

    Parameters
    ----------
    width, height
        Of the image.
    random
        Source of randomness.

    Returns
    -------
    tuple of int
        Left, upper, right and lower edge, the latter two just outside.

    References
    ----------
    Szegedy et al., Going deeper with convolutions, 2015; as in torchvision's ``RandomResizedCrop``.
    """
    for _ in range(_TRIES):
        area = width * height * random.uniform(*_AREA)
        ratio = math.exp(random.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(random.integers(0, height - h + 1))
            left = int(random.integers(0, width - w + 1))
            return left, top, left + w, top + h
    w, h = width, height
    if width / height < _RATIO[0]:
        h = round(width / _RATIO[0])
    elif width / height > _RATIO[1]:
        w = round(height * _RATIO[1])
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _cut(image: Image.Image, size: int, random: np.random.Generator) -> Image.Image:
    """Stretch a random part to the size."""
    width, height = image.size
    box = crop_box(width, height, random)
    # A JPEG can be decoded at a half, a quarter or an eighth for less, where the part keeps at least `size` pixels.
    fewest = math.ceil(width * size / (box[2] - box[0])), math.ceil(height * size / (box[3] - box[1]))
    drafted = image.draft(None, fewest)
    if drafted is not None:
        shrunk = width / drafted[1][2]
        left, top, right, bottom = (round(edge / shrunk) for edge in box)
        box = left, top, right, bottom
    return _rgb(image).crop(box).resize((size, size), Image.Resampling.BILINEAR)


def _middle(image: Image.Image, size: int, resize: int) -> Image.Image:
    """Resize the shorter side and cut out the middle, rounding as torchvision does: test inputs are as everywhere."""
    short, long = sorted(image.size)
    longer = int(resize * long / short)
    width, height = (resize, longer) if image.width <= image.height else (longer, resize)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = _rgb(image).resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")
