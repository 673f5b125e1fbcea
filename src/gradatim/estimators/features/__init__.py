"""Cheap features: word counts, histograms, log-mel statistics."""
