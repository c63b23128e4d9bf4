"""Image files: read as by hand, cut at random within bounds, refused when damaged."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from masktools.errors import RecipeError
from masktools_train.data.images import SUFFIXES, crop_box, read_image


def picture(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(("width", "height"), [(40, 30), (30, 40), (33, 33), (16, 18), (101, 7), (18, 16)])
@pytest.mark.parametrize(("size", "resize"), [(16, 18), (16, 16), (7, 12)])
def test_the_middle(width, height, size, resize, tmp_path):
    image = picture(width, height)
    image.save(tmp_path / "a.png")
    # The shorter side becomes `resize`, the longer one is rounded down; half a pixel is rounded to the even one.
    whole = (resize, int(resize * height / width)) if width <= height else (int(resize * width / height), resize)
    left, top = ((side - size) // 2 + ((side - size) % 4 == 3) for side in whole)
    expected = image.resize(whole, Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
    found = read_image(str(tmp_path / "a.png"), size, resize)
    assert found.shape == (size, size, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.asarray(expected))
    np.testing.assert_array_equal(
        read_image(str(tmp_path / "a.png"), size, resize, mirrored=True), np.asarray(expected)[:, ::-1]
    )


def test_a_part_is_stretched(tmp_path):
    image = picture(50, 37)
    image.save(tmp_path / "a.png")
    for seed in range(20):
        box = crop_box(50, 37, np.random.default_rng(seed))
        expected = image.crop(box).resize((16, 16), Image.Resampling.BILINEAR)
        found = read_image(str(tmp_path / "a.png"), 16, 18, np.random.default_rng(seed))
        np.testing.assert_array_equal(found, np.asarray(expected))


SIDES = st.integers(1, 2000)


@given(SIDES, SIDES, st.integers(0, 2**32))
def test_parts_lie_within_the_image(width, height, seed):
    left, top, right, bottom = crop_box(width, height, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@given(st.integers(200, 2000), st.floats(3 / 4, 4 / 3), st.integers(0, 2**32))
def test_parts_have_the_area_and_ratio_that_they_should(width, ratio, seed):
    height = round(width / ratio)
    left, top, right, bottom = crop_box(width, height, np.random.default_rng(seed))
    w, h = right - left, bottom - top
    # Sides are rounded to pixels; the smallest is some 49 of them.
    assert 0.078 <= w * h / (width * height) <= 1
    assert 0.74 <= w / h <= 1.35


def test_areas_are_uniform_and_ratios_in_their_logarithm():
    random = np.random.default_rng(1)
    boxes = np.array([crop_box(4000, 4000, random) for _ in range(4000)], dtype=np.float64)
    w, h = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    # Large parts of an odd ratio do not fit and are drawn again: below half of the area all fit.
    areas, ratios = w * h / 4000**2, np.log(w / h) / math.log(4 / 3)
    small = areas < 0.5
    for values, low, high in ((areas[small], 0.08, 0.5), (ratios[small], -1, 1)):
        ordered = np.sort((values - low) / (high - low))
        # Kolmogorov and Smirnov's distance; its .999 quantile is 1.95 / sqrt(n).
        distance = np.abs(ordered - (np.arange(len(ordered)) + 0.5) / len(ordered)).max()
        assert distance < 1.95 / math.sqrt(len(ordered))
    places = boxes[small, 0] / (4000 - w[small])
    assert abs(places.mean() - 0.5) < 4 / math.sqrt(12 * small.sum())
    assert places.min() < 0.01
    assert places.max() > 0.99


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (1000, 10, (493, 0, 506, 10)),  # 10 * 4 / 3 pixels wide, in the middle
        (10, 1000, (0, 493, 10, 506)),
        (1, 1, (0, 0, 1, 1)),
    ],
)
def test_where_nothing_fits_the_middle_is_taken(width, height, box):
    found = {crop_box(width, height, np.random.default_rng(seed)) for seed in range(200)}
    assert box in found
    if width != height:
        assert found == {box}


def smooth(width, height):
    """Something without fine detail, of which a smaller decoding is nearly the same."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(2 * np.pi * (a * x / width + b * y / height)) for a, b in ((1, 0), (0, 1), (1, 1))]
    return Image.fromarray(np.stack(waves, -1).astype(np.uint8))


def test_a_jpeg_decoded_smaller_is_nearly_the_same(tmp_path, monkeypatch):
    stretched, resize = [], Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda image, *args: stretched.append(image.size) or resize(image, *args)
    )
    smooth(803, 605).save(tmp_path / "a.jpg", quality=95)
    exactly = []
    for seed in range(12):
        found = read_image(str(tmp_path / "a.jpg"), 32, 36, np.random.default_rng(seed)).astype(int)
        with Image.open(tmp_path / "a.jpg") as image:
            left, top, right, bottom = box = crop_box(803, 605, np.random.default_rng(seed))
            expected = np.asarray(image.crop(box).resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
        # Edges move by half a pixel at most of an image an eighth as large, where waves rise by 1.8 a pixel at most.
        scale = 2 ** min(3, int(math.log2(min(right - left, bottom - top) / 32)))
        assert np.abs(found - expected).max() <= (0 if scale == 1 else 3 + 1.8 * scale / 2)
        # The smaller decoding still has all the pixels that are needed, but not twice as many.
        assert min(stretched[-2]) >= min(32, right - left, bottom - top)
        assert scale == 8 or min(stretched[-2]) <= 65
        exactly.append(np.array_equal(found, expected))
    assert not all(exactly)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "jpeg"), ("CMYK", "jpeg"), ("P", "png"), ("RGBA", "png"), ("1", "png"), ("LA", "png")]
)
def test_other_kinds_of_images_become_rgb(mode, suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    picture(20, 20).convert(mode).save(path)
    with Image.open(path) as image:
        assert image.mode == mode
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_image(str(path), 20, 20), expected)
    if mode in ("L", "1", "LA"):
        assert (expected[:, :, 0] == expected[:, :, 2]).all()


def test_the_suffixes_are_all_read(tmp_path):
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        picture(20, 20).convert("L" if suffix == ".pgm" else "RGB").save(path)
        assert read_image(str(path), 16, 18).shape == (16, 16, 3)


def jpeg(tmp_path):
    picture(64, 48).save(tmp_path / "whole.jpg")
    return (tmp_path / "whole.jpg").read_bytes()


@pytest.mark.parametrize(
    "damaged",
    [
        lambda raw: b"",
        lambda raw: b"no image at all",
        lambda raw: raw[:20],
        lambda raw: raw[: len(raw) // 2],
        lambda raw: b"\x89PNG\r\n\x1a\n" + raw[8:],
        lambda raw: b"II*\0\xff\xff\xff\xff",
    ],
)
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_image_is_refused_by_name(damaged, cut, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(damaged(jpeg(tmp_path)))
    with pytest.raises(RecipeError, match="cannot be read as an image: ") as caught:
        read_image(str(path), 16, 18, np.random.default_rng(0) if cut else None)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_image_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"gone\.jpg: cannot be read as an image"):
        read_image(str(tmp_path / "gone.jpg"), 16, 18)
