"""Leakage, duplicates, shortcuts: what is wrong with the data before anything is trained."""
