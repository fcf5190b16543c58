"""Why a call or a query of the module `registry` fails."""

from __future__ import annotations

from runtime import U16, U32, U64, U128, AccountId, CallError, Denom, Hash, Name


class UnknownModel(CallError):
    """No model of this hash is registered."""

    model: Hash


class NotOwner(CallError):
    """Only the model's owner may do this."""

    model: Hash
    held_by: AccountId


class NotOffered(CallError):
    """The model is not offered to the signer."""

    model: Hash
    offered_to: AccountId | None


class AlreadyRetired(CallError):
    """The model was retired, for good."""

    model: Hash
    since: U64


class UnknownPriceDenom(CallError):
    """A price is in a denomination of this chain."""

    denom: Denom


class UnknownDepositDenom(CallError):
    """Deposits are in a denomination of this chain."""

    denom: Denom


class ParamOutOfRange(CallError):
    """A parameter is outside of what it can be."""

    param: Name
    low: U64
    high: U128


class NotRelated(CallError):
    """A page begins behind a path of the tree, and this step of it is none."""

    model: Hash
    relative: Hash


class ModelExists(CallError):
    """The model is registered already."""

    model: Hash


class UploadExists(CallError):
    """The signer is uploading this model already, or its dropped upload is still being cleared away."""

    model: Hash


class UnknownUpload(CallError):
    """The signer has no upload of this model under way."""

    model: Hash


class BadSize(CallError):
    """A model has 1 to `limit` bytes."""

    size_bytes: U64
    limit: U64


class WrongChunkCount(CallError):
    """The size makes another number of chunks: all are full but the last."""

    chunks: U16
    expected: U16


class NoSuchChunk(CallError):
    """The upload has no chunk of this number; they begin with 0."""

    index: U16
    chunks: U16


class ChunkHeld(CallError):
    """The chunk is here already."""

    index: U16


class WrongChunk(CallError):
    """The chunk's bytes are not those that were announced."""

    index: U16
    expected: Hash
    found: Hash


class WrongChunkSize(CallError):
    """All chunks are full but the last, which has the rest."""

    index: U16
    expected: U32
    found: U32


class ChunksMissing(CallError):
    """The upload is not complete."""

    held: U16
    chunks: U16


class WrongModelHash(CallError):
    """The uploaded bytes are another model."""

    expected: Hash
    found: Hash


class NoVerdict(CallError):
    """A retired model's verdict is kept; the genesis has none."""

    model: Hash


class UnknownParent(CallError):
    """A parent is a registered model."""

    parent: Hash


class RepeatedParent(CallError):
    """A parent is named once."""

    parent: Hash
