"""The error boundary: one line and an exit code for every failure; no traceback, whatever a command raises."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

from runtime.errors import CallerError, CodecError, OurError, PeerError, UsageError
from tools.cli import app
from tools.cli.app import run

TIMEOUT_S = 120


def raising(error: BaseException) -> click.Command:
    def callback() -> None:
        raise error

    return click.Command("boom", callback=callback)


@pytest.fixture
def boom(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes `armillary keys` raise an error; returns a function that runs it and gives its exit code."""

    def use(error: BaseException) -> int:
        monkeypatch.setattr("tools.cli.keys.keys", raising(error))
        return run(["keys"])

    return use


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("the file is wrong"), 2, "error: the file is wrong"),
        (CallerError("it was refused"), 1, "error: it was refused"),
        (CodecError("$.a", "too long"), 1, "error: $.a: too long"),
        (PeerError("broke the protocol"), 1, "error: broke the protocol"),
        (OurError("the journal is damaged"), 3, "error: the journal is damaged"),
        (OurError(), 3, "error: OurError"),
        (
            FileNotFoundError(2, "No such file or directory", "/nowhere"),
            1,
            "error: /nowhere: No such file or directory",
        ),
        (PermissionError(13, "Permission denied", b"/bytes"), 1, "error: b'/bytes': Permission denied"),
        (OSError("odd"), 1, "error: odd"),
        (KeyboardInterrupt(), 130, "stopped"),
        (click.Abort(), 130, "stopped"),
        (CallerError("a\x1b[31m\x07b\x00"), 1, "error: a?[31m?b?"),
    ],
)
def test_every_error_is_a_line_and_a_code(
    boom: Any, error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert boom(error) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err.strip()) == ("", line)


@pytest.mark.parametrize(
    "error", [ValueError("secret"), RecursionError(), MemoryError(), KeyError("x"), ExceptionGroup("g", [ValueError()])]
)
def test_a_fault_is_a_line_and_its_traceback_a_file(
    boom: Any,
    error: Exception,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert boom(error) == 3
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: this is a fault of Armillary: {type(error).__name__}; details are in {tmp_path}")
    assert "Traceback" not in shown
    (file,) = tmp_path.iterdir()
    assert "Traceback" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0, "a traceback may hold what is nobody else's business"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nosuch"], "error: no such command 'nosuch' (armillary --help says more)"),
        (["querry"], "error: no such command 'querry'. Did you mean 'query'? (armillary --help says more)"),
        (["--nosuch"], "error: no such option '--nosuch' (armillary --help says more)"),
        (["keys", "sow"], "error: no such command 'sow'. Did you mean 'show'? (armillary keys --help says more)"),
        (["keys", "show"], "error: missing argument 'NAME' (armillary keys show --help says more)"),
        (["tx", "tokns"], "error: no such command 'tokns'. Did you mean 'tokens'? (armillary tx --help says more)"),
        (
            ["tx", "tokens", "mnt"],
            "error: no such command 'mnt'. Did you mean 'mint'? (armillary tx tokens --help says more)",
        ),
        (
            ["tx", "tokens", "transfer"],
            "error: missing option '--key' (armillary tx tokens transfer --help says more)",
        ),
        (
            ["tx", "tokens", "transfer", "--key", "a", "--tip", "x"],
            "error: invalid value for '--tip': 'x' is no whole number of base units, and no amount like 1.5ARM "
            "(armillary tx tokens transfer --help says more)",
        ),
        (
            ["localnet", "--home", "x", "--base-port", "80"],
            "error: invalid value for '--base-port': 80 is not at least 1024 and at most 65000 "
            "(armillary localnet --help says more)",
        ),
        (
            ["demo", "--validators", "17"],
            "error: invalid value for '--validators': 17 is not at least 1 and at most 16 "
            "(armillary demo --help says more)",
        ),
        (
            ["certificate", "-1", "--out", "x"],
            "error: no such option '-1' (armillary certificate --help says more)",
        ),
        (
            ["keys", "new", "a", "--prefix", "Bad!"],
            "error: invalid value for '--prefix': 'Bad!' is not 1 to 16 of a-z and 0-9, a letter first "
            "(armillary keys new --help says more)",
        ),
    ],
)
def test_invalid_usage_is_one_line_that_says_where_help_is(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.strip()) == ("", line)


@pytest.mark.parametrize("arguments", [[], ["keys"], ["spec"], ["tx"], ["query", "tokens"], ["model"]])
def test_a_group_without_a_command_shows_its_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err.startswith("Usage: armillary")


def test_a_commands_code_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (0, 1):
        monkeypatch.setattr("tools.cli.keys.keys", click.Command("keys", callback=lambda code=code: code))
        assert run(["keys"]) == code
    monkeypatch.setattr("tools.cli.keys.keys", click.Command("keys", callback=lambda: None))
    assert run(["keys"]) == 0
    monkeypatch.setattr(
        "tools.cli.keys.keys", click.Command("keys", callback=lambda: click.get_current_context().exit(1))
    )
    assert run(["keys"]) == 1


def test_help_and_version_need_no_heavy_import() -> None:
    """onnxruntime, libp2p and the modules are imported by the commands that need them."""
    code = (
        "import sys; from tools.cli.app import run; assert run(['--help']) == 0; assert run(['keys', '--help']) == 0;"
        "heavy = {'onnxruntime', 'libp2p', 'numpy', 'fastapi', 'modules'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr


def test_every_listed_command_is_there() -> None:
    for name in app.COMMANDS:
        assert run([name, "--help"]) == 0


def armillary(*arguments: str, **settings: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tools.cli", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **settings)


def test_a_reader_that_leaves_is_no_fault() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = armillary("--help", stdout=writing)
    os.close(writing)
    try:
        _, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert errors == b""
    assert process.returncode in (0, 1)


def test_ctrl_c_stops_with_130_and_one_word() -> None:
    """While it asks a node that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = armillary("query", "oracle", "count", "--node", url, stdout=subprocess.PIPE)
        try:
            connection, _ = silent.accept()
            with connection:
                time.sleep(0.1)
                process.send_signal(signal.SIGINT)
                output, errors = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
    assert (process.returncode, output, errors.strip()) == (130, b"", b"stopped")


def test_a_terminal_that_lacks_a_character_is_no_fault() -> None:
    code = (
        "import click, tools.cli.keys; from tools.cli.app import main; from tools.demo.screen import Screen;"
        "tools.cli.keys.keys = click.Command('keys', callback=lambda: Screen().say('done'));"
        "main(['keys'])"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"? done\n", b"")
