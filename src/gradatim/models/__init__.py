"""Networks, one file a paper, found by their import path."""
