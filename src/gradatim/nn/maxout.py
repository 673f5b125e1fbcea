"""Maxout: an activation that is learned, as the upper envelope of several straight lines."""

import torch
from torch import nn

from gradatim.errors import GradatimError


def maxout(values: torch.Tensor, pieces: int, dim: int = -1) -> torch.Tensor:
    """The largest of each group of `pieces` neighbours along an axis, which becomes that much shorter.

    >>> maxout(torch.tensor([[1.0, 5.0, -2.0, -3.0]]), 2)
    tensor([[ 5., -2.]])
    """
    length = values.shape[dim]
    if pieces < 1 or length % pieces:
        raise GradatimError(f"expected a multiple of {pieces} along axis {dim}, received {length}")
    return values.unflatten(dim, (length // pieces, pieces)).amax(dim if dim < 0 else dim + 1)


class Maxout(nn.Module):
    """h_i = max over j of (w_ij · x + b_ij): (…, inputs) → (…, outputs), with outputs · pieces linear units.

    Any convex piecewise linear function of x is one maxout unit with enough pieces: ReLU (0 and x) and |x| (x and −x)
    with two. Two layers of it can come near any continuous function. Source: Goodfellow et al., "Maxout Networks",
    ICML 2013, eq. 1.
    """

    def __init__(self, inputs: int, outputs: int, pieces: int = 2) -> None:
        super().__init__()
        self.pieces = pieces
        self.linear = nn.Linear(inputs, outputs * pieces)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return maxout(self.linear(values), self.pieces)
