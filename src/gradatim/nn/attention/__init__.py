"""Attention: scores, heads, masks, positions, and one step of decoding."""
