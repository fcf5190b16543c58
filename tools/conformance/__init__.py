"""How much of ONNX has an exact form: the standard's own test cases through lowering, verifier and engine.

Every case of `onnx.backend.test` is lowered with its own inputs as calibration, proven, run, and compared with the
outputs that the case declares. The result is a table by operator: docs/onnx-ops.md, `armillary conformance`.
"""

from __future__ import annotations

from tools.conformance.cases import SUITES, Case, collect, collect_nodes, known_ops
from tools.conformance.judge import Outcome, Status, judge
from tools.conformance.table import as_dict, markdown, summary_lines
from tools.conformance.worker import SECONDS_MAX, run_all

__all__ = [
    "SECONDS_MAX", "SUITES", "Case", "Outcome", "Status", "as_dict", "collect", "collect_nodes", "judge", "known_ops",
    "markdown", "run_all", "summary_lines",
]  # fmt: skip
