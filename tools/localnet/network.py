"""Several node processes as one network: started together, stopped together, whatever happens in between."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from chain_spec import ChainSpec
from runtime.errors import UsageError
from tools.localnet.homes import PORTS_PER_NODE, prepare
from tools.localnet.ports import first_busy, free_base_port
from tools.localnet.process import NodeProcess
from tools.localnet.signals import held_back

PORTS_FROM, STARTS, STARTS_APART = 27_000, 500, 10  # below the ports that the kernel gives to clients


def _start() -> int:
    """Where this process looks for free ports first: two that start networks at once seldom look in one place."""
    return PORTS_FROM + STARTS_APART * (os.getpid() % STARTS)


class Localnet:
    """`validators` nodes under `home`. Use it in `with`: on leaving, every process is stopped and its port free.

    base_port: of the first node; free ports are looked for when it is None. Raises UsageError when one is busy.
    spec: the chain, whose founders these nodes take the place of; None: one of the standard modules and `modules`.
    """

    def __init__(
        self,
        home: Path,
        validators: int,
        *,
        base_port: int | None = None,
        chain: str = "localnet",
        modules: Sequence[str] = (),
        spec: ChainSpec | None = None,
    ) -> None:
        count = PORTS_PER_NODE * validators
        base = free_base_port(count, start=_start()) if base_port is None else base_port
        busy = first_busy(base, count)
        if busy is not None:
            raise UsageError(f"port {busy} is in use; {count} free ports from --base-port on are needed")
        self.home = home
        self.nodes: list[NodeProcess] = prepare(home, validators, base, chain=chain, modules=modules, spec=spec)

    @property
    def spec_path(self) -> Path:
        """The chain spec that all nodes share."""
        return self.home / "spec.json"

    def __enter__(self) -> Localnet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all nodes; returns once each answers. Raises NodeFailed with the end of a log where one does not."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()

    def stop(self) -> None:
        """Ask all to stop, then wait for each; one that does not stop in time is killed, all are when interrupted."""
        try:
            for node in self.nodes:
                node.ask_to_stop()
            for node in self.nodes:
                node.wait_stopped()
        except BaseException:  # a second Ctrl-C: no more patience, but no process is left either
            with held_back():
                for node in self.nodes:
                    node.kill()
            raise

    def describe(self) -> dict[str, Any]:
        """What scripts need: {spec, nodes: [{name, pid, home, http, p2p, account}]}."""
        return {
            "spec": str(self.spec_path.resolve()),
            "nodes": [
                {
                    "name": node.name,
                    "pid": node.pid,
                    "home": str(node.home.resolve()),
                    "http": node.http_url,
                    "p2p": f"/ip4/127.0.0.1/tcp/{node.p2p_port}/p2p/{node.peer_id}",
                    "account": node.account,
                }
                for node in self.nodes
            ],
        }
