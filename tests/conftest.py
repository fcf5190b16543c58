"""For all tests: Hypothesis measures no time, which says nothing on a busy machine."""

from hypothesis import settings

settings.register_profile("armillary", deadline=None)
settings.load_profile("armillary")
