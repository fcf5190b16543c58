"""What happens to models and uploads: the events of the module `registry`."""

from __future__ import annotations

from modules.registry.protocol import Approval, Price
from runtime import U16, U64, U128, AccountId, Denom, Event, Hash


class PriceSet(Event):
    """The price of a row from height `starts` on."""

    model: Hash
    price: Price
    starts: U64


class MetadataSet(Event):
    """What the owner says of the model is put differently."""

    model: Hash


class ModelOffered(Event):
    """`to` may accept the model from now on; None: an offer was taken back."""

    model: Hash
    owner: AccountId
    to: AccountId | None


class ModelTransferred(Event):
    """The model has a new owner; `deposit` is now held for the new one."""

    model: Hash
    sender: AccountId
    recipient: AccountId
    deposit: U128


class ModelRetired(Event):
    """The model cannot be run any more; its space is being cleared."""

    model: Hash
    owner: AccountId


class ApprovalChanged(Event):
    """The chain itself approved the model, or revoked that."""

    model: Hash
    approval: Approval


class UploadBegun(Event):
    """Chunks may come until `expires`."""

    owner: AccountId
    model: Hash
    size_bytes: U64
    deposit: U128
    expires: U64


class ChunkUploaded(Event):
    """One more chunk is here: `held` of them all."""

    owner: AccountId
    model: Hash
    index: U16
    held: U16


class ModelRegistered(Event):
    """The model is proven exact and can be run, once it is approved where the chain requires that."""

    model: Hash
    owner: AccountId
    gas_load: U64
    gas_fixed: U64
    gas_per_row: U64


class UploadDropped(Event):
    """An upload was cancelled or not completed in time. deposit: what went back to its owner."""

    owner: AccountId
    model: Hash
    deposit: U128


class ModelCleared(Event):
    """A retired model's bytes have left the chain. deposit: what went back to its owner."""

    owner: AccountId
    model: Hash
    deposit: U128


class DepositLost(Event):
    """The deposit could not be returned: it is not on the module's account any more."""

    owner: AccountId
    model: Hash
    denom: Denom
    deposit: U128
