"""Predictions, scores, calibration, slices, ledger, report."""
