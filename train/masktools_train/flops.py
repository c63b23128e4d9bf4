"""How many floating-point operations a forward pass takes."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from masktools_train.error_text import first_line
from masktools_train.probe import Probe
from masktools_train.sparse_layer import prunable_weights
from masktools_train.tracing import slow_attention

__all__ = ["ForwardCost", "forward_cost", "forward_cost_where_known"]

_COPIES = (torch.ops.aten._to_copy, torch.ops.aten.clone)  # noqa: SLF001  (that is the name of the operator)
"""Operations whose result holds the same weights in another place or precision."""


@dataclasses.dataclass(frozen=True)
class ForwardCost:
    """FLOPs of the forward pass of a network for one example, all weights active.

    Parameters
    ----------
    layers
        What is spent on products with each weight that can have a mask, by name, over all its uses.
    other
        What is spent on all other products, those of attention for example.
    """

    layers: Mapping[str, int]
    other: int

    @property
    def dense(self) -> int:
        """All of it."""
        return self.other + sum(self.layers.values())

    def spent(self, passes: int, active: Sequence[int], sizes: Sequence[int]) -> int:
        """Return the FLOPs of forward passes under masks.

        Parameters
        ----------
        passes
            Number of passes of one example.
        active
            Number of active weights of each layer, summed over the passes.
        sizes
            Number of weights of each layer. A weight whose parts are used differently often counts with their mean.
        """
        terms = zip(self.layers.values(), active, sizes, strict=True)
        return self.other * passes + sum(cost * count // max(size, 1) for cost, count, size in terms)


def forward_cost(model: nn.Module, example: Tensor) -> ForwardCost:
    """Count the FLOPs of a forward pass by running it once, in evaluation mode.

    A multiplication with its addition is two. Linear layers, convolutions (padding counts as input) and other products
    of matrices, such as those of attention, are counted; what is done element by element is not, and neither are
    recurrent cells. Products with a weight are told by where it lies in memory, whatever calls them.

    Parameters
    ----------
    model
        The network; its buffers, modes and random numbers are left as they were.
    example
        A batch of inputs. What the network computes once for a whole batch counts as if the examples shared it.

    References
    ----------
    Evci et al., Rigging the Lottery, arXiv 1911.11134, appendix.
    """
    weights = prunable_weights(model)
    counter = FlopCounterMode(display=False)
    by_weight = _ByWeight(counter, weights)
    # Fused kernels of attention have no count on every device; the plain products do, and as many.
    with (
        Probe(model, None, None, 0).looking(evaluating=True),
        torch.no_grad(),
        slow_attention(),
        sdpa_kernel(SDPBackend.MATH),
        counter,
        by_weight,
    ):
        model(example)
    spent = {name: count // len(example) for name, count in by_weight.spent.items()}
    other = spent.pop(None, 0)
    return ForwardCost({name: spent.get(name, 0) for name in weights}, other)


def forward_cost_where_known(model: nn.Module, example: Tensor, warned: Callable[[str], None]) -> ForwardCost | None:
    """Return what `forward_cost` does; None where it fails, after a word to `warned`.

    Whatever a model does when its operations are watched must not end a training.
    """
    try:
        return forward_cost(model, example)
    except Exception as error:
        warned(f"FLOPs will not be known: {first_line(error)}")
        return None


class _ByWeight(TorchDispatchMode):
    """Notes on which weight the FLOPs of each operation are spent; None stands for no weight.

    Parameters
    ----------
    counter
        What counts; it has to be active around this.
    weights
        The weights by name.
    """

    def __init__(self, counter: FlopCounterMode, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counter = counter
        self._places: list[tuple[str, Tensor]] = list(weights.items())
        self.spent: Counter[str | None] = Counter()

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        before = self._counter.get_total_flops()
        result = func(*args, **(kwargs or {}))
        spent = self._counter.get_total_flops() - before
        if spent:
            self.spent[self._weight(args)] += spent
        elif getattr(func, "overloadpacket", None) in _COPIES and (name := self._weight(args)) is not None:
            self._places.append((name, result))
        return result

    def _weight(self, args: Sequence[Any]) -> str | None:
        """Return the weight that an operation is given, or some rows of, in whatever shape."""
        for value in args:
            if isinstance(value, Tensor):
                place = value.data_ptr()
                for name, weight in self._places:
                    if 0 <= place - weight.data_ptr() < weight.numel() * weight.element_size():
                        return name
        return None
