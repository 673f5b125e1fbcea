"""Where a half-precision computation comes back to full precision."""

import torch


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """Logits in float32 when they come in bfloat16 or float16; float32 and float64 stay as they are.

    Losses take exponentials and logarithms: eight bits of mantissa are too few for them.

    >>> at_least_float32(torch.zeros(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values
