"""Float ONNX -> exact-grid graph. Off-chain and untrusted: the verifier in runtime.inference judges the result.

lowered = lower(onnx_bytes, calibration={"image": rows})
outputs = engine.run(lowered.model, lowered.quantize({"image": image}))
lowered.dequantize(outputs)["label"]
"""

from __future__ import annotations

from tools.lowering.boundary import dequantize, quantize
from tools.lowering.errors import DataRefused, LoweringError, ModelRefused, ModelsDiffer, ModelsDisagree, OpRefused
from tools.lowering.pipeline import LOWERING_VERSION, Lowered, lower
from tools.lowering.report import (
    InputReport,
    LayerReport,
    OutputReport,
    Report,
    SourceNodeReport,
    check_agreement,
    check_error,
)
from tools.lowering.report_html import report_page
from tools.lowering.report_text import report_lines
from tools.lowering.tensors import TensorFileError, load_tensors, save_tensors

__all__ = [
    "LOWERING_VERSION", "DataRefused", "InputReport", "LayerReport", "Lowered", "LoweringError", "ModelRefused",
    "ModelsDiffer", "ModelsDisagree", "OpRefused", "OutputReport", "Report", "SourceNodeReport", "TensorFileError",
    "check_agreement", "check_error",
    "dequantize", "load_tensors", "lower", "quantize", "report_lines", "report_page", "save_tensors",
]  # fmt: skip
