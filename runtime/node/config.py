"""The node's configuration: config.toml in the node's home.

What lives here: the options, their defaults and bounds, reading and writing the file. What does not: anything
all nodes must agree on; that is in the chain spec. Paths are relative to the home. `write_config` writes
every option with its default and its comment; an unknown key is an error that names the nearest right one.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from runtime.network.addresses import PeerAddress
from runtime.network.errors import AddressError
from runtime.node.errors import ConfigError
from runtime.node.files import write_atomically
from runtime.rpc.bounds import CONNECTIONS_MAX

FILE_NAME = "config.toml"
FILE_BYTES_MAX = 1024 * 1024

HostPort = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-\[\]:]+:[0-9]{1,5}$", max_length=280)]
RelativePath = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class NetworkConfig(_Section):
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


class HttpConfig(_Section):
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

    @field_validator("listen")
    @classmethod
    def _listen(cls, listen: str) -> str:
        parse_host_port(listen)
        return listen


class KeysConfig(_Section):
    """Key files, relative to the home."""

    validator: str = Field(
        default="keys/validator.json",
        max_length=1024,
        description='encrypted keystore that signs; "" runs a full node',
    )
    network: RelativePath = Field(default="keys/network.key", description="this node's identity towards peers")


class MempoolConfig(_Section):
    """Bounds of the transactions that wait in this node's memory."""

    transactions_max: int = Field(default=10_000, ge=16, le=1_000_000, description="most transactions in all")
    bytes_max: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024, le=1 << 34, description="most bytes in all")
    per_sender_max: int = Field(default=1_024, ge=1, le=100_000, description="most transactions of one sender")


class LogConfig(_Section):
    """What the node writes to standard error."""

    format: Literal["people", "json"] = Field(default="people", description='"people" or "json", one object a line')
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )


class NodeConfig(_Section):
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
    log: LogConfig = LogConfig()


def parse_host_port(text: str) -> tuple[str, int]:
    """("127.0.0.1", 7400) of "127.0.0.1:7400". Raises ValueError with the reason."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not address:port with a port of 0 to 65535")
    return host.strip("[]"), int(port)


def read_config(home: Path) -> NodeConfig:
    """The configuration in `home`. Raises ConfigError naming the key, what was found and what is right."""
    path = home / FILE_NAME
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError("", f"{path}: cannot be read: {error.strerror}; `armillary init` makes a home") from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError("", f"{path}: larger than {FILE_BYTES_MAX} bytes")
    try:
        return parse_config(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError("", f"{path}: not UTF-8 at byte {error.start}") from None
    except ConfigError as error:
        raise ConfigError(error.key, f"{error.reason} (in {path})") from None


def parse_config(text: str) -> NodeConfig:
    """The configuration in a TOML text. Raises ConfigError."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("", f"not TOML: {error}") from None
    except RecursionError:
        raise ConfigError("", "not a configuration: nested too deeply") from None
    _refuse_unknown(NodeConfig, values, "")
    try:
        return NodeConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(key, f"{_reason(first['msg'])}; found {repr(first['input'])[:80]}") from None


def write_config(home: Path, config: NodeConfig) -> Path:
    """Write every option with its comment to the home's config.toml, atomically."""
    path = home / FILE_NAME
    write_atomically(path, render_config(config).encode())
    return path


def render_config(config: NodeConfig) -> str:
    """The TOML text: all options, each with its comment, in the order of declaration."""
    lines = ["# The configuration of one Armillary node. Paths are relative to this file's folder.", ""]
    lines += _render_fields(config)
    for name in NodeConfig.model_fields:
        section = getattr(config, name)
        if isinstance(section, _Section):
            lines += ["", f"[{name}]", f"# {type(section).__doc__}", *_render_fields(section)]
    return "\n".join(lines) + "\n"


def _render_fields(section: _Section) -> list[str]:
    lines = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if not isinstance(value, _Section):
            lines.append(f"# {field.description}")
            lines.append(f"{name} = {_toml(value)}")
    return lines


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text) + '"'


def _refuse_unknown(model: type[BaseModel], values: dict[str, Any], prefix: str) -> None:
    known = model.model_fields
    for name, value in values.items():
        key = f"{prefix}{name}"
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ConfigError(key, f"there is no such option; did you mean {prefix}{near[0]}?")
        inner = known[name].annotation
        if isinstance(value, dict) and isinstance(inner, type) and issubclass(inner, BaseModel):
            _refuse_unknown(inner, value, f"{key}.")


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")
