"""Pages of the site that are files of the repository elsewhere, and the links to them.

A link is written as it works in the repository: `../CONTRIBUTING.md`, `../analyses/demo.py`. Here the file becomes a
page, so that every link of the site can be followed and checked without a network. What is no file is left as it is:
the build then fails on it.
"""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

__all__ = ["on_files", "on_page_content", "on_page_markdown"]

ROOT = Path(__file__).resolve().parents[3]

OF_THE_REPOSITORY = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages that have a place in the navigation, and their addresses."""

PAGES = "docs/"
CODE = re.compile(r"^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
CELL = re.compile(r"<t[dh]\b.*?</t[dh]>", re.DOTALL)
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the repository, and a page for every other file that a page links to."""
    for path in OF_THE_REPOSITORY:
        files.append(_page(path, config))
    waiting = [file for file in files if file.src_uri.endswith(".md")]
    while waiting:
        file = waiting.pop()
        for path in _linked(file):
            if files.get_file_from_path(_address(path)) is None:
                added = _page(path, config)
                files.append(added)
                waiting.append(added)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to files of the repository lead to their pages."""
    here = page.file.src_uri

    def lead(match: re.Match[str]) -> str:
        path = _target(here, match[2])
        if path is None:
            return match[0]
        return f"{match[1]}{posixpath.relpath(_address(path), posixpath.dirname(here) or '.')}{match[3]}"

    return outside_code(markdown, lambda text: LINK.sub(lead, text))


def on_page_content(html: str, **_: Any) -> str:
    """Show a bar in the code of a table as one: Python-Markdown leaves the backslash there that GitHub takes away."""
    return CELL.sub(lambda match: match[0].replace("\\|", "|"), html)


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Return a text of which everything but code is changed."""
    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [change(markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(markdown[end:])])


def _linked(file: File) -> set[str]:
    """Return the files of the repository, outside the documentation, that a page links to."""
    found: set[str] = set()

    def collect(text: str) -> str:
        found.update(path for link in LINK.findall(text) if (path := _target(file.src_uri, link[1])))
        return text

    outside_code(file.content_string, collect)
    return {path for path in found if not path.startswith(PAGES)}


def _target(here: str, link: str) -> str | None:
    """Return the file of the repository that a link names, None if it names none."""
    if ":" in link or link.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(_origin(here)), link))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def _origin(address: str) -> str:
    """Return the file that a page is made of."""
    for path, page in OF_THE_REPOSITORY.items():
        if page == address:
            return path
    if address.startswith("source/"):
        return address.removeprefix("source/").removesuffix(".txt.md")
    return PAGES + address


def _address(path: str) -> str:
    """Return the page that shows a file."""
    if path.startswith(PAGES):
        return path.removeprefix(PAGES)
    return OF_THE_REPOSITORY.get(path, f"source/{path}" if path.endswith(".md") else f"source/{path}.txt.md")


def _page(path: str, config: Any) -> File:
    text = (ROOT / path).read_text("utf-8")
    if not path.endswith(".md"):
        language = {".py": "python", ".toml": "toml", ".sh": "bash"}.get(Path(path).suffix, "text")
        head = "---\nsearch:\n  exclude: true\nhide: [toc]\n---\n\n"
        text = f"{head}# {path}\n\n~~~~~~{language}\n{text.rstrip()}\n~~~~~~\n"
    return File.generated(config, _address(path), content=text)
