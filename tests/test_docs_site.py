"""The documentation as a site: built without a warning, it loads nothing from a network and has every public name."""

import html
import html.parser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from code_blocks import ROOT
from doc_examples import made_once, shared_folder

import masktools
import masktools.plots
import masktools_train
from masktools.cli.app import COMMANDS

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "link": "href"}
"""Elements that make a browser load something, and the attribute that says what. Of links, `<a>` loads nothing."""


class Loaded(html.parser.HTMLParser):
    """What a page makes a browser load, and the classes of its elements."""

    def __init__(self, text):
        super().__init__()
        self.found, self.classes, self.ids = [], set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.classes |= set((values.get("class") or "").split())
        self.ids.add(values.get("id"))
        if tag in LOADING and values.get(LOADING[tag]):
            self.found.append(values[LOADING[tag]])
        self.found += [part.split()[0] for part in (values.get("srcset") or "").split(",") if part.strip()]
        self.found += imported(values.get("style") or "")


def imported(style):
    """Return what a style sheet makes a browser load."""
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    return [
        address
        for pair in re.findall(r"""url\(\s*["']?(?!data:)([^)"']+)|@import\s+["']([^"']+)""", style)
        for address in pair
        if address
    ]


def html_text(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text("utf-8")))


def far(addresses):
    return [address for address in addresses if re.match(r"(\w+:)?//", address)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as `make docs` does, with what would be a request to a network refused."""
    return made_once(shared_folder(tmp_path_factory), "site", build)


def build(folder):
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", "docs/site/mkdocs.yml", "--site-dir", folder]
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_what_loads_something_is_found():
    page = (
        '<script src="https://a/b.js"></script><link href="//c/d.css"><img src="e.png"><p style="x: url(http://f/g)">'
    )
    assert far(Loaded(page).found) == ["https://a/b.js", "//c/d.css", "http://f/g"]
    assert imported("@import 'https://a/b'; /* url(c) */ d { e: url(data:f) url(\"https://g/h\") }") == [
        "https://a/b",
        "https://g/h",
    ]


@pytest.mark.slow
def test_nothing_is_loaded_from_a_network(site: Path):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        loaded = Loaded(page.read_text("utf-8"))
        assert loaded.found
        assert far(loaded.found) == [], page.name
        # Only for these does the theme's script load a library from elsewhere.
        assert loaded.classes & {"mermaid", "arithmatex"} == set(), page.name
    for style in site.rglob("*.css"):
        assert far(imported(style.read_text("utf-8"))) == [], style.name
    for script in site.glob("site/*.js"):
        assert "http" not in script.read_text("utf-8"), script.name


@pytest.mark.slow
def test_every_public_name_has_its_description(site: Path):
    ids = {each for page in (site / "library").glob("*.html") for each in Loaded(page.read_text("utf-8")).ids}
    for package in (masktools, masktools.plots, masktools_train):
        assert {f"{package.__name__}.{name}" for name in package.__all__} - ids == set()


@pytest.mark.slow
def test_parameters_described_together_have_their_own_defaults(site: Path):
    text = (site / "library" / "functions.html").read_text("utf-8")
    entry = re.sub(r"<[^>]+>", " ", text.partition('id="masktools.compare"')[2].partition('id="masktools.compare_')[0])
    told = dict(re.findall(r"\s(\w+)\s+\(\s*[^()]*?default:\s*(\S+)\s*\)", entry))
    assert (told["seed"], told["jobs"], told["draws"]) == ("0", "1", "5")


@pytest.mark.slow
def test_bars_in_tables_are_shown_as_github_shows_them(site: Path):
    assert r"\|" in (ROOT / "docs" / "criteria.md").read_text("utf-8")
    assert r"\|" not in html_text(site / "criteria.html")
    assert "|w_f|" in html_text(site / "criteria.html")


@pytest.mark.slow
def test_the_search_knows_every_command(site: Path):
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    found = {document["location"] for document in index["docs"]}
    assert {f"commands.html#{command.name}" for command in COMMANDS} - found == set()
    # A page that is opened as a file cannot read JSON: there the index is a script.
    assert (site / "search" / "search_index.js").is_file()


@pytest.mark.slow
def test_files_of_the_repository_are_pages(site: Path):
    home = (site / "index.html").read_text("utf-8")
    assert 'href="contributing.html"' in home
    assert 'href="docs/' not in home
    assert "Unreleased" in (site / "changelog.html").read_text("utf-8")
    assert 'href="source/analyses/pooled_chance.py.txt.html"' in (site / "overlap.html").read_text("utf-8")
    assert "def main" in html_text(site / "source" / "analyses" / "pooled_chance.py.txt.html")
