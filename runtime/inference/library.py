"""onnxruntime, without its telemetry: import it from here and nowhere else.

Since 1.29 its Linux wheels report processes, sessions and hashes of models to their maker, and keep an identifier of
the machine in ~/.cache and $TMPDIR. A validator speaks to its peers alone. The variable counts only if it is set before
the library is loaded, and then for the whole process (onnxruntime, pull request 27379).
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime  # only after the variable is set

__all__ = ["onnxruntime"]
