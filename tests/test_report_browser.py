"""The page in a browser: axe finds nothing, nothing is cut or covered, and nothing is said on the console.

Skipped where there is no Chromium (Debian: ``apt-get install chromium fonts-dejavu-core``) or no axe (``pip install
axe-core-python``).
"""

import html
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from reported import write_study
from synthetic import mlp_topology, random_masks

from masktools.report.page import html_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def axe_script():
    """Return where a package has the script, None if none is installed."""
    for package in ("axe_playwright_python", "axe_core_python"):
        found = importlib.util.find_spec(package)
        for folder in found.submodule_search_locations or () if found else ():
            if (Path(folder) / "axe.min.js").is_file():
                return Path(folder) / "axe.min.js"
    return None


AXE = axe_script()

PAPERS = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path"),
    pytest.mark.skipif(AXE is None, reason="axe is not installed (axe-core-python)"),
]

LOOK = """
addEventListener('load', function () {
  var found = {width: innerWidth, scroll: document.scrollingElement.scrollWidth, cut: [], covered: [], out: []};
  found.paper = getComputedStyle(document.body).backgroundColor;
  document.querySelectorAll('h1,h2,h3,p,dt,dd,li,figcaption,summary,button,th,td').forEach(function (each) {
    if (each.offsetParent && each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display != 'inline')
      found.cut.push(each.tagName + ': ' + each.textContent.slice(0, 60));
  });
  document.querySelectorAll('svg').forEach(function (svg) {
    var frame = svg.getBoundingClientRect();
    var texts = Array.from(svg.querySelectorAll('text')).map(function (text) {
      return {words: text.textContent, box: text.getBoundingClientRect()};
    }).filter(function (each) { return each.box.width && each.words.trim(); });
    texts.forEach(function (each, place) {
      var a = each.box;
      if (a.left < frame.left - 2 || a.right > frame.right + 2 || a.top < frame.top - 2 || a.bottom > frame.bottom + 2)
        found.out.push(svg.querySelector('title').textContent + ': ' + each.words);
      texts.slice(place + 1).forEach(function (other) {
        var b = other.box;
        var wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        var high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 2 && high > 3)
          found.covered.push(svg.querySelector('title').textContent + ': ' + each.words + ' / ' + other.words);
      });
    });
  });
  axe.run(document, {resultTypes: ['violations']}).then(function (result) {
    function told(each) {
      var nodes = each.nodes.slice(0, 4).map(function (node) { return node.html.slice(0, 160); });
      return {id: each.id, impact: each.impact, help: each.help, nodes: nodes};
    }
    found.violations = result.violations.map(told);
    found.rules = result.passes.length;
    // What is opened later than at this event is not on the pages that are counted, and the last ones are lost.
    dispatchEvent(new Event('beforeprint'));
    found.folded = document.querySelectorAll('details:not([open])').length;
    parent.postMessage(JSON.stringify({name: window.name, found: found}), '*');
  });
});
"""
"""Run within the page: what is wider than its place, covers other text or leaves its picture, and what axe says."""

COLLECT = """
var all = {};
addEventListener('message', function (message) {
  var told = JSON.parse(message.data);
  all[told.name] = told.found;
  document.getElementById('found').textContent = JSON.stringify(all);
});
"""


def looked_at(pages, folder, system="light"):
    """Return what a browser and axe say about pages, and what stands on the console.

    Pages are given by name, each with the width of its window and the theme of its root, if any. Windows are frames,
    because Chromium makes none of its own that is as narrow as a telephone.
    """
    script = f"<script>{AXE.read_text('utf-8')}</script><script>{LOOK}</script>"
    frames = []
    for number, (name, (page, width, theme)) in enumerate(pages.items()):
        opening = f'<html lang="en" data-theme="{theme}">' if theme else '<html lang="en">'
        whole = page.replace('<html lang="en">', opening, 1).replace("</body>", f"{script}</body>", 1)
        (folder / f"{number}.html").write_text(whole, "utf-8")
        frames.append(
            f'<iframe name="{name}" src="{number}.html" width="{width}" height="900" style="border:0"></iframe>'
        )
    place = folder / "frames.html"
    place.write_text(f'<!DOCTYPE html><pre id="found"></pre><script>{COLLECT}</script>{"".join(frames)}', "utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            *"--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync".split(),
            *"--disable-background-networking --disable-component-update --disable-dev-shm-usage".split(),
            *"--enable-logging=stderr --virtual-time-budget=60000 --dump-dom --window-size=1400,900".split(),
            f"--blink-settings=preferredColorScheme={0 if system == 'dark' else 1}",
            f"--user-data-dir={folder / 'profile'}",
            place.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found)), console


def everything(write_run):
    """Return a page with every section."""
    return html_report(write_study(write_run, names=("dnw",)), null="layer", draws=3)


def strange(write_run):
    """Return a page of networks that are large, dense, bare, many, or have names that are no words."""
    sizes = (300, 200, 100, 10)
    large = [random_masks(seed, 0.05, sizes) for seed in range(3)]
    dense = {name: np.ones_like(mask) for name, mask in random_masks(0).items()}
    name = "a very long name of a run with größe & \"quotes\", 'more' <b>and so on</b>"
    runs = [
        write_run(name, large, {"seed": 0}, (), mlp_topology(sizes)),
        write_run("dense", [dense, dense], {"seed": 1}, (), mlp_topology()),
        write_run("名前-single", [random_masks(3)], {"seed": 2}),
        *(write_run(f"many-{kind}", 2 * [random_masks(kind)], {"seed": 0, "kind": kind}) for kind in range(5)),
    ]
    return html_report(runs)


def test_axe_and_the_browser_find_nothing(write_run, tmp_path):
    pages = {"everything": everything(write_run), "strange": strange(write_run)}
    shapes = [("everything", 1280, "light"), ("everything", 1280, "dark"), ("everything", 390, "light")]
    shapes += [("everything", 390, "dark"), ("strange", 1280, "light"), ("strange", 390, "dark")]
    windows = {f"{name}-{width}-{theme}": (pages[name], width, theme) for name, width, theme in shapes}
    found, console = looked_at(windows, tmp_path)
    assert console == []
    assert set(found) == set(windows)
    for name, (_, width, theme) in windows.items():
        here = found[name]
        assert here["rules"] > 15
        assert (here["width"], here["paper"]) == (width, PAPERS[theme])
        assert here["scroll"] <= width
        assert here["folded"] == 0
        wrong = {key: here[key] for key in ("violations", "cut", "covered", "out") if here[key]}
        assert wrong == {}, name


def test_the_page_is_as_dark_as_the_system_and_what_is_wrong_would_be_found(write_run, tmp_path):
    bad = strange(write_run).replace("--ink:#e8e8e8", "--ink:#444444").replace("<h2", "<h5").replace("</h2", "</h5")
    bad = bad.replace("</main>", '<div style="width:2000px">wide</div><script>console.error("no")</script></main>')
    bad = bad.replace("<text ", '<text textLength="90" ')
    found, console = looked_at({"bad": (bad, 390, "")}, tmp_path, "dark")
    assert found["bad"]["paper"] == PAPERS["dark"]
    assert {"color-contrast", "heading-order"} <= {each["id"] for each in found["bad"]["violations"]}
    assert found["bad"]["scroll"] > 390
    assert found["bad"]["covered"]
    assert len(console) == 1
