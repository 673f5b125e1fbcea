"""Does an explanation look at what was learned? With random weights it must become another one.

Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps": weights are made random from the answer backwards,
part by part, and the explanation is ranked against the original. An edge detector in disguise keeps its rank.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn


@dataclass(frozen=True, slots=True)
class Stage:
    """So large a share of the weights is random; the rank correlation of the explanation with the original one."""

    share: float
    correlation: float


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, 0 where one of them is constant.

    >>> rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.5, 0.7]))
    1.0
    """
    a, b = rankdata(np.asarray(first).ravel()), rankdata(np.asarray(second).ravel())
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return round(float(a @ b) / size, 12) if size > 0 else 0.0


def randomised(network: nn.Module, share: float, *, seed: int = 0) -> nn.Module:
    """A copy in which the last `share` of the weight tensors, counted from the answer backwards, are drawn anew.

    New numbers are normal with the mean and the deviation of the old ones, so that the signal keeps its size.
    """
    network = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    tensors = [parameter for parameter in network.parameters() if parameter.numel() > 1]
    count = round(share * len(tensors))
    with torch.no_grad():
        for tensor in tensors[len(tensors) - count:]:
            deviation = float(tensor.std(correction=0))
            noise = torch.randn(tensor.shape, generator=generator).to(tensor)
            tensor.copy_(tensor.mean() + (deviation if deviation > 0 else 0.1) * noise)
    return network


def randomisation(
    network: nn.Module, explain: Callable[[nn.Module], np.ndarray], *, stages: int = 4, repeats: int = 3, seed: int = 0
) -> list[Stage]:
    """The rank correlation of explain(network) with itself as ever more weights are random, mean of `repeats` draws.

    explain: network → numbers, compared by their absolute values, as Adebayo et al. do.
    """
    original = np.abs(explain(network))
    found = [Stage(0.0, 1.0)]
    for stage in range(1, stages + 1):
        share = stage / stages
        ranks = [rank_correlation(original, np.abs(explain(randomised(network, share, seed=seed + repeat))))
                 for repeat in range(repeats)]
        found.append(Stage(share, float(np.mean(ranks))))
    return found
