"""Blocks of convolutional networks: convolution with normalisation, pooling, image input, widths."""
