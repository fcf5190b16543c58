"""The network's errors. What a peer does wrong ends its connection and nothing else.

PeerError
├── ConnectionLost     the connection ended, for whatever reason; `str(error)` says which
├── ProtocolViolation  the peer sent what the protocol forbids
├── PeerRefused        this node does not want the peer (another genesis, no room)
├── RefusedByPeer      the peer does not want this node; says the peer's reason
└── RequestFailed      a request got no answer: refused, timed out, peer gone
UsageError
├── AddressError       a configured address is not of the form /ip4/HOST/tcp/PORT/p2p/ID
└── ListenError        the configured port cannot be listened on
OurError
└── FrameTooLarge      this node's own code sends more than the channel allows
"""

from __future__ import annotations

from runtime.errors import OurError, PeerError, UsageError


class ConnectionLost(PeerError):
    """The connection to a peer ended."""


class ProtocolViolation(PeerError):
    """A peer sent bytes that the protocol forbids."""


class PeerRefused(PeerError):
    """This node refuses a peer. retry_after_s: how long not to dial it again."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class RefusedByPeer(PeerError):
    """A peer said goodbye and why. retry_after_s: how long not to dial it again."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"the peer said: {reason}")


class RequestFailed(PeerError):
    """A request has no answer. The reason says whether another peer should be asked or the request is wrong."""


class AddressError(UsageError):
    """A peer's address is not of the form that is dialled."""

    def __init__(self, text: str, reason: str) -> None:
        self.text = text
        self.reason = reason
        super().__init__(f"peer address {text[:200]!r}: {reason}")


class ListenError(UsageError):
    """The address to listen on cannot be had."""


class FrameTooLarge(OurError):
    """More bytes than the channel's bound were given to send."""
