"""Static 8-bit quantisation of an exported ONNX model: ranges measured on development rows, change measured on others.

Convolutions and dense layers multiply uint8 activations by int8 weights, one scale an output channel; what brings
pictures to their square, and the softmax, stay in float32. Source: Jacob et al. 2018, "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference", § 2; the work is done by onnxruntime.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradatim.export.files import quiet, scratch_folder

KINDS = ("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool", "AveragePool", "ReduceMean")


class Rows:
    """The calibration rows, one input dictionary at a time, as onnxruntime wants them."""

    def __init__(self, inputs: Sequence[Mapping[str, np.ndarray]]) -> None:
        self.left = iter(inputs)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        """The next inputs; None at the end."""
        return next(self.left, None)


def quantised(model: bytes, calibration: Sequence[Mapping[str, np.ndarray]]) -> bytes:
    """The model with int8 weights and measured ranges of its activations."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(Rows, CalibrationDataReader):
        pass

    with scratch_folder() as folder, quiet():
        (folder / "model.onnx").write_bytes(model)
        quant_pre_process(str(folder / "model.onnx"), str(folder / "ready.onnx"), skip_symbolic_shape=True)
        ready = onnx.load(str(folder / "ready.onnx"))
        quantize_static(
            str(folder / "ready.onnx"), str(folder / "int8.onnx"), Reader(calibration),
            quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, op_types_to_quantize=list(KINDS), nodes_to_exclude=kept_in_float(ready),
            calibrate_method=CalibrationMethod.MinMax,
        )
        return (folder / "int8.onnx").read_bytes()


def kept_in_float(model: Any) -> list[str]:
    """Names of the nodes before the first product with stored weights (resizing, normalising) and after the last
    (softmax, average): they would lose the most and gain nothing.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    heavy = {"Conv", "Gemm", "MatMul"}
    reached: set[str] = set()  # values that depend on a product with stored weights
    before = []
    for node in model.graph.node:
        weighs = node.op_type in heavy and len(node.input) > 1 and node.input[1] in stored
        if weighs or any(name in reached for name in node.input):
            reached |= set(node.output)
        else:
            before.append(node.name)
    after = []
    needed: set[str] = set()  # values that a product with stored weights still reads
    for node in reversed(model.graph.node):
        weighs = node.op_type in heavy and len(node.input) > 1 and node.input[1] in stored
        if weighs or any(name in needed for name in node.output):
            needed |= set(node.input)
        else:
            after.append(node.name)
    return [*before, *after]
