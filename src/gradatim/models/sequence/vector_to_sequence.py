"""Vector to sequence: one vector, such as the features of a picture, unrolled into an answer at every step.

Papers: Vinyals et al., "Show and Tell: A Neural Image Caption Generator", 2015 (the vector as the first input);
Karpathy & Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions", 2015.

The idea: the same vector is fed at every step, and sets the first state; only the state changes, and each state is
turned into an answer. It is the second half of an encoder-decoder.

What differs from the papers: the vector goes to both places, the first state and every step; nothing that was answered
is fed back (a decoder with teacher forcing is in the translation models).

What to notice: without feeding back, the net plans a whole sequence at once: fine for curves and for short codes, not
for sentences, whose next word depends on the one that was drawn.
"""

import torch
from torch import nn

from gradatim.nn.init import initialise_dense
from gradatim.nn.precision import at_least_float32
from gradatim.nn.recurrent.layers import GATES, MaskedRecurrent


class VectorToSequence(nn.Module):
    """A first state and an input made from the vector, recurrent layers, a linear head at each step.

    forward: values (B, inputs) → float32 (B, steps, num_classes), or features (B, steps, num_features) when
    num_classes is 0.
    """

    def __init__(self, num_classes: int, inputs: int, steps: int, hidden: int, layers: int, cell: str) -> None:
        super().__init__()
        if cell not in GATES:
            raise ValueError(f"expected a cell among {', '.join(GATES)}, received '{cell}'")
        self.steps, self.layers, self.hidden = steps, layers, hidden
        self.enter = nn.Linear(inputs, hidden)
        self.begin = nn.Linear(inputs, layers * hidden * (2 if cell == "lstm" else 1))
        self.recurrent = MaskedRecurrent(hidden, hidden, layers=layers, cell=cell, bidirectional=False)
        self.num_features = hidden
        self.head = nn.Linear(hidden, num_classes) if num_classes else nn.Identity()
        for part in (self.enter, self.begin, self.head):
            initialise_dense(part)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        first = torch.tanh(self.begin(values)).view(len(values), -1, self.layers, self.hidden)
        state = tuple(part.transpose(0, 1).contiguous() for part in first.unbind(1))
        fed = self.enter(values)[:, None].expand(-1, self.steps, -1)
        read, _ = self.recurrent.carry(fed, state=state)
        return at_least_float32(self.head(read))


def vector_to_sequence(
    num_classes: int = 2, inputs: int = 128, steps: int = 16, hidden: int = 64, layers: int = 1, cell: str = "lstm",
) -> VectorToSequence:
    """A recurrent net that unrolls a vector into `steps` answers."""
    return VectorToSequence(num_classes, inputs, steps, hidden, layers, cell)


def demo() -> tuple[VectorToSequence, tuple[torch.Tensor, ...]]:
    """A two-layer net of five steps and three vectors of 6 numbers."""
    return vector_to_sequence(num_classes=4, inputs=6, steps=5, hidden=96, layers=2), (torch.randn(3, 6),)
