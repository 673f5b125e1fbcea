"""Networks for token sequences."""
