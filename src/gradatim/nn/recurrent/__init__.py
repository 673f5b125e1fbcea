"""Recurrent cells, and layers of them along a sequence."""
