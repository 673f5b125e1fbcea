"""Widths of layers that fill the lanes of a processor."""


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of 8, but not under 90 % of the number asked for.

    Source: the released code of MobileNet v2; published widths of 0.75, 1.1, 1.4 … all follow it.

    >>> make_divisible(32), make_divisible(32 * 1.1), make_divisible(24 * 0.5), make_divisible(3)
    (32, 32, 16, 8)
    """
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest
