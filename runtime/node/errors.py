"""The node's own errors. Whose fault each is, its base says.

CallerError
├── KeystoreError
│   ├── WrongPassword        the file is whole, the password does not open it
│   └── KeystoreCorrupted    the file is not what was written
├── MnemonicError            a text is no BIP-39 mnemonic
│   ├── UnknownWord          a word is not in the list; names the nearest
│   └── WrongChecksum        the words are, but not these in this order
├── DerivationError          SLIP-10 has no Ed25519 key there; names the step of the path
└── UsageError
    ├── ConfigError          config.toml is wrong; names each key
    └── AlreadyRunning       another process holds the node's home
OurError
├── JournalCorrupted         a journal is damaged before its end
├── JournalUnwritable        the disk refuses a transaction that a client waits to have acknowledged
├── DoubleSignRefused        asked to sign against what was signed before
└── Diverged                 a commit certificate contradicts this node's own execution
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.errors import CallerError, OurError, UsageError


class KeystoreError(CallerError):
    """A keystore cannot be opened."""


class WrongPassword(KeystoreError):
    """The password does not open this keystore."""


class KeystoreCorrupted(KeystoreError):
    """The keystore is not a whole keystore of a known version within the bounds."""


class MnemonicError(CallerError):
    """A text is no BIP-39 mnemonic."""


class UnknownWord(MnemonicError):
    """`word`, number `place` from 1, is not in the word list; `nearest` are like it, if any."""

    def __init__(self, place: int, word: str, nearest: tuple[str, ...]) -> None:
        self.place = place
        self.word = word
        self.nearest = nearest
        question = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        super().__init__(f"word {place}, {word[:32]!r}, is not in the word list{question}")


class WrongChecksum(MnemonicError):
    """Every word is in the list, but the checksum in the last one does not fit."""

    def __init__(self, words: int) -> None:
        super().__init__(
            f"checksum: all {words} words are in the word list, but they do not belong together; "
            "one is wrong, or their order is"
        )


class DerivationError(CallerError):
    """No Ed25519 key can be derived as asked."""


class ConfigError(UsageError):
    """The node's configuration is wrong. `problems`: all of it, each a key ("http.listen", empty for the file as a
    whole) and the reason. where: what was read."""

    def __init__(self, problems: Sequence[tuple[str, str]], where: str = "") -> None:
        self.problems = tuple(problems)
        sentences = [f"{key}: {reason}" if key else reason for key, reason in self.problems]
        start = f"{where}: " if where else ""
        if len(sentences) > 1:
            start += f"{len(sentences)} things are wrong\n  "
        super().__init__(start + "\n  ".join(sentences))


class AlreadyRunning(UsageError):
    """Another process works in this home."""


class JournalCorrupted(OurError):
    """A journal has a damaged record that is not its torn end: going on could forget what was promised.

    records: those before the damage."""

    def __init__(self, sentence: str, records: tuple[bytes, ...] = ()) -> None:
        self.records = records
        super().__init__(sentence)


class JournalUnwritable(OurError):
    """The disk refused a record: what it holds is not promised to anyone."""


class DoubleSignRefused(OurError):
    """Signing this could contradict what this key signed before."""


class Diverged(OurError):
    """More than two thirds of the voting power certified a root that this node did not compute."""
