"""Where a peer is reached: the multiaddr /ip4/HOST/tcp/PORT/p2p/PEERID, or ip6 or dns4 or dns6 or dns in its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from runtime.network.errors import AddressError
from runtime.network.identity import public_key_of
from runtime.network.transport import PeerId

_LABEL = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_FORM = "expected /ip4/HOST/tcp/PORT/p2p/PEERID"


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """One peer and the one place where it is dialled."""

    kind: str  # ip4, ip6, dns, dns4, dns6
    host: str
    port: int
    peer_id: PeerId

    @classmethod
    def parse(cls, text: str) -> PeerAddress:
        """Raises AddressError naming the part that is wrong."""
        parts = text.split("/")
        if len(parts) != 7 or parts[0] or parts[3] != "tcp" or parts[5] != "p2p":
            raise AddressError(text, _FORM)
        _, kind, host, _, port, _, peer_id = parts
        _check_host(text, kind, host)
        if not _PORT.fullmatch(port) or int(port) > 65535:
            raise AddressError(text, f"port {port!r} is not 1 to 65535")
        try:
            public_key_of(peer_id)
        except ValueError as error:
            raise AddressError(text, f"peer id {peer_id[:80]!r}: {error}") from None
        return cls(kind, host, int(port), PeerId(peer_id))

    @classmethod
    def of(cls, host: str, port: int, peer_id: PeerId) -> PeerAddress:
        """The address of a peer at a literal IP address."""
        return cls("ip6" if ":" in host else "ip4", host, port, peer_id)

    def __str__(self) -> str:
        return f"/{self.kind}/{self.host}/tcp/{self.port}/p2p/{self.peer_id}"


def _check_host(text: str, kind: str, host: str) -> None:
    try:
        if kind == "ip4":
            IPv4Address(host)
        elif kind == "ip6":
            IPv6Address(host)
        elif kind not in ("dns", "dns4", "dns6"):
            raise AddressError(text, f"{kind!r} is not ip4, ip6, dns, dns4 or dns6")
        elif not _HOST_NAME.fullmatch(host):
            raise AddressError(text, f"{host!r} is not a host name")
    except AddressValueError as error:
        raise AddressError(text, f"{host!r} is not an {kind} address: {error}") from None
