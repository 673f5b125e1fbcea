"""How gradients fare on their way back through a network: vanishing, exploding or sound.

The gradient of an early layer is a product of one factor a layer: with factors of 1.5 it grows to 1.5⁵⁰ = 6.4e8 over
fifty layers, with 0.5 it shrinks to 0.5⁵⁰ = 8.9e-16 (Hochreiter 1991; Pascanu et al. 2013). Remedies: clip the norm
against the one; initialisation, normalisation, residual connections or gates against either.
"""

import math
from collections.abc import Mapping

from torch import nn


def gradient_norms(network: nn.Module) -> dict[str, float]:
    """Root mean square of the gradient of each weight with at least two dimensions, in order of definition.

    Call it after `backward`; weights without a gradient are left out.
    """
    return {
        name: float(parameter.grad.float().norm()) / math.sqrt(parameter.grad.numel())
        for name, parameter in network.named_parameters()
        if parameter.grad is not None and parameter.ndim >= 2
    }


def gradient_verdict(norms: Mapping[str, float], *, limit: float = 1e4) -> tuple[str, str]:
    """("vanishing" | "exploding" | "not-finite" | "sound", one sentence with the remedy) of `gradient_norms`.

    limit: ratio of the first weight's gradient to the last's from which it is no longer sound.

    >>> gradient_verdict({"first": 1e-9, "middle": 1e-4, "last": 0.1})[0]
    'vanishing'
    """
    names = list(norms)
    if any(not math.isfinite(value) for value in norms.values()):
        return "not-finite", "a gradient is infinite or not a number: lower the learning rate, clip the norm"
    if len(names) < 2:
        return "sound", "too few weights to compare"
    first, last = norms[names[0]], norms[names[-1]]
    text = f"the gradient is {first:.1e} at {names[0]} and {last:.1e} at {names[-1]}"
    if first * limit < last or (first == 0 < last):
        return "vanishing", f"{text}: use residual connections, normalisation, ReLU or He initialisation"
    if first > last * limit:
        return "exploding", f"{text}: clip the gradient norm, use normalisation or smaller initial weights"
    return "sound", text
