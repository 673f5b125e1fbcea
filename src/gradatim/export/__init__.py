"""A run as one file that other programs serve: ONNX, or PyTorch's archive; the whole pipeline for pictures inside."""
