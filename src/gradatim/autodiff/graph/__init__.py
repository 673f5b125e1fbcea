"""Computation graphs to look at: of an expression, and of a PyTorch network with one batch."""
