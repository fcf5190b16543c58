"""What can be wrong with a consensus message, and whose fault it is.

PeerError
└── MessageRefused       a vote, proposal, part, block or evidence from another node breaks a rule
CallerError
├── CertificateRefused   a commit certificate does not prove its header
└── ValidatorSetError    a validator set that may not exist: duplicates, no power, too much power
OurError
└── UnverifiedInput      the shell fed the driver a message that it should have verified first

Every error bears `check` (a stable word that programs may compare) and `reason` (one sentence for people).
"""

from __future__ import annotations

from runtime.errors import CallerError, OurError, PeerError


class MessageRefused(PeerError):
    """A consensus message breaks the rule named by `check`; `what` is the kind of message."""

    def __init__(self, what: str, check: str, reason: str) -> None:
        self.what = what
        self.check = check
        self.reason = reason
        super().__init__(f"{what} refused, {check}: {reason}")


class CertificateRefused(CallerError):
    """The part of a certificate (or of the header beside it) named by `check` does not hold."""

    def __init__(self, check: str, reason: str) -> None:
        self.check = check
        self.reason = reason
        super().__init__(f"commit certificate refused, {check}: {reason}")


class ValidatorSetError(CallerError):
    """No such validator set may exist; `check` names the rule."""

    def __init__(self, check: str, reason: str) -> None:
        self.check = check
        self.reason = reason
        super().__init__(f"validator set refused, {check}: {reason}")


class UnverifiedInput(OurError):
    """The driver was fed what `verify_vote` or `verify_proposal` refuses: a fault of the shell around it."""
