"""What docs/models.md says works as it stands there: its commands and its Python, from the root of the project."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tools.cli.app import run

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    monkeypatch.chdir(tmp_path)


def test_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(lines) == 3
    for line in lines:
        command, *arguments = shlex.split(line)
        assert command == "armillary"
        assert run(arguments) == 0
    assert "same class in 100.00%" in capsys.readouterr().out
    assert "<html" in Path("digits.html").read_text().lower()
    assert len(json.loads(Path("answers.json").read_text())["label"]) == 256


def test_the_python(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.startswith("[5 5 3] ")
