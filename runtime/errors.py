"""Every error of Armillary descends from one of three: the type says whose fault it is.

ArmillaryError
├── CallerError            the person or program that asked: exit code 1 (refused or failed)
│   ├── UsageError         the command line or a file it names is wrong: exit code 2
│   ├── CodecError         bytes or values that are not of the declared type
│   ├── DefinitionError    a module's declaration is wrong; says the mend
│   └── CallError          a call of a transaction failed; becomes its receipt (runtime.module.errors)
├── PeerError              another node: it is disconnected, the node goes on
└── OurError               this node or this program: halt loudly, keep the evidence; exit code 3

What lives here: the roots and the errors that several layers share. A layer's own errors live with the layer.
"""

from __future__ import annotations


class ArmillaryError(Exception):
    """The root. `str(error)` is one sentence for a person; the fields carry the data."""

    exit_code = 1


class CallerError(ArmillaryError):
    """What was asked cannot be done as asked."""


class UsageError(CallerError):
    """A command line, a configuration or a file named there is wrong."""

    exit_code = 2


class PeerError(ArmillaryError):
    """Another node broke the protocol."""


class OurError(ArmillaryError):
    """A fault of this node: never the caller's, never a peer's."""

    exit_code = 3


class DefinitionError(CallerError):
    """A module's declaration is wrong. The sentence says what to write instead."""


class CodecError(CallerError):
    """Bytes or a value that are not of the declared type.

    path: where inside the value, in JSONPath's style ("$[2]"); reason: what was found and what is allowed.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


def show(value: object) -> str:
    """A value for people: bytes in hex, everything else as Python writes it."""
    return value.hex() if isinstance(value, bytes) else str(value)
