"""How the layers of a model compute: masked, truly sparse, or whichever is faster."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from torch import nn
from torch.optim import Optimizer

from masktools.errors import RecipeError
from masktools_train.execution.active_gradient import restrictable
from masktools_train.execution.compact_step import CompactStep, steps_elementwise
from masktools_train.execution.measuring import measured_ratio
from masktools_train.execution.sparse_linear import SparseLinear, run_sparse

if TYPE_CHECKING:
    from masktools_train.sparse_layer import SparseLayer

__all__ = ["Execution", "ExecutionMode"]

ExecutionMode: TypeAlias = Literal["masked", "sparse", "auto"]


@dataclasses.dataclass(eq=False)
class _Part:
    """A layer that can run sparse; its measured ratio, and how many weights were active then."""

    layer: "SparseLayer"
    linear: SparseLinear
    step: CompactStep
    measured: tuple[float, int] | None = None


class Execution:
    """Runs what can run sparse sparsely: linear layers in single or double precision on a CPU.

    Everything else, and every layer on another device, runs masked. On a GPU dense products are faster than sparse ones
    at the densities in use.

    Parameters
    ----------
    mode
        ``masked``; ``sparse``, for every layer that can and has an inactive weight; or ``auto``, for those in which it
        is measured to be faster, before the first step and again whenever half of the active weights are gone.
    model
        The network.
    layers
        Its layers.

    Raises
    ------
    RecipeError
        If there is no such mode.
    """

    def __init__(self, mode: str, model: nn.Module, layers: "Sequence[SparseLayer]") -> None:
        if mode not in get_args(ExecutionMode):
            raise RecipeError(f"execution {mode!r} is unknown; choose from {', '.join(get_args(ExecutionMode))}")
        self.mode = mode
        self._layers = layers
        self._parts: list[_Part] = []
        self._told: str | None = None
        for layer in layers if mode != "masked" else ():
            modules = [module for module in model.modules() if getattr(module, "weight", None) is layer.parameter]
            if modules and all(restrictable(module) for module in modules) and layer.parameter.is_contiguous():
                linear = SparseLinear(layer.parameter, layer.mask)
                linear.enabled = False
                self._parts.append(_Part(layer, linear, CompactStep(linear)))
                for module in modules:
                    assert isinstance(module, nn.Linear)  # noqa: S101  (what is restrictable is one)
                    run_sparse(module, linear)

    def covers(self, layer: "SparseLayer") -> bool:
        """Whether a layer is one that can run sparse, in this mode."""
        return any(part.layer is layer for part in self._parts)

    def prepare(self, possible: bool, dense_gradient: bool) -> None:
        """Make ready for the next step.

        Parameters
        ----------
        possible
            Whether no weight trains behind its mask.
        dense_gradient
            Whether the gradient of inactive weights is asked for.
        """
        for part in self._parts:
            linear = part.linear
            wanted = possible and 0 < part.layer.count < part.layer.size
            linear.dense_gradient = dense_gradient
            if self.mode == "auto" and wanted and (part.measured is None or 2 * part.layer.count <= part.measured[1]):
                linear.enabled, linear.undecided = False, functools.partial(self._decide, part)
            else:
                linear.undecided = None
                linear.enabled = wanted and (part.measured is None or part.measured[0] < 1)

    def _decide(self, part: _Part, inputs: int, input_gradient: bool) -> None:
        part.measured = measured_ratio(part.linear, inputs, input_gradient), part.layer.count
        part.linear.undecided, part.linear.enabled = None, part.measured[0] < 1

    def begin(self, optimizer: Optimizer) -> "list[SparseLayer]":
        """Let the optimizer step on active weights alone, where a layer runs sparse; return these layers."""
        self.end(optimizer)
        compact = []
        for part in self._parts:
            if part.linear.enabled and not part.linear.dense_gradient and steps_elementwise(optimizer):
                if part.step.begin(optimizer):
                    compact.append(part.layer)
            else:
                part.step.settle(optimizer)
        return compact

    def end(self, optimizer: Optimizer) -> None:
        """Give everything its dense shape again; nothing where that was done."""
        for part in self._parts:
            part.step.end(optimizer)

    def settle(self, optimizer: Optimizer, layer: "SparseLayer | None" = None) -> None:
        """Make the optimizer's state dense, of one layer or of all, for others to read and to change."""
        for part in self._parts:
            if layer is None or part.layer is layer:
                part.step.settle(optimizer)

    def news(self) -> str | None:
        """Return in one line how the layers run, once it is decided and whenever it has changed since the last call."""
        if self.mode == "masked" or any(part.linear.undecided for part in self._parts):
            return None
        running = [part for part in self._parts if part.linear.enabled]
        text = f"execution {self.mode}: {len(running)} of {len(self._layers)} layers run sparse"
        if not self._parts:
            text += ", which is for linear layers on a CPU in single or double precision; all run masked"
        ratios = [f"{part.layer.name} {part.measured[0]:.2f}" for part in self._parts if part.measured]
        if ratios:
            text += f"; time as a ratio to masked: {', '.join(ratios)}"
        told, self._told = self._told, text
        return None if told == text else text

    def state_dict(self) -> dict[str, tuple[float, int]]:
        """Return what was measured, by layer: a resumed run must not decide otherwise."""
        return {part.layer.name: part.measured for part in self._parts if part.measured is not None}

    def load_state_dict(self, state: Mapping[str, tuple[float, int]]) -> None:
        """Take up what `state_dict` returned."""
        for part in self._parts:
            part.measured = state.get(part.layer.name)
