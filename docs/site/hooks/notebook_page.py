"""The notebook as a page: its text, its code, and the outputs that are stored in it."""

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

__all__ = ["markdown_of", "on_files", "on_page_markdown"]

NOTEBOOK = "notebook.ipynb"
PAGE = "notebook.md"


def on_files(files: Files, config: Any) -> Files:
    """Put the page, and the pictures in it, in the place of the notebook."""
    notebook = files.get_file_from_path(NOTEBOOK)
    if notebook is not None:
        text, pictures = markdown_of(json.loads(Path(notebook.abs_src_path or "").read_text("utf-8")))
        files.append(File.generated(config, PAGE, content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to the notebook lead to its page."""
    return markdown.replace(f"({NOTEBOOK})", f"({PAGE})")


def markdown_of(notebook: dict[str, Any]) -> tuple[str, dict[str, bytes]]:
    """Return the text of a page, and the contents of its pictures by name."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code" and source.strip():
            parts.append(f"```python\n{source.rstrip()}\n```")
            for output in cell["outputs"]:
                parts += _shown(output, pictures)
    return "\n\n".join(parts) + "\n", pictures


def _shown(output: dict[str, Any], pictures: dict[str, bytes]) -> list[str]:
    """Return an output as Markdown, in the richest form that needs no script; pictures are put aside."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    for kind, ending in (("image/svg+xml", "svg"), ("image/png", "png")):
        if kind in data:
            content = "".join(data[kind])
            name = f"notebook-{len(pictures) + 1}.{ending}"
            pictures[name] = content.encode() if ending == "svg" else base64.b64decode(content)
            return [f"![output of the cell above]({name})"]
    if "text/markdown" in data:
        return ["".join(data["text/markdown"])]
    if "text/html" in data:
        # Tables of pandas look like those of pages without the style that they bring.
        markup = re.sub(r"<style.*?</style>|<table[^>]*>", _plain, "".join(data["text/html"]), flags=re.DOTALL)
        return [f'<div class="output" markdown="0">\n{markup}\n</div>']
    text = "".join(data.get("text/plain", "")).rstrip()
    return [f"```text\n{text}\n```"] if text else []


def _plain(match: re.Match[str]) -> str:
    return "<table>" if match[0].startswith("<table") else ""
