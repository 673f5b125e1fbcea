"""Gradatim: from a table to a checked, explained, saved model."""
