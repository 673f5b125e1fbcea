"""Optimisers raced down a surface: the surfaces, the rates, the race, its pictures."""
