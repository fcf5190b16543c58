"""docs/first-module.md does what it says: its code is put where it says, and fails and passes as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cli.app import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "first-module.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
EVENT, STORAGE, CALL, MEND, GENESIS = CODE


class Package:
    """The scaffolded package of the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tally"
        self.module = self.folder / "tally" / "module.py"
        assert self.run("new", "module", "tally", cwd=folder) == 0

    def run(self, *command: str, cwd: Path | None = None) -> int:
        return subprocess.run(
            [sys.executable, "-m", "tools.cli", *command], cwd=cwd or self.folder, check=False
        ).returncode

    def insert(self, code: str, *, above: str) -> None:
        text = self.module.read_text()
        assert above in text
        self.module.write_text(text.replace(above, code + above, 1))

    def attack(self, *options: str) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "types_allow or form", *options]
        environment = {**os.environ, "CI": ""}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        return re.sub(r"^E? *", "", done.stdout, flags=re.MULTILINE)


def shown(needle: str) -> str:
    """The page's text that holds this, without what differs between machines."""
    (found,) = [text for text in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) if needle in text]
    return re.sub(r"^ *", "", found, flags=re.MULTILINE)


def test_the_page_from_scaffold_to_a_module_that_withstands(tmp_path: Path) -> None:
    package = Package(tmp_path)
    package.insert(EVENT + "\n\n", above="class BadAmount")
    package.insert(STORAGE + "\n", above="    class Params")
    package.insert(CALL + "\n", above="    @query")
    first = package.attack()
    for said in ("invariant tally.points_add_up", "chain = Watched(Tally)", "Tally.spend.build(points="):
        assert said in shown("points_add_up")
        assert said in first
    for line in shown("Compatible").splitlines()[1:]:
        assert line in first
    package.insert(MEND, above="        self.all_spent += points")
    assert shown("inverse").strip().partition(":")[0] in package.attack("--update-golden")
    text = package.module.read_text()
    old = text[text.index("    class GenesisConfig") : text.index("    @call")]
    package.module.write_text(text.replace(old, GENESIS + "\n"))
    assert "2 passed" in package.attack("--update-golden")
    assert package.run("lint", "tally") == 0
    checks = (["ruff", "check", "--no-cache", "."], ["ruff", "format", "--no-cache", "--check", "."])
    for check in checks:
        assert subprocess.run([sys.executable, "-m", *check], cwd=package.folder, check=False).returncode == 0


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^armillary ([a-z-]+)", PAGE, re.MULTILINE))))
def test_the_page_names_commands_that_exist(command: str) -> None:
    assert command in COMMANDS
