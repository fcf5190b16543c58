"""What other modules may ask of the registry, and what is stored of a model and of an upload."""

from __future__ import annotations

from typing import Annotated, Protocol

from runtime import U16, U64, U128, AccountId, Denom, Hash, MaxLen, Name, Struct
from runtime.types import IntWidth

PARENTS_MAX = 8
METADATA_MAX = 16
PAGE_MAX = 64

Amount = Annotated[int, IntWidth(96)]
"""Base units of a price: small enough that a price times any number of rows fits into 128 bits."""


class Price(Struct):
    """Of one inference (one row), in base units; 0: free."""

    denom: Denom
    amount: Amount


class Remark(Struct):
    """A named fact about a model, for people: "trained_on", "digits"."""

    name: Name
    text: Annotated[str, MaxLen(256)]


class Card(Struct):
    """What a model's owner says of it. parents: registered models that it was made from. Only the price is acted on;
    everything else is for people."""

    title: Annotated[str, MaxLen(64)]
    version: Annotated[str, MaxLen(32)]
    licence: Annotated[str, MaxLen(64)]
    parents: Annotated[tuple[Hash, ...], MaxLen(PARENTS_MAX)]
    remarks: Annotated[tuple[Remark, ...], MaxLen(METADATA_MAX)]
    price: Price


class Model(Struct):
    """A registered model. blob: the root of its chunks. deposit: held for the space it takes. Shapes, ranges, labels
    and cost are the runtime's verdict on it (`Inference.describe`)."""

    owner: AccountId
    card: Card
    size_bytes: U64
    chunks: U16
    blob: Hash
    deposit: U128
    deposit_denom: Denom
    height: U64


class Upload(Struct):
    """A model on its way. held: how many of its chunks are here. expires: the height at whose end it is dropped."""

    card: Card
    size_bytes: U64
    chunks: U16
    held: U16
    blob: Hash
    deposit: U128
    deposit_denom: Denom
    expires: U64


class Chunk(Struct):
    """One chunk of an upload or a model: its hash, and whether it is held."""

    name: Hash
    held: bool


class Terms(Struct):
    """Whom to pay for an inference, and how much."""

    owner: AccountId
    price: Price


class Models(Protocol):
    """Registered models."""

    def terms(self, model: Hash) -> Terms | None:
        """The owner and the price of a registered model; None where it is not registered."""
        ...
