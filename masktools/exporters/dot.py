"""Graphviz's DOT."""

from masktools.topology.drawing import Drawing

__all__ = ["as_dot"]


def as_dot(drawn: Drawing) -> str:
    """Return a directed graph in the DOT language; layers are boxes, other operators ellipses."""
    lines = ["digraph network {", "  rankdir=TB;", '  node [fontname="Helvetica", fontsize=10];']
    for number, node in enumerate(drawn.nodes):
        said = [node.name, *([node.op] if node.op != node.name else []), node.shape]
        said += [f"{key} {_short(value)}" for key, value in node.facts.items() if key in ("density", "heads", "kernel")]
        shape = "box" if "weights" in node.facts or node.op in ("input", "output") else "ellipse"
        lines.append(f"  n{number} [shape={shape}, label={_quoted(said)}];")
    lines += [f"  n{source} -> n{target};" for source, target in drawn.edges]
    return "\n".join([*lines, "}", ""])


def _short(value: str | int | float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _quoted(lines: list[str]) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
