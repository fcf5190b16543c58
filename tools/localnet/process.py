"""One node as an operating system process: start, kill, stop, and whether it answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.crypto import SigningKey
from runtime.errors import CallerError
from runtime.node.keystore import open_keystore
from tools.cli.keyring import PASSWORD_FILE_VARIABLE
from tools.localnet.signals import held_back

if TYPE_CHECKING:
    from tools.client import NodeClient  # httpx: only where a node is asked

STOP_S_MAX = 15.0
READY_S_MAX = 60.0
LOG_LINES_SHOWN = 5


class NodeFailed(CallerError):
    """A node's process ended or did not answer; the sentence ends with the last lines of its log."""


class NodeProcess:
    """`armillary node --home HOME` as a child process; its output goes to HOME/node.log."""

    def __init__(
        self,
        *,
        name: str,
        home: Path,
        p2p_port: int,
        http_port: int,
        account: str,
        peer_id: str,
        password_file: Path,
    ) -> None:
        self.name = name
        self.home = home
        self.p2p_port = p2p_port
        self.http_port = http_port
        self.http_url = f"http://127.0.0.1:{http_port}"
        self.account = account
        self.peer_id = peer_id
        self.password_file = password_file
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Of the last start; None before the first."""
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process in a session of its own: Ctrl-C reaches this one alone, which stops the nodes in order."""
        with held_back(), (self.home / "node.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tools.cli", "node", "--home", str(self.home)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, PASSWORD_FILE_VARIABLE: str(self.password_file)},
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def ask_to_stop(self) -> None:
        """SIGTERM; nothing happens where it does not run. `wait_stopped` waits for the end."""
        if self.is_running and self._process:
            self._process.send_signal(signal.SIGTERM)

    def wait_stopped(self) -> int | None:
        """Wait until the process has ended, and return its exit code; one that does not end in time is killed."""
        if self._process is None:
            return None
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._process.returncode

    def key(self, name: str) -> SigningKey:
        """A key of this node's home, opened with the network's password."""
        return open_keystore(self.home / "keys" / f"{name}.json", self.password_file.read_text().strip())

    def client(self) -> NodeClient:
        """A new client of this node's HTTP; the caller closes it."""
        from tools.client import NodeClient

        return NodeClient(self.http_url)

    def wait_ready(self, *, timeout_s: float = READY_S_MAX) -> dict[str, Any]:
        """The node's status once it answers. Raises NodeFailed when it ends or does not answer in time."""
        from tools.client import NodeError

        end = time.monotonic() + timeout_s
        with self.client() as client:
            while True:
                try:
                    return client.status()
                except NodeError:
                    self.check_running()
                    if time.monotonic() > end:
                        raise NodeFailed(
                            f"{self.name} does not answer after {timeout_s:g} s{self._log_tail()}"
                        ) from None
                    time.sleep(0.05)

    def check_running(self) -> None:
        """Raises NodeFailed when the process has ended by itself."""
        if self._process and (code := self._process.poll()) is not None:
            raise NodeFailed(f"{self.name} ended with exit code {code}{self._log_tail()}")

    def _log_tail(self) -> str:
        path = self.home / "node.log"
        lines = path.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:] if path.exists() else []
        return f"; {path} ends with:\n" + "\n".join(lines) if lines else ""
