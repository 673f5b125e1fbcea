"""Static 8-bit quantisation of an exported ONNX model: ranges measured on development rows, change measured on others.

Convolutions and dense layers multiply uint8 activations by int8 weights, one scale an output channel; what brings
pictures to their square, and the softmax, stay in float32. Source: Jacob et al. 2018, "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference", § 2; the work is done by onnxruntime.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gradatim.errors import GradatimError
from gradatim.export.files import quiet, scratch_folder

KINDS = ("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "GlobalAveragePool", "AveragePool", "ReduceMean")
# members.0.network.encoders.image_file.network.conv1, members.1.blocks.0.features.network.conv1
IN_NETWORK = re.compile(r"members\.\d+\.(network|blocks\.\d+\.features)\.(.*\.)?network(\.|$)").match


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

    class Reader(Rows, CalibrationDataReader):
        pass

    proto = onnx.load_model_from_string(model)
    kept = networks_only(proto)
    if not any(node.op_type == "Conv" for node in proto.graph.node if node.name not in kept):
        raise GradatimError("--int8: expected a convolutional network in the answer of this run, found none; its parts "
                            "gain nothing from 8 bits")
    with scratch_folder() as folder, quiet():
        (folder / "model.onnx").write_bytes(model)
        quantize_static(
            str(folder / "model.onnx"), str(folder / "int8.onnx"), Reader(calibration),
            quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, op_types_to_quantize=list(KINDS), nodes_to_exclude=kept,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return (folder / "int8.onnx").read_bytes()


def networks_only(model: Any) -> list[str]:
    """Names of the nodes outside the networks (resizing, histograms, softmax, average), which stay in float32.

    They would lose the most and gain nothing. The exporter writes beside each node which module it came from.
    """
    return [node.name for node in model.graph.node if not any(map(IN_NETWORK, scopes_of(node)))]


def scopes_of(node: Any) -> list[str]:
    """The modules that a node came from, outermost first."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            return [str(scope) for scope in ast.literal_eval(entry.value)]
    return []
