"""For all tests: Hypothesis measures no time, which says nothing on a busy machine; onnxruntime reports to nobody, also
where a test imports it before the runtime does."""

import os

from hypothesis import settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

settings.register_profile("armillary", deadline=None)
settings.load_profile("armillary")
