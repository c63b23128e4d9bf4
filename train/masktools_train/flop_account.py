"""What training takes in floating-point operations, added up step by step."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from masktools_train.flops import ForwardCost
from masktools_train.sparse_layer import SparseLayer

if TYPE_CHECKING:
    from masktools_train.sparsifier import Sparsifier

__all__ = ["FlopAccount"]


class FlopAccount:
    """Adds up what training takes, step by step, without waiting for the device.

    For an example, a step takes three times the forward pass under the masks (``3 f_S``: that pass, the gradient of the
    inputs and that of the weights), or ``2 f_S + f_D`` where the rule needs the gradient of inactive weights too, with
    ``f_D`` the dense forward pass. What is added up are whole numbers, of passes and of active weights: sums are exact
    and do not depend on when a count was read from the device.

    Parameters
    ----------
    cost
        Of a dense forward pass; None where it is not known, and then nothing is.
    masked
        The layers and what is counted of steps.
    """

    def __init__(self, cost: ForwardCost | None, masked: "Sparsifier") -> None:
        self._cost, self._masked = cost, masked
        self._sizes = [layer.size for layer in masked.layers]
        self._complete = True
        # Passes of one example under masks and without, and the active weights that the former met, by layer.
        self._passes = self._dense_passes = 0
        self._active = [0] * len(masked.layers)
        # Of the passes under the masks of `_counts`, those that are in `_active` or `_on_device` not yet.
        self._pending = 0
        self._on_device: Tensor | None = None
        self.begin()

    def begin(self) -> None:
        """Look at the masks anew: some steps are taken now, after what may have changed between them."""
        self._fold()
        self._counts = self._counted()
        self._changes, self._dense_steps = self._masked.mask_changes, self._masked.dense_gradient_steps

    def step(self, examples: int) -> None:
        """Add a step that was taken, over `examples` examples."""
        dense = self._masked.dense_gradient_steps - self._dense_steps
        self._dense_steps += dense
        passes = (3 - dense) * examples
        self._passes += passes
        self._pending += passes
        self._dense_passes += dense * examples
        if self._masked.mask_changes == self._changes:
            return
        # The step itself ran under the masks from before.
        self._changes, counts = self._masked.mask_changes, self._counted()
        if isinstance(counts, Tensor) or isinstance(self._counts, Tensor) or counts != self._counts:
            self._fold()
            self._counts = counts

    def _counted(self) -> list[int] | Tensor:
        """Return the number of active weights by layer; on the device where the host does not know them all."""
        layers = self._masked.layers
        known = [layer.known_count for layer in layers if layer.known_count is not None]
        if len(known) == len(layers):
            return known
        return torch.stack([torch.count_nonzero(layer.mask) for layer in layers])

    def _fold(self) -> None:
        """Add the active weights that pending passes met."""
        passes, self._pending = self._pending, 0
        if not passes:
            return
        if not isinstance(self._counts, Tensor):
            self._active = [a + passes * count for a, count in zip(self._active, self._counts, strict=True)]
        elif self._on_device is None:
            self._on_device = self._counts * passes
        else:
            self._on_device.add_(self._counts, alpha=passes)

    def _settle(self) -> None:
        """Know everything on the host; waits for the device where layers compete."""
        self._fold()
        if self._on_device is not None:
            self._active = [a + b for a, b in zip(self._active, self._on_device.tolist(), strict=True)]
            self._on_device = None

    def layer_flops(self, layer: SparseLayer) -> int | None:
        """Return the FLOPs of a forward pass that are spent on a layer under its mask now, for one example."""
        if self._cost is None:
            return None
        return self._cost.layers[layer.name] * layer.count // layer.size

    def figures(self) -> dict[str, int | None]:
        """Return what is known, under the names it has in an `EpochRecord`; may wait for the device."""
        forward = dense = training = training_dense = None
        cost = self._cost
        if cost is not None:
            forward, dense = cost.spent(1, [layer.count for layer in self._masked.layers], self._sizes), cost.dense
            if self._complete:
                self._settle()
                training = cost.spent(self._passes, self._active, self._sizes) + dense * self._dense_passes
                training_dense = dense * (self._passes + self._dense_passes)
        return {
            "forward_flops": forward,
            "forward_flops_dense": dense,
            "training_flops": training,
            "training_flops_dense": training_dense,
        }

    def state_dict(self) -> dict[str, Any] | None:
        """Return the sums at the end of an epoch, for `load_state_dict`; None where they are not known."""
        if not self._complete:
            return None
        self._settle()
        return {"passes": self._passes, "dense_passes": self._dense_passes, "active": list(self._active)}

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Take up what `state_dict` returned; without it, what training took from its beginning stays unknown."""
        self._complete = state is not None
        self._pending, self._on_device = 0, None
        if state is not None:
            self._passes, self._dense_passes = state["passes"], state["dense_passes"]
            self._active = list(state["active"])
