"""Small folders of images, as `ImageFolder` reads them."""

import numpy as np
from PIL import Image

SIZE, RESIZE = 16, 18
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

COUNTS = {"train": {"ant": 9, "bee": 8, "cat": 6}, "val": {"ant": 4, "bee": 3, "cat": 5}}


def write_images(root, counts=COUNTS):
    """Write random images, brighter in one colour for each class, and return their paths in the order of an epoch."""
    random = np.random.default_rng(0)
    for part, classes in counts.items():
        for label, (name, count) in enumerate(classes.items()):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                height, width = random.integers(18, 40, 2)
                pixels = random.integers(0, 120, (height, width, 3), dtype=np.uint8)
                pixels[:, :, label % 3] += 90
                Image.fromarray(pixels).save(folder / f"{number}.{'JPEG' if number % 2 else 'png'}")
    return root


def by_hand(path):
    """Read an image for testing, channels first, as float64."""
    with Image.open(path) as image:
        width, height = image.size
        long = int(RESIZE * max(width, height) / min(width, height))
        width, height = (RESIZE, long) if width <= height else (long, RESIZE)
        left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
        pixels = image.resize((width, height), Image.Resampling.BILINEAR)
        cut = np.asarray(pixels)[top : top + SIZE, left : left + SIZE]
    return ((cut / 255 - MEAN) / STD).transpose(2, 0, 1)
