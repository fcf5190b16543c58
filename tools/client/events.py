"""What the stream of events says, and where a lost one goes on. Values only: no socket, no clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class ChainEvent:
    """A fact that a module emitted. height and index name it for ever; index counts all events of the block.

    during: "begin_block", "transaction" or "end_block"; transaction: its hash in hex, None for events of hooks;
    fields: as the module's declaration names them, in the form that JSON shows them.
    """

    height: int
    index: int
    during: str
    transaction: str | None
    module: str
    name: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class BlockDone:
    """All events of this block that were asked for have been seen. transactions, events: how many the block has."""

    height: int
    block_id: str
    time_ms: int
    transactions: int
    events: int


class BadMessage(Exception):
    """What came is no message of a node."""


@dataclass
class Subscription:
    """What a reader wants, and how far it has come.

    A new connection goes on with `query`; `read` drops what the last one brought already.
    """

    modules: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    height: int | None = None
    _seen: int = field(default=-1, init=False)  # the index of the last event at `height`

    def query(self) -> str:
        """The query string of /events."""
        kinds = (("module", self.modules), ("event", self.names), ("account", self.accounts))
        pairs: list[tuple[str, Any]] = [(kind, value) for kind, values in kinds for value in values]
        if self.height is not None:
            pairs.append(("from_height", self.height))
        return urlencode(pairs)

    def read(self, text: str | bytes) -> ChainEvent | BlockDone | None:
        """The message of a text; None for an event that was seen already. Raises BadMessage."""
        try:
            given = json.loads(text)
            kind = given.pop("type")
            message: ChainEvent | BlockDone = {"event": ChainEvent, "block": BlockDone}[kind](**given)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BadMessage(f"no message of a node: {text[:80]!r}") from None
        if isinstance(message, BlockDone):
            self.height, self._seen = message.height + 1, -1
            return message
        if message.height == self.height and message.index <= self._seen:
            return None
        self.height, self._seen = message.height, message.index
        return message
