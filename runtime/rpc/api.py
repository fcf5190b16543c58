"""What HTTP needs of a node. The node implements it; tests may implement it in ten lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from runtime.errors import CallerError
from runtime.module import ModuleMetadata
from runtime.rpc.paging import Page
from runtime.rpc.views import (
    BlockSummary,
    BlockView,
    EventMessage,
    QueryView,
    RecordCertificateView,
    SimulationView,
    StatusView,
    SubmitView,
    TransactionView,
)
from runtime.types import Hash

if TYPE_CHECKING:
    from runtime.rpc.events import BlockEvents, EventFilter


class NotFound(CallerError):
    """What was asked for does not exist here."""


class Busy(CallerError):
    """It cannot be taken now; the same request may be fine later."""


class NodeApi(Protocol):
    """Every method may raise CallerError with one sentence for the caller."""

    @property
    def modules(self) -> Mapping[str, ModuleMetadata]:
        """What the chain's modules declare."""
        ...

    async def status(self) -> StatusView:
        """Where the node and its chain stand now."""
        ...

    async def submit(self, transaction: bytes) -> SubmitView:
        """Take a transaction; on return it survives a crash of the node. Raises Busy where no more fits."""
        ...

    async def simulate(self, transaction: bytes) -> SimulationView:
        """What the transaction would do alone in the next block, nothing kept."""
        ...

    async def transaction(self, hash_: Hash, *, wait_ms: int) -> TransactionView:
        """wait_ms: for how long at most to wait while it is pending."""
        ...

    async def receipt(self, hash_: Hash) -> TransactionView:
        """As `transaction`, but only of one in a block. Raises NotFound."""
        ...

    async def block(self, height: int | None) -> BlockView:
        """None is the last one. Raises NotFound."""
        ...

    async def query(
        self, module: str, query: str, arguments: Mapping[str, str], *, height: int | None, prove: bool
    ) -> QueryView:
        """The answer at a height, the last one for None. prove: with a proof under that height's state root. Raises
        NotFound for an unknown module or query."""
        ...

    async def certificate(self, record: str) -> RecordCertificateView:
        """The decision certificate of an inference's record, by its number in decimal. Raises NotFound."""
        ...

    # --- lists ------------------------------------------------------------------------------------------------------

    async def blocks(self, below: int | None, limit: int) -> Page[BlockSummary]:
        """The newest first; below: only blocks under this height."""
        ...

    async def transactions(self, height: int, first: int, limit: int) -> Page[TransactionView]:
        """Of one block, from number `first` on. Raises NotFound."""
        ...

    async def events(self, wanted: EventFilter, height: int, index: int, limit: int) -> Page[EventMessage]:
        """From this event of this block on, in order; an empty page where that is in the future."""
        ...

    # --- the stream of events ---------------------------------------------------------------------------------------

    @property
    def address_prefix(self) -> str:
        """The bech32m prefix of this chain's addresses."""
        ...

    async def height(self) -> int:
        """Of the last applied block."""
        ...

    async def reached(self, height: int) -> None:
        """Wait until that block is applied."""
        ...

    async def block_events(self, height: int) -> BlockEvents:
        """Of an applied block. Raises NotFound where it is no longer held."""
        ...
