"""A network as a program of its own, which runs without the code that built it."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from masktools.atomic import replacing
from masktools.errors import RunError
from masktools_train.compacting.proof import TOLERANCE, outputs
from masktools_train.error_text import first_line
from masktools_train.evaluation_mode import evaluating

__all__ = ["PROGRAM", "exported", "write_program"]

PROGRAM = "model.pt2"
"""Name of the file in a run directory."""


def exported(model: nn.Module, inputs: Tensor) -> ExportedProgram | str:
    """Export a network for any number of inputs, or say why that is not possible.

    Parameters
    ----------
    model
        The network, on the CPU.
    inputs
        At least four; with half of them the network is exported, and then it has to do on all of them what it does.

    Returns
    -------
    ExportedProgram or str
        The program; ``torch.export.load(path).module()`` is a module that takes a batch of inputs.
    """
    try:
        with evaluating(model), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the exporter deprecates in itself is no concern of ours
            shapes = ({0: Dim("batch")},)
            program = torch.export.export(model, (inputs[: len(inputs) // 2],), dynamic_shapes=shapes)
            found, expected = program.module()(inputs), outputs(model, inputs)
    except Exception as error:  # whatever the exporter makes of the user's code
        return first_line(error)
    if not isinstance(found, Tensor):
        return "the network does not return one tensor"
    apart = float((found.reshape(len(inputs), -1) - expected).abs().max())
    if not apart <= TOLERANCE * max(1.0, float(expected.abs().max())):
        return f"what was exported gives other outputs ({apart:.1e})"
    return program


def write_program(folder: Path, program: ExportedProgram | None) -> None:
    """Write a program into a run directory, whole or not at all; None removes the one that is there.

    Raises
    ------
    RunError
        If that is not possible.
    """
    path = folder / PROGRAM
    try:
        if program is None:
            path.unlink(missing_ok=True)
            return
        with replacing(path) as temporary, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # An open file: of a path torch wants a certain ending.
            with temporary.open("wb") as file:
                torch.export.save(program, file)
    except (OSError, RuntimeError) as error:
        raise RunError(f"{path}: cannot be written: {error}") from error
