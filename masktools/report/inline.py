"""Pictures within the page: SVG that takes its colours and fonts from the page's style."""

import io
import re
from collections.abc import Mapping

from matplotlib.axes import Axes

from masktools.plots.canvas import GRID, INK, MUTED, PALETTE
from masktools.plots.saving import figure_of, write_figure
from masktools.report.markup import clean

__all__ = ["COLOURS", "picture"]

COLOURS: Mapping[str, str] = {
    **{tone.lower(): f"--c{place}" for place, tone in enumerate(PALETTE)},
    "#000000": "--ink",
    INK.lower(): "--ink",
    MUTED.lower(): "--muted",
    GRID.lower(): "--grid",
}
"""Colours of the pictures, and what they are called in the style sheet, which has two of each."""

_WIDE = 450
"""Pixels up to which a picture can be made as narrow as a telephone and still be read."""

_ROOT = re.compile(r"<svg[^>]*?viewBox=\"([\d. ]+)\"[^>]*>")
_NOISE = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_REFERENCE = re.compile(r"(?:href=\"#|url\(#)([\w.-]+)")
_IDENTITY = re.compile(r"\sid=\"([\w.-]+)\"")
_PATH = re.compile(r"\sd=\"[^\"]*\"")
_FRACTION = re.compile(r"(\.\d\d)\d+")
_FONT = re.compile(r"font: ([\w ]*?[\d.]+px) [^;\"]*")
_TONE = re.compile(r"#[0-9a-f]{6}\b")


def picture(ax: Axes, key: str, title: str, caption: str) -> str:
    """Return a picture as a figure of the page.

    Parameters
    ----------
    ax
        Axes that it was drawn into.
    key
        What the ids within it begin with; no two pictures of a page have the same.
    title
        What it shows, for those who cannot see it.
    caption
        How to read it, for everybody.
    """
    figure = figure_of(ax)
    figure.set_facecolor("none")
    for axes in figure.axes:
        axes.set_facecolor("none")
    written = io.StringIO()
    write_figure(figure, written, "svg")
    drawn = _adapted(written.getvalue(), key)
    opening = _ROOT.match(drawn)
    assert opening is not None  # noqa: S101  # matplotlib writes it
    box = opening.group(1)
    width = round(float(box.split()[2]) * 4 / 3)
    shown = (
        f'<svg viewBox="{box}" role="img" aria-labelledby="{key}-title">'
        f'<title id="{key}-title">{clean(title)}</title>{drawn[opening.end() :].strip()}'
    )
    if width > _WIDE:
        # It scrolls on a narrow screen, which takes a keyboard only if it can be focused.
        shown = f'<div class="scroll" tabindex="0" role="group" aria-label="{clean(title)}">{shown}</div>'
    return f'<figure style="--width:{width}px">{shown}<figcaption>{clean(caption)}</figcaption></figure>'


def _adapted(svg: str, key: str) -> str:
    """Return an SVG that can stand beside others in one page."""
    drawn = _NOISE.sub("", svg[svg.index("<svg") :]).replace("xlink:href", "href")
    used = set(_REFERENCE.findall(drawn))
    drawn = _IDENTITY.sub(lambda found: f' id="{key}-{found[1]}"' if found[1] in used else "", drawn)
    drawn = _REFERENCE.sub(lambda found: found[0][: -len(found[1])] + f"{key}-{found[1]}", drawn)
    # A hundredth of a point is less than any screen shows.
    drawn = _PATH.sub(lambda found: _FRACTION.sub(r"\1", found[0]), drawn)
    drawn = _FONT.sub(r"font: \1 var(--font)", drawn)
    return _TONE.sub(lambda found: f"var({COLOURS[found[0]]})" if found[0] in COLOURS else found[0], drawn)
