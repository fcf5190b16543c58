"""What is stored of a model and of an upload, and what other modules may ask of the registry."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, Protocol

from runtime import U16, U64, U128, AccountId, Denom, Hash, MaxLen, ModelInfo, Name, Struct
from runtime.types import IntWidth

PARENTS_MAX: Final = 8
REMARKS_MAX: Final = 16
PAGE_MAX: Final = 64

Amount = Annotated[int, IntWidth(96)]
"""Base units of a price: small enough that a price times any number of rows fits into 128 bits."""
Title = Annotated[str, MaxLen(64)]
Version = Annotated[str, MaxLen(32)]
Licence = Annotated[str, MaxLen(64)]
Parents = Annotated[tuple[Hash, ...], MaxLen(PARENTS_MAX)]


class Price(Struct):
    """Of one inference (one row), in base units; 0: free."""

    denom: Denom
    amount: Amount


class PriceChange(Struct):
    """The price from height `starts` on."""

    price: Price
    starts: U64


class Remark(Struct):
    """A named fact about a model, for people: "trained_on", "digits"."""

    name: Name
    text: Annotated[str, MaxLen(256)]


Remarks = Annotated[tuple[Remark, ...], MaxLen(REMARKS_MAX)]


class Card(Struct):
    """What a model's owner says of it. parents: registered models that it was made from, for good. price: changes with
    notice. The rest is for people, and the owner may put it differently."""

    title: Title
    version: Version
    licence: Licence
    parents: Parents
    remarks: Remarks
    price: Price


class Approval(IntEnum):
    """What the chain itself (governance) said of a model. A revoked one never runs; one of which nothing was said runs
    where the chain requires no approval."""

    UNDECIDED = 0
    APPROVED = 1
    REVOKED = 2


class Standing(IntEnum):
    """Whether a model can be run."""

    RUNS = 0
    NOT_APPROVED = 1
    RETIRED = 2


class Profile(Struct):
    """What a run of n rows takes and leaves, as verified: gas_load + gas_fixed + n * gas_per_row of gas; so many output
    tensors, of n * output_bytes_per_row bytes together."""

    gas_load: U64
    gas_fixed: U64
    gas_per_row: U64
    outputs: U16
    output_bytes_per_row: U64


class Model(Struct):
    """A registered model; its record is never deleted. owner: is paid, and decides. uploader: who brought it, for good.
    blob: the root of its chunks. deposit: held for the space it takes; 0 of a retired one, whose `Ending` has it.
    height: of its registration. next_price: announced, where the owner announced one. offered_to: who may accept it.
    retired: since which height nobody can run it."""

    owner: AccountId
    uploader: AccountId
    card: Card
    size_bytes: U64
    chunks: U16
    blob: Hash
    deposit: U128
    deposit_denom: Denom
    height: U64
    profile: Profile
    approval: Approval
    next_price: PriceChange | None
    offered_to: AccountId | None
    retired: U64 | None


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


class Ending(Struct):
    """What becomes of chunks that go: of an upload, or of a retired model. The deposit returns to `owner`. Small, so
    that clearing away costs the same whatever a card says."""

    is_upload: bool
    owner: AccountId
    denom: Denom
    deposit: U128


class Chunk(Struct):
    """One chunk of an upload or a model: its hash, and whether it is held."""

    name: Hash
    held: bool


class Terms(Struct):
    """Whether a model can be run, what that takes, whom to pay and how much for each row."""

    standing: Standing
    profile: Profile
    owner: AccountId
    price: Price


class Models(Protocol):
    """Registered models."""

    def terms(self, model: Hash) -> Terms | None:
        """The terms on which a registered model runs in this block; None where it is not registered."""
        ...

    def verdict(self, model: Hash) -> ModelInfo | None:
        """Inputs, outputs, labels and gas of a registered model as verified, retired ones included; else None."""
        ...


def price_at(model: Model, height: int) -> Price:
    """The price of a run in block `height`."""
    change = model.next_price
    return model.card.price if change is None or height < change.starts else change.price
