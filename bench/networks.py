"""The networks that the training benchmarks share, the same code for every contender."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def lenet() -> nn.Module:
    """LeNet-5 in its usual present form: 28×28 → 10, ReLU, max pooling; 61,706 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Block(nn.Module):
    """Two convolutions with batch normalisation, and the way around them."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(narrow, wide, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(wide)
        self.second = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(wide)
        self.around: nn.Module = nn.Identity()
        if stride != 1 or narrow != wide:
            self.around = nn.Sequential(nn.Conv2d(narrow, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, narrow, H, W) → (B, wide, H/stride, W/stride)."""
        inner = functional.relu(self.first_norm(self.first(pictures)))
        return functional.relu(self.second_norm(self.second(inner)) + self.around(pictures))


class SmallResNet(nn.Module):
    """Stem and three residual blocks of width 16, 32, 64: 28×28 → 10."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(Block(width, width, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2))
        self.head = nn.Linear(4 * width, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 1, 28, 28) → (B, 10)."""
        return self.head(torch.mean(self.blocks(self.stem(pictures)), dim=(2, 3)))


NETWORKS = {"lenet": lenet, "small-resnet": SmallResNet}
