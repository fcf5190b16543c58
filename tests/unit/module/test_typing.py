"""Author files pass `mypy --strict`, and wrong ones do not: mypy itself is run over tests/typing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "tests" / "typing"


def test_mypy_accepts_the_page_and_refuses_each_wrong_line() -> None:
    expected = {
        (number, code)
        for number, line in enumerate((PAGES / "refused.py").read_text().splitlines(), 1)
        for code in re.findall(r"# \[([a-z-]+)\]$", line)
    }
    assert len(expected) > 20
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", "--no-error-summary"]
    command.append("--explicit-package-bases")
    files = [f"tests/typing/{page}.py" for page in ("accepted", "refused")]
    run = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    found: dict[tuple[str, int], str] = {}
    for line in run.stdout.splitlines():
        if match := re.fullmatch(r"(.*\.py):(\d+): error: .*\[([a-z-]+)\]", line):
            found[match[1], int(match[2])] = match[3]
    assert run.stderr == ""
    accepted = {key: code for key, code in found.items() if "refused" not in key[0]}
    assert accepted == {}, run.stdout
    assert {(number, code) for (_, number), code in found.items()} == expected, run.stdout
