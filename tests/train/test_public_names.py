"""The names that the package offers."""

import subprocess
import sys

import pytest

import masktools_train

PUBLIC = set(
    "CompactNetwork Recipe Recorder Retrained Retraining Sparsifier TrainResult Training UntracedWarning compact "
    "compact_model erk freeze freezings import_run load_recipe prune reinit resolve_recipe retrain retrainings sweep "
    "topology_from_edges trace train_part trainings uniform".split()
)


def test_every_public_name_is_there():
    assert PUBLIC | {"train"} == set(masktools_train.__all__)
    for name in masktools_train.__all__:
        assert getattr(masktools_train, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'prun'"):
        _ = masktools_train.prun


def test_public_names_are_what_they_are_after_training_was_imported():
    """A module of the same name must not take the place of a function, whatever is imported first."""
    lines = [
        "import masktools_train.training, masktools_train.reevaluate.prune, masktools_train.reevaluate.reinit",
        "import masktools_train",
        "wrong = [name for name in masktools_train.__all__ if not callable(getattr(masktools_train, name))]",
        "assert not wrong, wrong",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_is_cheap():
    code = "import sys, masktools_train; assert not {'torch', 'numpy', 'h5py', 'pydantic'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
