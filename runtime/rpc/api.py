"""What HTTP needs of a node. The node implements it; tests may implement it in ten lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from runtime.errors import CallerError
from runtime.rpc.views import (
    BlockView,
    QueryView,
    RecordCertificateView,
    SimulationView,
    StatusView,
    SubmitView,
    TransactionView,
)
from runtime.types import Hash


class NotFound(CallerError):
    """What was asked for does not exist here."""


class Busy(CallerError):
    """It cannot be taken now; the same request may be fine later."""


class NodeApi(Protocol):
    """Every method may raise CallerError with one sentence for the caller."""

    async def status(self) -> StatusView: ...

    async def submit(self, transaction: bytes) -> SubmitView: ...

    async def simulate(self, transaction: bytes) -> SimulationView: ...

    async def transaction(self, hash_: Hash) -> TransactionView: ...

    async def receipt(self, hash_: Hash) -> TransactionView:
        """As `transaction`, but only of one in a block. Raises NotFound."""
        ...

    async def block(self, height: int | None) -> BlockView:
        """None is the last one. Raises NotFound."""
        ...

    async def query(
        self, module: str, query: str, arguments: Mapping[str, str], *, height: int | None, prove: bool
    ) -> QueryView: ...

    async def certificate(self, record: str) -> RecordCertificateView: ...
