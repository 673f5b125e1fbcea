"""Optimisers beside their published equations, on NumPy arrays: first order, second order, on a network's loss."""
