"""The page that `analyses/paper.py` writes: findings of the paper beside ours, with every table and picture."""

import datetime
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

import masktools as mt

HEAD = """# Does the paper replicate?

*Deconstructing the Structure of Sparse Neural Networks* (Van Gelder, Wortsman, Ehsani, arXiv 2012.00172) asks what is
in the masks of Lottery Tickets with rewinding (`ltr`), RigL and Discovering Neural Wirings (`dnw`). These are its
findings beside ours. This page is written by `make paper` from runs that it trains.

{machine}. {seeds} seeds, each with its own initialisation, data order and mask; brackets are 95 % intervals over
seeds (Student t). Differences are paired by seed and tested by a paired t-test, with Holm's correction. The networks
are small: what they show is no verdict on ResNet-50 and ImageNet, for which `python analyses/paper.py gpu` is there.

## Findings

| finding | network | ours | replicates |
|---|---|---|---|
{findings}

How verdicts are reached, fixed before these runs were trained:

- *Structure alone*: of what training gains over the layer-shuffled mask (trained from the same new weights), the mask
  itself keeps with new weights more than half (lower end of the interval): replicates. It keeps something (its
  difference from the shuffled mask is above 0, lower end): partly.
- *Robustness*: two of the three algorithms differ in what they lose at some share of kept weights, after correction for
  all shares and pairs, by 10 points or more: replicates; by less: partly.
- *Early structure*: kappa of the masks of epoch 1 and of the last is above one half (lower end), also given the first
  mask, of which an algorithm that changes little keeps much: replicates; not clearly below (upper end): partly. It
  is asked under a decaying and a constant learning rate: decay freezes masks by itself.
- *Fixing the mask after one epoch*: less than one point of accuracy is lost (upper end): replicates; less than half of
  what a static random mask loses: partly.
"""


def machine() -> str:
    """Say where and when this was measured."""
    torch = importlib.metadata.version("torch")
    date = datetime.datetime.now(tz=datetime.UTC).date()
    return f"{os.cpu_count()}-core {platform.machine()}, Python {platform.python_version()}, torch {torch}, {date}"


def write_page(
    page: Path, results: Path, seeds: int, titles: Mapping[str, tuple[str, str]], analyses: Mapping[str, str]
) -> None:
    """Write the page, and copy the pictures into a directory of its name.

    Parameters
    ----------
    page
        The Markdown file.
    results
        A directory for each study, with what its analyses published.
    seeds
        Number of seeds.
    titles
        Title of each study and a note on it, by name.
    analyses
        Titles of the analyses, by name.
    """
    pictures = page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    findings = [
        f"| {found.claim} | {titles[study][0]} | {found.figure} | **{found.verdict}** |"
        for analysis in analyses
        for study in titles
        for found in mt.published(results / study, analysis)
    ]
    lines = [HEAD.format(machine=machine(), seeds=seeds, findings="\n".join(findings))]
    for study, (title, note) in titles.items():
        lines += [f"## {title}\n", *([f"{note}\n"] if note else [])]
        for analysis, heading in analyses.items():
            stem = results / study / analysis
            doc = (Path(__file__).parent / f"{analysis}.py").read_text("utf-8").split('"""')[1]
            picture = f"{study}-{analysis}.svg"
            shutil.copyfile(stem.with_suffix(".svg"), pictures / picture)
            lines += [f"### {heading}\n", doc.partition("\n")[0] + "\n", stem.with_suffix(".md").read_text("utf-8")]
            lines.append(f"![{heading}, {title}]({pictures.name}/{picture})\n")
    page.write_text("\n".join(lines), "utf-8")
