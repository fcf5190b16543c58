"""A process that runs models reports to nobody and leaves no identifier of the machine behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SUPPRESSING = ("ORT_", "CI", "GITHUB_ACTIONS", "TF_BUILD")  # what would keep the library silent without our doing
IMPORTS = re.compile(r"^\s*(import|from) onnxruntime\b", re.MULTILINE)


def test_a_process_with_an_engine_writes_no_identifier(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SUPPRESSING)}
    code = (
        "import os, runtime.inference, tools.lowering, tools.demo.digits;"
        "runtime.inference.Engine();"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_the_library_is_imported_in_one_place() -> None:
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in ("runtime", "modules", "chain_spec", "tools")
        for path in (ROOT / folder).rglob("*.py")
        if IMPORTS.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["runtime/inference/library.py"]
