"""Muon: momentum whose update is made orthogonal, for weight matrices; AdamW for everything else.

Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon). The momentum of a matrix is replaced by the
nearest matrix with equal singular values, found by five Newton–Schulz iterations, so that all directions
learn equally fast. torch.optim.Muon takes matrices only; here convolutions are flattened to (out,
in·height·width), matrices of one shape go through the iteration together, and biases, norms, embeddings and
the head follow AdamW in the same optimiser.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, *, steps: int = 5, epsilon: float = 1e-7) -> Tensor:
    """Push all singular values of each matrix towards 1: X ← aX + (bXXᵀ + c(XXᵀ)²)X.

    matrices: (N, rows, columns). The result's singular values lie in about 0.7–1.2, which is near enough for
    training.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    value = matrices.mT if tall else matrices
    value = value / value.norm(dim=(-2, -1), keepdim=True).clamp(min=epsilon)
    for _ in range(steps):
        gram = value @ value.mT
        value = torch.baddbmm(value, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), value, beta=a)
    return value.mT if tall else value


class Muon(torch.optim.Optimizer):
    """Muon on groups with `muon=True`, AdamW on the others, under one learning rate.

    params: parameter groups, each with `muon` set; lr, weight_decay: as for AdamW, because the orthogonal
    update is scaled by 0.2·√max(rows, columns) to the size of AdamW's (Liu et al. 2025, eq. 4); momentum: of
    Muon (Nesterov); betas, eps: of AdamW. Products are float32 on the CPU and bfloat16 on a GPU.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "betas": betas,
            "eps": eps,
            "muon": False,
        }
        super().__init__(list(params), defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["muon"]:
                self._step_muon(group, parameters)
            elif parameters:
                self._step_adamw(group, parameters)
        return loss

    def _step_muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        shapes: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            buffer = state["momentum_buffer"]
            assert parameter.grad is not None
            buffer.lerp_(parameter.grad, 1 - group["momentum"])
            update = parameter.grad.lerp(buffer, group["momentum"])
            matrix = update.reshape(len(update), -1)
            shapes.setdefault((matrix.shape[0], matrix.shape[1]), []).append((parameter, matrix))
        for (rows, columns), pairs in shapes.items():
            stacked = torch.stack([matrix for _, matrix in pairs])
            orthogonal = orthogonalise(stacked.bfloat16() if stacked.is_cuda else stacked)
            rate = group["lr"] * 0.2 * math.sqrt(max(rows, columns))
            for (parameter, _), matrix in zip(pairs, orthogonal):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(matrix.reshape(parameter.shape).to(parameter.dtype), alpha=-rate)

    def _step_adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        states = []
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            states.append(state)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        adamw(
            parameters,
            gradients,
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [],
            [s["step"] for s in states],
            fused=parameters[0].device.type in ("cpu", "cuda"),
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
