"""How a network is computed: precision, memory format, compilation."""

import contextlib
import os
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.distributed import Processes
from masktools_train.recipe_tables import ComputationSpec

__all__ = ["Computation", "deterministic", "prepare_determinism", "training_mode"]


class Computation(nn.Module):
    """Calls a network in the way that a recipe asks for.

    It is a module, so that evaluation can put it into its mode; the parameters are those of the network. Weights, their
    gradients and the optimizer's state stay in float32 under every precision.

    Parameters
    ----------
    model
        The network, on its device. Its weights are laid out for ``channels_last`` here.
    spec
        What the recipe says.
    device
        Where it is.
    processes
        Who trains together.
    """

    def __init__(
        self, model: nn.Module, spec: ComputationSpec, device: torch.device, processes: Processes | None = None
    ) -> None:
        super().__init__()
        self.device, self.spec = device, spec
        if spec.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a form that its types lack
        # Masks change in place and parameters keep their storage: what is compiled, or captured as a CUDA graph, stays
        # valid over all updates of the structure.
        self._alone = self._compiled(model)
        together = model if processes is None else processes.wrapped(model)
        self._together = self._alone if together is model else self._compiled(together)

    def _compiled(self, network: nn.Module) -> nn.Module:
        if self.spec.compile == "no":
            return network
        # A module, whatever its type says.
        return cast("nn.Module", torch.compile(network, mode=self.spec.compile))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs in float32, whatever they were computed in.

        Raises
        ------
        RecipeError
            If the network cannot be compiled, as the recipe wants.
        """
        if self.spec.channels_last and inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with self.autocast():
            # Evaluation gives processes unequal shares: what meets the others in each pass would wait for ever.
            network = self._together if self.training else self._alone
            try:
                outputs: Tensor = network(inputs)
            except RuntimeError as error:
                if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                    raise
                reason = " ".join(str(error).split("\n\n")[0].split())
                raise RecipeError(f"computation.compile {self.spec.compile!r} does not work here: {reason}") from error
        return outputs.float() if outputs.dtype == torch.bfloat16 else outputs

    def autocast(self) -> contextlib.AbstractContextManager[None]:
        """Return the context in which the network computes."""
        if self.spec.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


@contextlib.contextmanager
def training_mode(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put a model into training mode, flush subnormal numbers, and leave the caller's random state alone.

    Parameters
    ----------
    model
        What is trained.
    device
        Where.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # Decayed weights drift into subnormal numbers, which slow a CPU down by up to 40 %.
        torch.set_flush_denormal(True)
        model.train()
        try:
            yield
        finally:
            torch.set_flush_denormal(False)


def prepare_determinism(wanted: bool) -> None:
    """Let cuBLAS calculate products in one order, where wanted; it reads this when a process first uses it.

    Without it torch refuses products in `deterministic`, so that it has to be called before a network runs on a GPU.
    """
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Use deterministic algorithms alone inside the block, where wanted.

    Raises
    ------
    RecipeError
        If an operation has no such algorithm; the message names it.
    """
    if not wanted:
        yield
        return
    prepare_determinism(wanted)
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        reason = str(error).partition(", but you set")[0]
        raise RecipeError(f"computation.deterministic does not work here: {reason}") from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
