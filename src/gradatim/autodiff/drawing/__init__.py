"""Graphs drawn: where boxes stand, how they look, as SVG, PNG or a page that steps through them."""
