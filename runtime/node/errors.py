"""The node's own errors. Whose fault each is, its base says.

CallerError
├── KeystoreError
│   ├── WrongPassword        the file is whole, the password does not open it
│   └── KeystoreCorrupted    the file is not what was written
└── UsageError
    ├── ConfigError          config.toml is wrong; names the key
    └── AlreadyRunning       another process holds the node's home
OurError
├── JournalCorrupted         a journal is damaged before its end
├── DoubleSignRefused        asked to sign against what was signed before
└── Diverged                 a commit certificate contradicts this node's own execution
"""

from __future__ import annotations

from runtime.errors import CallerError, OurError, UsageError


class KeystoreError(CallerError):
    """A keystore cannot be opened."""


class WrongPassword(KeystoreError):
    """The password does not open this keystore."""


class KeystoreCorrupted(KeystoreError):
    """The keystore is not a whole keystore of a known version within the bounds."""


class ConfigError(UsageError):
    """The node's configuration is wrong. `key` is the dotted key, empty for the file as a whole."""

    def __init__(self, key: str, reason: str) -> None:
        self.key = key
        self.reason = reason
        super().__init__(f"{key}: {reason}" if key else reason)


class AlreadyRunning(UsageError):
    """Another process works in this home."""


class JournalCorrupted(OurError):
    """A journal has a damaged record that is not its torn end: going on could forget what was promised."""


class DoubleSignRefused(OurError):
    """Signing this could contradict what this key signed before."""


class Diverged(OurError):
    """More than two thirds of the voting power certified a root that this node did not compute."""
