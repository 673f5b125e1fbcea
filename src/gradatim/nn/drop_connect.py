"""DropConnect: dropout on the connections, not on the units."""

import torch
from torch import nn
from torch.nn import functional as F

from gradatim.errors import GradatimError


class DropConnectLinear(nn.Linear):
    """A linear layer whose single weights are left out by chance in training: (…, inputs) → (…, outputs).

    y = (M ∘ W) x / (1 − drop) + b, each entry of M being 0 with chance `drop`. With `mask_per_row` every row of the
    batch draws its own M, as in the paper, which costs memory B · outputs · inputs; else one M serves the batch. In
    eval mode y = W x + b: the mean over all masks of what the layer gives. Dropping an input of the layer (dropout) is
    the special case where a whole column of M goes at once.

    Source: Wan et al., "Regularization of Neural Networks using DropConnect", ICML 2013, eq. 3. There the bias is
    dropped too, weights are not scaled up, and at test time a Gaussian with the right mean and variance is sampled
    before the activation; the mean alone is what is usual since.
    """

    def __init__(self, inputs: int, outputs: int, drop: float = 0.5, mask_per_row: bool = False) -> None:
        super().__init__(inputs, outputs)
        if not 0 <= drop < 1:
            raise GradatimError(f"expected a chance in 0 … 1 (1 excluded), received {drop}")
        self.drop, self.mask_per_row = drop, mask_per_row

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.drop:
            return F.linear(values, self.weight, self.bias)
        rows = values.shape[:-1] if self.mask_per_row else ()
        kept = torch.rand(*rows, *self.weight.shape, device=values.device) >= self.drop
        weight = self.weight * kept / (1 - self.drop)
        if not self.mask_per_row:
            return F.linear(values, weight, self.bias)
        return (weight @ values[..., None])[..., 0] + self.bias

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, drop={self.drop}, mask_per_row={self.mask_per_row}"
