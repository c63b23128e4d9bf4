"""Pages of the library: parameters, shapes, units, errors and results of every public name, from the docstrings."""

import importlib
import inspect
import re
from typing import Any

from mkdocs.structure.files import File, Files

__all__ = ["on_files", "on_page_markdown"]

PAGES = {
    "functions": ("masktools", False, "Functions of masktools", "What is measured on runs, snapshots and masks."),
    "classes": (
        "masktools",
        True,
        "Classes of masktools",
        "Runs, snapshots, and results. Of every result `to_frame()` gives a pandas data frame of the rows of its CSV.",
    ),
    "pictures": ("masktools.plots", False, "Pictures", "Functions of `mt.plots`: results in, axes out."),
    "training_functions": ("masktools_train", False, "Functions of masktools_train", "What trains with torch."),
    "training_classes": ("masktools_train", True, "Classes of masktools_train", "Parts of a training, and results."),
}
"""Names of pages; the package that each is about, whether its classes or its functions, the title, and a sentence."""


def on_files(files: Files, config: Any) -> Files:
    """Add a page for the functions, and one for the classes, of each public package."""
    for name, (package, classes, title, sentence) in PAGES.items():
        module = importlib.import_module(package)
        public = [each for each in module.__all__ if inspect.isclass(getattr(module, each)) is classes]
        entries = [f"::: {package}.{each}\n" for each in public]
        text = "\n".join([f"# {title}\n", f"{sentence} All of them in short: [Library](../api.md).\n", *entries])
        files.append(File.generated(config, f"library/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let each name of the list of public names lead to its full description."""
    if page.file.src_uri != "api.md":
        return markdown
    package = ""

    def lead(match: re.Match[str]) -> str:
        nonlocal package
        if match[1] == "##":
            package = match[2]
            return match[0]
        return f"{match[0]}\n\n[Parameters, results, errors][{package}.{match[2]}]"

    return re.sub(r"^(##|####) ([\w.]+)$", lead, markdown, flags=re.MULTILINE)
