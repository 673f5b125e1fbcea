"""How weights start: the scale that keeps a signal's variance through depth, written out.

A layer y = W x with independent weights of variance v has Var(y) = fan_in · v · E[x²]. Glorot and Bengio (2010) ask
that neither the signal nor its gradient grow, v = 2 / (fan_in + fan_out); He et al. (2015) note that a ReLU halves
E[x²] and take v = 2 / fan. Too small a start fades through depth, too large a one saturates, and all zeros never
breaks the symmetry between units. Every function fills its argument in place and returns it.
"""

import math
from collections.abc import Iterable

import torch
from torch import nn

RELU_GAIN = math.sqrt(2.0)
TANH_GAIN = 5.0 / 3.0


def fans(weight: torch.Tensor) -> tuple[int, int]:
    """How many numbers feed one output and how many outputs one number feeds: (fan in, fan out).

    The layout is that of linear and convolution weights, (outputs, inputs, *kernel).

    >>> fans(torch.empty(16, 3, 5, 5))
    (75, 400)
    """
    if weight.dim() < 2:
        raise ValueError(f"expected a weight of at least 2 axes, received shape {tuple(weight.shape)}")
    window = math.prod(weight.shape[2:])
    return weight.shape[1] * window, weight.shape[0] * window


@torch.no_grad()
def kaiming_normal_(weight: torch.Tensor, *, fan: str = "in", gain: float = RELU_GAIN) -> torch.Tensor:
    """Normal with standard deviation gain / √fan (He et al. 2015, eq. 10 for fan in, eq. 14 for fan out)."""
    count = fans(weight)[("in", "out").index(fan)]
    return weight.normal_(0.0, gain / math.sqrt(count))


@torch.no_grad()
def xavier_uniform_(weight: torch.Tensor, *, gain: float = 1.0) -> torch.Tensor:
    """Uniform in ± gain · √(6 / (fan in + fan out)) (Glorot & Bengio 2010, eq. 16)."""
    bound = gain * math.sqrt(6.0 / sum(fans(weight)))
    return weight.uniform_(-bound, bound)


@torch.no_grad()
def xavier_normal_(weight: torch.Tensor, *, gain: float = 1.0) -> torch.Tensor:
    """Normal with variance gain² · 2 / (fan in + fan out) (Glorot & Bengio 2010, eq. 12)."""
    return weight.normal_(0.0, gain * math.sqrt(2.0 / sum(fans(weight))))


@torch.no_grad()
def small_normal_(weight: torch.Tensor, *, deviation: float = 0.02) -> torch.Tensor:
    """Normal with one small standard deviation whatever the fan: what embeddings and class tokens start from."""
    return weight.normal_(0.0, deviation)


@torch.no_grad()
def zero_(weight: torch.Tensor) -> torch.Tensor:
    """All zeros: right for biases and for the last scale of a residual branch, never for a whole layer's weights."""
    return weight.zero_()


@torch.no_grad()
def orthogonal_(weight: torch.Tensor, *, gain: float = 1.0) -> torch.Tensor:
    """A random orthogonal matrix times gain (Saxe et al. 2014); products of many of them keep lengths.

    Used for the hidden-to-hidden matrices of recurrent cells, block by block. A weight on `meta` is left alone.
    """
    if weight.is_meta:
        return weight
    rows, columns = weight.shape[0], math.prod(weight.shape[1:])
    normal = torch.randn(max(rows, columns), min(rows, columns), dtype=torch.float64)
    basis, triangle = torch.linalg.qr(normal)
    basis = basis * torch.sign(torch.diagonal(triangle))  # the plain QR would favour some directions
    return weight.copy_((gain * (basis if rows >= columns else basis.T)).reshape(weight.shape))


def initialise_convolutional(network: nn.Module, *, zero_last: Iterable[nn.Module] = ()) -> None:
    """The start of a convolutional net with batch norm, in place.

    Convolutions: Kaiming normal by fan out. Batch norms: γ = 1, β = 0. Linear layers: uniform ± 1/√fan in, biases
    alike (torch's own default, drawn again here so that the start is written down). `zero_last` are the last batch
    norms of residual branches: their γ = 0 makes each block the identity at the start (Goyal et al. 2017, § 5.1).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            kaiming_normal_(module.weight, fan="out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.in_features)
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound)
    for norm in zero_last:
        assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)


def initialise_dense(network: nn.Module, *, gain: float = 1.0) -> None:
    """The start of a net of linear layers, norms and embeddings, in place.

    Linear layers: Xavier uniform, biases 0. Norms: 1 and 0. Embeddings: normal, standard deviation 1/√width, so that
    a row has length about 1 whatever its width; the padding row is 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            xavier_uniform_(module.weight, gain=gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            small_normal_(module.weight, deviation=1.0 / math.sqrt(module.embedding_dim))
            if module.padding_idx is not None:
                with torch.no_grad():
                    module.weight[module.padding_idx].zero_()
