"""Toy tasks from outside the library: what the waist must let through without knowing it."""
