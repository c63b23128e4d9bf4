"""Where a mask is active, and the products of matrices that are zero elsewhere."""

import warnings

import torch
from torch import Tensor, nn

__all__ = ["Pattern"]


class Pattern:
    """The active places of a two-dimensional mask: compressed rows, and positions in the flat weight.

    Plain index tensors, because modules with sparse tensors inside can be neither copied nor pickled. All `values`
    are in the order of `flat`.

    Parameters
    ----------
    mask
        Non-zero where active, shape (outputs, inputs), on a CPU.

    Attributes
    ----------
    flat
        Positions of active weights in the flat weight, rising.
    shape
        Shape of the mask.
    """

    def __init__(self, mask: Tensor) -> None:
        active = mask.bool()
        self.flat = active.reshape(-1).nonzero().squeeze(1)
        self.shape = tuple(active.shape)
        width = self.shape[1]
        self._columns = (self.flat % width).int()
        self._rows = _offsets(active.sum(1))
        self._transposed: tuple[Tensor, Tensor, Tensor] | None = None
        with warnings.catch_warnings():
            # torch says once a process that sparse tensors are in beta; users of masktools need not hear it.
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
            self._matrix(mask.new_zeros(len(self.flat)))

    def _matrix(self, values: Tensor) -> Tensor:
        return torch.sparse_csr_tensor(self._rows, self._columns, values, self.shape, check_invariants=False)

    def gather(self, dense: Tensor) -> Tensor:
        """Return the active values of a dense tensor."""
        return dense.detach().reshape(-1).index_select(0, self.flat)

    def scatter(self, values: Tensor, into: Tensor) -> None:
        """Write active values into a dense contiguous tensor, in place; the rest stays."""
        into.detach().view(-1).scatter_(0, self.flat, values)

    def times(self, values: Tensor, right: Tensor) -> Tensor:
        """Return the sparse matrix times a dense one, shape (inputs, n), contiguous."""
        return _product(self._rows, self._columns, values, right, self.shape)

    def transposed_times(self, values: Tensor, right: Tensor) -> Tensor:
        """Return the transposed sparse matrix times a dense one, shape (outputs, n), contiguous."""
        if self._transposed is None:
            width = self.shape[1]
            # Sorting by column keeps the rows of a column in rising order.
            order = torch.sort(self._columns, stable=True).indices
            counts = torch.bincount(self._columns, minlength=width)
            self._transposed = order, _offsets(counts), (self.flat // width).index_select(0, order).int()
        order, rows, columns = self._transposed
        return _product(rows, columns, values.index_select(0, order), right, self.shape[::-1])

    def sampled(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the active entries of ``left @ right``, and calculate no others."""
        zeros = self._matrix(left.new_zeros(len(self.flat)))
        # In place, because a result of its own begins with copies of all indices.
        result: Tensor = torch.sparse.sampled_addmm(zeros, left, right, beta=0.0, out=zeros).values()
        return result


def _offsets(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()


def _product(rows: Tensor, columns: Tensor, values: Tensor, right: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a compressed matrix times a dense one."""
    if right.dtype == torch.float32:
        # A weighted sum of rows of `right` for every row of the matrix is what a bag of embeddings is too, and torch's
        # kernel for these, compiled for the width at hand, takes half the time of its sparse product.
        return nn.functional.embedding_bag(
            columns, right, rows, mode="sum", per_sample_weights=values, include_last_offset=True
        )
    matrix = torch.sparse_csr_tensor(rows, columns, values, shape, check_invariants=False)
    product: Tensor = torch.sparse.mm(matrix, right)
    return product
