"""For all tests: Hypothesis measures no time, which says nothing on a busy machine; onnxruntime reports to nobody, also
where a test imports it before the runtime does; and no variable of whoever runs the tests reaches a command."""

import os

from hypothesis import settings

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
for name in [each for each in os.environ if each.startswith("ARMILLARY_") and each != "ARMILLARY_VECTORS"]:
    del os.environ[name]

settings.register_profile("armillary", deadline=None)
settings.load_profile("armillary")
