"""One codec a column kind: cell to tensor and back, fitted on training rows only."""
