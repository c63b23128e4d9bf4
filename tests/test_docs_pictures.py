"""The pictures of docs/concepts.md are what their script draws, and the page describes each of them."""

import itertools
import re
from xml.etree import ElementTree

import make_pictures
import pytest
from code_blocks import ROOT

from masktools.runs import open_run

FOLDER = ROOT / "docs" / "pictures"
PAGE = (ROOT / "docs" / "concepts.md").read_text("utf-8")
DESCRIBED = {name: words for words, name in re.findall(r"^!\[(.*)\]\(pictures/(\w+)\.svg\)$", PAGE, re.MULTILINE)}
LARGEST = 150_000


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures.draw(folder)
    return folder


def elements(path):
    """Return the elements of a picture in their order, each with what is written in it."""
    root = ElementTree.parse(path).getroot()
    return [(element.tag.rpartition("}")[2], (element.text or "").strip()) for element in root.iter()]


def outlines(path):
    """Return the paths of a picture."""
    return [element.get("d", "") for element in ElementTree.parse(path).getroot().iter()]


def coordinates(path):
    return [float(number) for outline in outlines(path) for number in re.findall(r"-?\d+(?:\.\d+)?", outline)]


def test_every_picture_is_stored_and_no_other_lies_there(drawn):
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in drawn.iterdir()}
    assert {path.stem for path in drawn.iterdir()} == set(make_pictures.PICTURES)


@pytest.mark.parametrize("name", make_pictures.PICTURES)
def test_the_stored_picture_is_what_the_script_draws(name, drawn):
    stored, new = FOLDER / f"{name}.svg", drawn / f"{name}.svg"
    assert stored.stat().st_size < LARGEST
    assert elements(stored) == elements(new), f"{name}.svg is old: run python docs/make_pictures.py"
    # Layout is computed in floating point, which another processor may round otherwise; nothing moves by a pixel.
    assert coordinates(new) == pytest.approx(coordinates(stored), abs=0.5)


def test_every_picture_is_on_the_page_and_described_there():
    assert set(DESCRIBED) == set(make_pictures.PICTURES)
    assert min(map(len, DESCRIBED.values())) > 80


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("snapshots", r"(\d+) born"),
        ("budgets", r"(?<![\d.])(\d+\.\d+)(?![\d.])"),
        ("ladder", r"(\d+) and (\d+) active"),
        ("order", r"kappa with A: (\d\.\d\d)"),
        ("network", r"(\d+) (?:edges|dead|ghosts)"),
        ("emergence", r"emergence epoch (\d+)"),
        ("intervals", r"(\d+) of 40 intervals"),
    ],
)
def test_descriptions_have_the_numbers_of_the_pictures(name, pattern, drawn):
    written = " | ".join(text for _, text in elements(drawn / f"{name}.svg"))
    numbers = {number for match in re.finditer(pattern, written) for number in match.groups()}
    assert numbers
    # A number at the end of a sentence has a point behind it that is none of its own.
    assert numbers <= set(re.findall(r"\d+(?:\.\d+)?", DESCRIBED[name]))


def test_every_active_weight_is_a_cell(drawn):
    masks = [snapshot.mask("fc1.weight") for snapshot in open_run(ROOT / "fixtures" / "v1" / "dnw")]
    gone = sum(int((before & ~after).sum()) for before, after in itertools.pairwise(masks))
    # A cell is a closed square: of all outlines in these panels only cells have their corners in that order.
    squares = [outline.count("z") for outline in outlines(drawn / "snapshots.svg") if outline.count("z") > 1]
    assert sum(squares) == sum(int(mask.sum()) for mask in masks) + gone
