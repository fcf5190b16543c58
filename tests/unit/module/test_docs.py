"""The counter of docs/modules.md is complete: it runs as it stands there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "modules.md"


def test_the_counter_of_the_page_works() -> None:
    module, tests = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]
    page: Any = types.ModuleType("counter_page")
    sys.modules[page.__name__] = page
    try:
        exec(compile(module + tests, str(PAGE), "exec"), vars(page))
        page.test_counts()
        page.test_invalid_step_too_large()
        assert set(page.Counter.metadata().errors) == {"StepTooLarge"}
    finally:
        del sys.modules[page.__name__]
