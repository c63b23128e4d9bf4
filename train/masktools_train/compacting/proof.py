"""Whether two networks are the same function, and how long they take."""

import contextlib
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from masktools.errors import StructureError
from masktools.structure.compaction import Proof
from masktools_train.evaluation_mode import evaluating

__all__ = ["TOLERANCE", "check", "exact_arithmetic", "outputs", "proof_of", "seconds_per_batch"]

TOLERANCE = 1e-5
"""Largest difference of outputs, relative to the largest output where that is above 1."""

_LEAST = 3


def outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return all outputs of a model in evaluation mode, side by side; shape (inputs, outputs)."""
    with evaluating(model), torch.no_grad():
        leaves = [leaf for leaf in tree_leaves(model(inputs)) if isinstance(leaf, Tensor)]
    return torch.cat([leaf.reshape(len(inputs), -1) for leaf in leaves], dim=1)


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Let no layer on a GPU round its operands to fewer digits than they have, inside the block."""
    places: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul] if torch.cuda.is_available() else []
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = False
        yield
    finally:
        for place, allowed in zip(places, before, strict=True):
            place.allow_tf32 = allowed


def proof_of(
    before: tuple[nn.Module, nn.Module], after: tuple[nn.Module, nn.Module], batches: Iterable[Tensor]
) -> Proof:
    """Compare the outputs of two networks.

    Parameters
    ----------
    before, after
        Each in single and in double precision.
    batches
        Inputs.

    Raises
    ------
    StructureError
        If one of the second cannot be run, or the outputs have different shapes.
    """
    count, single, double, largest = 0, 0.0, 0.0, 0.0
    for inputs in batches:
        count += len(inputs)
        exact = outputs(before[1], inputs.double())
        single = _larger(single, outputs(before[0], inputs) - _smaller(after[0], inputs))
        double = _larger(double, exact - _smaller(after[1], inputs.double()))
        largest = _larger(largest, exact)
    return Proof(count, single, double, largest, TOLERANCE * max(1.0, largest))


def _larger(known: float, values: Tensor) -> float:
    found = float(values.abs().max())
    # What is no number is no proof: it must not get lost in a maximum.
    return known if known >= found else found


def _smaller(model: nn.Module, inputs: Tensor) -> Tensor:
    try:
        return outputs(model, inputs)
    except Exception as error:  # whatever the user's code says of sizes that it does not expect
        raise StructureError(
            f"the network cannot be made smaller: its code does not run with fewer units ({type(error).__name__}: "
            f"{' '.join(str(error).split())})"
        ) from error


def check(proof: Proof) -> None:
    """Refuse a proof that failed.

    Raises
    ------
    StructureError
        If the outputs differ by more than the tolerance.
    """
    for bits, difference in ((32, proof.float32), (64, proof.float64)):
        if not difference <= proof.tolerance:
            raise StructureError(
                f"the smaller network is another function: an output differs by {difference:.1e} in float{bits}, more "
                f"than {proof.tolerance:.1e}, on {proof.inputs} inputs"
            )


def seconds_per_batch(models: Sequence[nn.Module], inputs: Tensor, rounds: int = 15, budget: float = 10) -> list[float]:
    """Return the median time that each model takes for a batch; they run in turn, so that a slow moment meets all.

    Parameters
    ----------
    models
        The models.
    inputs
        The batch.
    rounds
        How often each runs, after once that is not measured.
    budget
        Seconds after which three rounds are enough.
    """
    times: list[list[float]] = [[] for _ in models]
    started = time.perf_counter()
    for number in range(rounds + 1):
        for model, own in zip(models, times, strict=True):
            begun = time.perf_counter()
            _run(model, inputs)
            if number:
                own.append(time.perf_counter() - begun)
        if number >= _LEAST and time.perf_counter() - started > budget:
            break
    return [statistics.median(own) for own in times]


def _run(model: nn.Module, inputs: Tensor) -> None:
    with evaluating(model), torch.inference_mode():
        model(inputs)
    if inputs.is_cuda:
        torch.cuda.synchronize(inputs.device)
