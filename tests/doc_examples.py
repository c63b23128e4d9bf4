"""What the code on pages needs to be run: runs with the names that pages use, shorter trainings, stated exceptions."""

import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from masktools.cli.app import main
from masktools_train.models import build_model

SMALL = ["--epochs", "3", "--device", "cpu", "--quiet", "--set", "data.options.test_share=0.8"]

TRAINED = {
    "dnw-s0": ["--algorithm", "dnw", "--seed", "0"],
    "dnw-s1": ["--algorithm", "dnw", "--seed", "1"],
    "dnw-s2": ["--algorithm", "dnw", "--seed", "2"],
    "rigl-s0": ["--algorithm", "rigl", "--seed", "0"],
    "rigl-s1": ["--algorithm", "rigl", "--seed", "1"],
    "static-s0": ["--algorithm", "static", "--seed", "0"],
    "ltr-s0": ["--algorithm", "ltr", "--density", "0.5", "--set", "algorithm.options.rewind=1ep"],
    "resnet20-s0": ["--model", "resnet20", "--set", "model.options={}", "--density", "0.1", "--epochs", "1"],
}
"""Runs of the pages, and how they are trained here: for three epochs on a fifth of the digits."""

COPIED = {"digits-dnw-s0": "dnw-s0", "digits-rigl-s0": "rigl-s0"}
"""Runs that have two names, because the program chooses one where none is given."""

SHORTER = (
    (r"--draws \d+", "--draws 3"),
    (r"--jobs \d+", "--jobs 1"),
    (r"--seeds \d+-\d+", "--seeds 0,1"),
    (r"--seeds \d+(?![-,\d])", "--seeds 2"),
    (r"--at \S+", "--at 1,2"),
    (r"--weights-epoch \d+", "--weights-epoch 1"),
    (r"--freeze-epochs \S+", "--freeze-epochs never,1"),
    (r"--finetune-epochs \d+", "--finetune-epochs 1"),
    (r"--set epochs=\d+", ""),
)
"""What is replaced in a command before it is run, so that it takes a second where the page's takes minutes."""

ADDED = {
    "connectivity": ["--draws", "3"],
    "train": ["--epochs", "3", "--set", "data.options.test_share=0.8", "--overwrite", "--quiet"],
    "sweep": ["--set", "epochs=1", "--set", "data.options.test_share=0.8", "--quiet"],
    "reinit": ["--seeds", "2", "--set", "epochs=2", "--quiet"],
    "freeze": ["--quiet"],
    "prune": ["--quiet"],
}
"""What is added to a command, by its name, before it is run."""

ONLY_PARSED = {
    r"--scheduler": "needs a cluster; tests/test_executor_cluster.py has one",
    r"fashion-mnist": "needs images that may not be installed; tests/train/test_idx.py reads them where they are",
}
"""Commands of masktools that are given to the parser alone, with the reason."""

NOT_RUN = {
    r"^(make) (demo|test|check|docs|paper|api)$": "targets of the Makefile, this test among them; they have to exist",
    r"^pip install": "tests/test_wheel.py installs the wheel",
    r"^apt-get ": "installs on the machine of the reader",
    r"^dask |^DASK_": "a cluster; tests/test_executor_cluster.py starts one",
    r"^torchrun ": "several processes; tests/train/test_distributed.py starts them",
    r"^python analyses/": "tests/test_analyses.py and tests/test_paper.py run these",
    r"^python benchmarks/": "measurements that take minutes",
}
"""Commands that are not run, with the reason."""

GIVEN = {
    "docs/compact.md": (
        "model, example_inputs, masks = small_model(), torch.rand(2, 64), None\ninputs = torch.rand(3, 1, 8, 8)"
    ),
    "docs/export.md": "import numpy as np, torch\nfrom torch.nn.utils import prune\nmodel = small_model()",
    "docs/format.md": "import os, shutil, h5py, numpy as np\nshutil.copy('runs/dnw-s0/epoch-0003.h5', 'epoch-0030.h5')",
    "docs/training.md": (
        "from masktools_train import Sparsifier\nfrom masktools_train.algorithms import SNIP\nmodel = small_model()\n"
        "optimizer = torch.optim.SGD(model.parameters(), 0.1)\n"
        "loader = [(torch.rand(8, 1, 8, 8), torch.randint(10, (8,)))]"
    ),
}
"""What the text of a page says that the reader has before the first line of Python."""

BEFORE_PYTHON = {
    "docs/export.md": (
        "export runs/dnw-s0 -o network.npz",
        "export runs/dnw-s0 -o pruned.pt",
    ),
}
"""Commands that a page shows before its Python, which reads what they write."""

ELSEWHERE = {
    "docs/statistics.md": "tests/test_paired.py runs it, on runs with the accuracies of the page",
    "docs/api.md": "signatures, written by docs/make_api.py",
    "docs/commands.md": "written by docs/make_commands.py; tests/cli/test_cli_program.py parses each example",
}
"""Pages whose Python, or whose commands, are not run here, with the reason."""

PACKAGES_OF_OTHERS = ("masktools_train.integrations",)
"""Modules that need packages which need not be here; tests of their own hold them against the real ones."""


def small_model() -> torch.nn.Module:
    """Return the network of the packaged digits, whose layers are fc1, fc2 and fc3."""
    return build_model("mlp", {"widths": [300, 100]}, (1, 8, 8), 10)


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all processes that run tests."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


def made_once(shared: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that the first of several processes makes, and the others wait for.

    Parameters
    ----------
    shared
        Folder of all processes that run tests.
    name
        Name of the folder in it.
    make
        Makes a folder; the name of the wanted one is its name without ``.unfinished``.
    """
    folder = shared / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            make(unfinished)
            unfinished.rename(folder)
    return folder


def train(folder: Path) -> None:
    """Train the run of that name."""
    assert main(["train", "digits", *SMALL, *TRAINED[folder.stem], "--out", str(folder)]) == 0


def copy_runs(shared: Path, folder: Path, text: str) -> None:
    """Copy the runs that a text names, and checkpoints, into a folder.

    Parameters
    ----------
    shared
        Folder of all processes that run tests: what the text needs is trained there, once for all of them.
    folder
        Where they are wanted.
    text
        The page.
    """
    for name in sorted({*TRAINED, *COPIED} & set(re.findall(r"runs/([\w-]+)", text))):
        shutil.copytree(made_once(shared, COPIED.get(name, name), train), folder / "runs" / name)
    (folder / "checkpoints").mkdir()
    for name in ("epoch_0.pt", "epoch_10.pt", "dnw.pth", "net.pt"):
        if name in text:
            torch.save(small_model().state_dict(), folder / "checkpoints" / name)


def shortened(line: str) -> str:
    """Return a command that does the same in less time."""
    for pattern, replacement in SHORTER:
        line = re.sub(pattern, replacement, line)
    return line
