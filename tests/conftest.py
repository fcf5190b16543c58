"""For all tests: Hypothesis measures no time, which says nothing on a busy machine; onnxruntime reports to nobody, also
where a test imports it before the runtime does; no variable of whoever runs the tests reaches a command; and a pytest
that a test starts loads no schemathesis, which takes a second."""

import os

from hypothesis import settings
from hypothesis.internal.conjecture import providers

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["PYTEST_ADDOPTS"] = "-p no:schemathesis"
for name in [each for each in os.environ if each.startswith("ARMILLARY_") and each != "ARMILLARY_VECTORS"]:
    del os.environ[name]

settings.register_profile("armillary", deadline=None)
settings.load_profile("armillary")


def pytest_collection_finish() -> None:
    """Hypothesis takes texts and numbers from whatever of our sources is loaded. From here on, from what is loaded now:
    then the examples of a test do not depend on the tests before it, of which each process has others."""
    constants = providers._get_local_constants()
    providers._get_local_constants = lambda: constants
