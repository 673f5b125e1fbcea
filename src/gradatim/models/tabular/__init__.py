"""Networks for numbers and categories."""
