"""The options of a node, their defaults and bounds.

What lives here: what one operator may choose for one node. What does not: anything all nodes must agree on (that is in
the chain spec); the file (config_file.py). Each option's description becomes its comment there.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from runtime.network.addresses import PeerAddress
from runtime.network.errors import AddressError
from runtime.rpc.bounds import CONNECTIONS_MAX

HostPort = Annotated[str, StringConstraints(max_length=280)]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Section(BaseModel):
    """A table of config.toml."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class NetworkConfig(Section):
    """Peers: direct, long-lived, encrypted streams between nodes."""

    listen: HostPort = Field(
        default="127.0.0.1:7400", description="address and port on which other nodes reach this one"
    )
    persistent_peers: list[str] = Field(
        default=[],
        max_length=256,
        description='nodes to stay connected to: "/ip4/HOST/tcp/PORT/p2p/PEERID" each',
    )
    full_nodes_max: int = Field(
        default=16, ge=0, le=1024, description="connections kept for nodes that do not validate"
    )

    @field_validator("persistent_peers")
    @classmethod
    def _peers(cls, peers: list[str]) -> list[str]:
        for peer in peers:
            try:
                PeerAddress.parse(peer)
            except AddressError as error:
                raise ValueError(str(error)) from None
        return peers

    @field_validator("listen")
    @classmethod
    def _listen(cls, listen: str) -> str:
        parse_host_port(listen)
        return listen


class HttpConfig(Section):
    """HTTP for people and programs: status, submitting transactions, queries."""

    enabled: bool = Field(default=True, description="serve HTTP at all")
    listen: HostPort = Field(default="127.0.0.1:8400", description="address and port; keep it local or behind a proxy")
    request_bytes_max: int = Field(
        default=1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="largest request body in bytes; larger ones get 413",
    )
    connections_max: int = Field(
        default=CONNECTIONS_MAX, ge=8, le=10_000, description="most connections at once; further ones get 503"
    )
    metrics: bool = Field(default=True, description="serve /metrics, for Prometheus")

    @field_validator("listen")
    @classmethod
    def _listen(cls, listen: str) -> str:
        parse_host_port(listen)
        return listen


class KeysConfig(Section):
    """Key files, relative to the home."""

    validator: str = Field(
        default="keys/validator.json",
        max_length=1024,
        description='encrypted keystore that signs; "" runs a full node',
    )
    network: RelativePath = Field(default="keys/network.key", description="this node's identity towards peers")


class MempoolConfig(Section):
    """Bounds of the transactions that wait in this node's memory."""

    transactions_max: int = Field(default=10_000, ge=16, le=1_000_000, description="most transactions in all")
    bytes_max: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024, le=1 << 34, description="most bytes in all")
    per_sender_max: int = Field(default=1_024, ge=1, le=100_000, description="most transactions of one sender")


class StateConfig(Section):
    """How much of the past is kept beside the present state. Blocks and receipts are kept forever."""

    history_heights: int = Field(
        default=256, ge=1, le=1_000_000, description="older heights whose state can be queried and proven, at most"
    )
    history_bytes_max: int = Field(
        default=256 * 1024 * 1024,
        ge=1024 * 1024,
        le=1 << 40,
        description="memory for them; fewer heights if it is full",
    )
    sweep_interval_blocks: int = Field(
        default=1,
        ge=0,
        le=1_000_000,
        description="in every so-manieth block, one 256th of the model chunks is looked through for those that no kept "
        "height refers to; 0 removes none",
    )


class LogConfig(Section):
    """What the node writes to standard error: docs/operating.md has every event."""

    format: Literal["people", "json"] = Field(default="people", description='"people" or "json", one object a line')
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )


class NodeConfig(Section):
    """Everything that one operator may choose for one node."""

    name: str = Field(default="node", min_length=1, max_length=64, description="shown in logs and in /status")
    spec: RelativePath = Field(default="spec.json", description="the chain spec, relative to the home")
    data: RelativePath = Field(
        default="data", description="folder of state, blocks and logs of consensus, relative to the home"
    )
    network: NetworkConfig = NetworkConfig()
    http: HttpConfig = HttpConfig()
    keys: KeysConfig = KeysConfig()
    mempool: MempoolConfig = MempoolConfig()
    state: StateConfig = StateConfig()
    log: LogConfig = LogConfig()


def parse_host_port(text: str) -> tuple[str, int]:
    """("127.0.0.1", 7400) of "127.0.0.1:7400". Raises ValueError with the reason."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9_.\-\[\]:]+", host) or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"{text!r} is not address:port with a port of 0 to 65535")
    return host.strip("[]"), int(port)
