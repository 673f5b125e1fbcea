"""Stochastic depth: in training, residual branches are left out by chance, so that the net is often a shallower one."""

import torch
from torch import nn

from gradatim.errors import GradatimError


class StochasticDepth(nn.Module):
    """In training, set a row's whole branch to 0 with chance `drop`, and divide the others by 1 − drop.

    (B, …) → same; in eval mode nothing is done. Each row draws by itself. Dividing keeps the mean of the branch, so
    nothing has to be scaled at test time (the paper scales there instead). Source: Huang et al., "Deep Networks with
    Stochastic Depth", ECCV 2016, eq. 2; the chance usually grows linearly from 0 at the first block (eq. 4).
    """

    def __init__(self, drop: float) -> None:
        super().__init__()
        if not 0 <= drop < 1:
            raise GradatimError(f"expected a chance in 0 … 1 (1 excluded), received {drop}")
        self.drop = drop

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.drop:
            return branch
        shape = [len(branch)] + [1] * (branch.dim() - 1)
        kept = torch.rand(shape, device=branch.device) >= self.drop
        return branch * kept / (1 - self.drop)

    def extra_repr(self) -> str:
        return f"drop={self.drop}"
