"""The module `registry`: models by hash, uploaded in chunks, proven exact before anyone can run them.

Lives here: uploads, deposits, what a model's owner says of it. Must not: run models (oracle), verify them (the
runtime's Inference does), keep chunks (the runtime's Blobs does).

An upload: `begin_upload` with the hashes of all chunks and a deposit; `upload_chunk` in any order, each checked against
its hash; `complete_upload`, which verifies. What is not completed in time is dropped, its deposit returned. Uploads of
different accounts do not touch each other, so nobody can block another's model by starting it first.
"""

from __future__ import annotations

from typing import Annotated

from msgspec.structs import replace

from modules.registry.protocol import PAGE_MAX, Card, Chunk, Model, Terms, Upload
from modules.tokens.protocol import Ledger
from runtime import (
    U8,
    U16,
    U32,
    U64,
    U128,
    AccountId,
    Blobs,
    CallError,
    Denom,
    Event,
    Hash,
    Inference,
    Map,
    MaxLen,
    ModelInfo,
    Module,
    ModuleParams,
    Signed,
    Struct,
    Uses,
    call,
    hook,
    invariant,
    query,
)
from runtime.limits import BLOB_CHUNK_BYTES_MAX, BLOB_CHUNKS_MAX

EVERYTHING = 1 << 62
SWEPT_PER_BLOCK = 64
"""Chunks that one block drops at most, and uploads that it ends at most."""

ChunkNames = Annotated[tuple[Hash, ...], MaxLen(BLOB_CHUNKS_MAX)]
ChunkData = Annotated[bytes, MaxLen(BLOB_CHUNK_BYTES_MAX)]


class ModelEntry(Struct):
    """A model under its hash."""

    model: Hash
    record: Model


class ModelView(Struct):
    """A model and the runtime's verdict on it: inputs, outputs, labels, gas."""

    record: Model
    info: ModelInfo


ModelPage = Annotated[tuple[ModelEntry, ...], MaxLen(PAGE_MAX)]
IndexPage = Annotated[tuple[U16, ...], MaxLen(PAGE_MAX)]
ChunkPage = Annotated[tuple[Hash, ...], MaxLen(PAGE_MAX)]


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
    """The model is proven exact and can be run."""

    model: Hash
    owner: AccountId
    gas_load: U64
    gas_fixed: U64
    gas_per_row: U64


class UploadDropped(Event):
    """An upload was cancelled or not completed in time; the deposit went back."""

    owner: AccountId
    model: Hash
    deposit: U128


class UnknownModel(CallError):
    """No model of this hash is registered."""

    model: Hash


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


class UnknownParent(CallError):
    """A parent is a registered model."""

    parent: Hash


class UnknownPriceDenom(CallError):
    """A price is in a denomination of this chain."""

    denom: Denom


class Registry(Module):
    """Models by hash: owner, licence, version, parents, price; uploaded in chunks, verified before they can be run.
    Invariant: the module holds the deposits of all uploads and models."""

    name = "registry"
    models: Map[Hash, Model] = Map()
    owned: Map[tuple[AccountId, Hash], bool] = Map()
    uploads: Map[tuple[AccountId, Hash], Upload] = Map()
    chunks: Map[tuple[AccountId, Hash, U16], Chunk] = Map()
    expiries: Map[tuple[U64, AccountId, Hash], bool] = Map()

    ledger: Uses[Ledger]
    blobs: Uses[Blobs]
    inference: Uses[Inference]

    class Params(ModuleParams):
        """deposit_*: what the space of a model costs while it is held; returned when an upload ends without a model.
        upload_blocks: how long an upload may take."""

        deposit_denom: Denom = "arm"
        deposit_base: U128 = 1_000
        deposit_per_byte: U128 = 1
        upload_blocks: U32 = 10_000
        model_bytes_max: U64 = 64 * 1024 * 1024

    # --- calls

    @call(gas=50_000)
    def begin_upload(self, origin: Signed, *, model: Hash, size_bytes: U64, chunks: ChunkNames, card: Card) -> None:
        """Announce a model: its hash, its size, the hashes of its chunks in order (all full but the last), and what is
        to be said of it. Takes a deposit."""
        self._check_new(origin.account, model)
        self._check_card(card)
        self._check_layout(size_bytes, len(chunks))
        deposit = self.params.deposit_base + self.params.deposit_per_byte * size_bytes
        denom = self.params.deposit_denom
        self.ledger.move(origin.account, self.account, denom, deposit)
        for index, name in enumerate(chunks):
            self.chunks[origin.account, model, index] = Chunk(name=name, held=False)
        expires = self.height + self.params.upload_blocks
        self.uploads[origin.account, model] = Upload(
            card=card,
            size_bytes=size_bytes,
            chunks=len(chunks),
            held=0,
            blob=self.blobs.blob_root(chunks),
            deposit=deposit,
            deposit_denom=denom,
            expires=expires,
        )
        self.expiries[expires, origin.account, model] = True
        self.emit(
            UploadBegun(owner=origin.account, model=model, size_bytes=size_bytes, deposit=deposit, expires=expires)
        )

    @call(gas=20_000)
    def upload_chunk(self, origin: Signed, *, model: Hash, index: U16, data: ChunkData) -> None:
        """Bring chunk number `index` of an upload. In any order, each once."""
        upload = self._upload(origin.account, model)
        chunk = self.chunks.get((origin.account, model, index))
        if chunk is None:
            raise NoSuchChunk(index=index, chunks=upload.chunks)
        if chunk.held:
            raise ChunkHeld(index=index)
        expected = _chunk_bytes(upload.size_bytes, index)
        if len(data) != expected:
            raise WrongChunkSize(index=index, expected=expected, found=len(data))
        found = self.blobs.put_chunk(data)
        if found != chunk.name:
            raise WrongChunk(index=index, expected=chunk.name, found=found)
        held = upload.held + 1
        self.chunks[origin.account, model, index] = Chunk(name=found, held=True)
        self.uploads[origin.account, model] = replace(upload, held=held)
        self.emit(ChunkUploaded(owner=origin.account, model=model, index=index, held=held))

    @call(gas=50_000)
    def complete_upload(self, origin: Signed, *, model: Hash, nodes_max: U32) -> None:
        """Verify an upload whose chunks are all here, and register it. The verification is charged before it starts,
        from the size and `nodes_max`; a model with more nodes is refused. The deposit stays with the model."""
        upload = self._upload(origin.account, model)
        if model in self.models:
            raise ModelExists(model=model)
        if upload.held < upload.chunks:
            raise ChunksMissing(held=upload.held, chunks=upload.chunks)
        names = tuple(chunk.name for _, chunk in self.chunks.items((origin.account, model), limit=upload.chunks))
        info = self.inference.admit(names, nodes_max=nodes_max)
        if info.model != model:
            raise WrongModelHash(expected=model, found=info.model)
        self._end(origin.account, model, upload)
        self.models[model] = Model(
            owner=origin.account,
            card=upload.card,
            size_bytes=upload.size_bytes,
            chunks=upload.chunks,
            blob=upload.blob,
            deposit=upload.deposit,
            deposit_denom=upload.deposit_denom,
            height=self.height,
        )
        self.owned[origin.account, model] = True
        self.emit(
            ModelRegistered(
                model=model,
                owner=origin.account,
                gas_load=info.gas_load,
                gas_fixed=info.gas_fixed,
                gas_per_row=info.gas_per_row,
            )
        )

    @call(gas=20_000)
    def cancel_upload(self, origin: Signed, *, model: Hash) -> None:
        """Give an upload up. It is cleared away and its deposit returned at the end of this block, or of the next ones
        where many wait."""
        upload = self._upload(origin.account, model)
        del self.expiries[upload.expires, origin.account, model]
        self.expiries[self.height, origin.account, model] = True
        self.uploads[origin.account, model] = replace(upload, expires=self.height)

    # --- the end of uploads

    @hook(gas=60_000_000)
    def end_block(self) -> None:
        """Clear away uploads whose time is over: a bounded number of chunks in each block, the rest in the next."""
        work = SWEPT_PER_BLOCK
        for expires, owner, model in self.expiries.keys(limit=SWEPT_PER_BLOCK):
            if expires > self.height or work <= 0:
                return
            work -= self._sweep(owner, model, work)

    def _sweep(self, owner: AccountId, model: Hash, work: int) -> int:
        """Drop at most `work` chunks of an upload, and the upload with the last of them. How much work it was."""
        upload = self.uploads[owner, model]
        found = list(self.chunks.items((owner, model), limit=work))
        for key, chunk in found:
            if chunk.held:
                self.blobs.drop_chunk(chunk.name)
            del self.chunks[key]
        if len(found) == work and next(iter(self.chunks.keys((owner, model), limit=1)), None) is not None:
            return work
        self._end(owner, model, upload)
        self.ledger.move(self.account, owner, upload.deposit_denom, upload.deposit)
        self.emit(UploadDropped(owner=owner, model=model, deposit=upload.deposit))
        return max(len(found), 1)

    # --- queries

    @query
    def model(self, *, model: Hash) -> ModelView | None:
        """A registered model: what its owner says, and inputs, outputs, labels and gas as verified."""
        record, info = self.models.get(model), self.inference.describe(model)
        return None if record is None or info is None else ModelView(record=record, info=info)

    @query
    def page(self, *, after: Hash | None, limit: U8) -> ModelPage:
        """Registered models by ascending hash, from behind `after`, at most `limit` and 64."""
        found = self.models.items(limit=min(limit, PAGE_MAX), after=after)
        return tuple(ModelEntry(model=model, record=record) for model, record in found)

    @query
    def owned_by(self, *, owner: AccountId, after: Hash | None, limit: U8) -> ModelPage:
        """The owner's models by ascending hash, from behind `after`, at most `limit` and 64."""
        start = None if after is None else (owner, after)
        keys = self.owned.keys((owner,), limit=min(limit, PAGE_MAX), after=start)
        return tuple(ModelEntry(model=model, record=self.models[model]) for _, model in keys)

    @query
    def upload(self, *, owner: AccountId, model: Hash) -> Upload | None:
        """An upload under way; nothing where there is none."""
        return self.uploads.get((owner, model))

    @query
    def missing_chunks(self, *, owner: AccountId, model: Hash, after: U16 | None, limit: U8) -> IndexPage:
        """Numbers of chunks that an upload still lacks, among the next `limit` (at most 64) from behind `after`."""
        start = None if after is None else (owner, model, after)
        found = self.chunks.items((owner, model), limit=min(limit, PAGE_MAX), after=start)
        return tuple(index for (_, _, index), chunk in found if not chunk.held)

    @query
    def chunk_names(self, *, model: Hash, after: U16 | None, limit: U8) -> ChunkPage:
        """Hashes of a registered model's chunks in order, from behind number `after`, at most `limit` and 64."""
        record = self.models.get(model)
        if record is None:
            return ()
        start = None if after is None else (record.owner, model, after)
        found = self.chunks.items((record.owner, model), limit=min(limit, PAGE_MAX), after=start)
        return tuple(chunk.name for _, chunk in found)

    # --- for other modules (modules.registry.protocol.Models)

    def terms(self, model: Hash) -> Terms | None:
        """The owner and the price of a registered model; None where it is not registered."""
        record = self.models.get(model)
        return None if record is None else Terms(owner=record.owner, price=record.card.price)

    # --- rules

    @invariant
    def deposits_are_held(self) -> None:
        """The module's account holds at least what it owes for uploads and models."""
        owed: dict[Denom, int] = {}
        for _, upload in self.uploads.items(limit=EVERYTHING):
            owed[upload.deposit_denom] = owed.get(upload.deposit_denom, 0) + upload.deposit
        for _, model in self.models.items(limit=EVERYTHING):
            owed[model.deposit_denom] = owed.get(model.deposit_denom, 0) + model.deposit
        for denom, amount in owed.items():
            held = self.ledger.held(self.account, denom)
            assert held >= amount, f"the registry owes {amount} {denom} of deposits and holds {held}"

    @invariant
    def indexes_agree(self) -> None:
        """Every upload has its one expiry; every model its one owner; chunks belong to an upload or a model."""
        uploads = dict(self.uploads.items(limit=EVERYTHING))
        models = dict(self.models.items(limit=EVERYTHING))
        expiries = {(owner, model): expires for expires, owner, model in self.expiries.keys(limit=EVERYTHING)}
        assert expiries == {key: upload.expires for key, upload in uploads.items()}, "expiries are not the uploads'"
        owned = set(self.owned.keys(limit=EVERYTHING))
        assert owned == {(record.owner, model) for model, record in models.items()}, "owned is not models"
        counted: dict[tuple[AccountId, Hash], list[bool]] = {}
        for (owner, model, _), chunk in self.chunks.items(limit=EVERYTHING):
            counted.setdefault((owner, model), []).append(chunk.held)
        for key in counted:
            assert key in uploads or key in owned, "chunks belong to nothing"
        for (owner, model), upload in uploads.items():
            held = counted.get((owner, model), [])
            assert len(held) <= upload.chunks, "an upload has too many chunks"
            if upload.expires > self.height:
                assert len(held) == upload.chunks, "an upload lacks the name of a chunk"
                assert sum(held) == upload.held, "an upload's chunks are counted wrong"
        for model, record in models.items():
            assert counted.get((record.owner, model)) == [True] * record.chunks, "a model lacks a chunk"

    # --- checks

    def _upload(self, owner: AccountId, model: Hash) -> Upload:
        upload = self.uploads.get((owner, model))
        if upload is None or upload.expires <= self.height:
            raise UnknownUpload(model=model)
        return upload

    def _check_new(self, owner: AccountId, model: Hash) -> None:
        if model in self.models:
            raise ModelExists(model=model)
        if (owner, model) in self.uploads:
            raise UploadExists(model=model)

    def _check_card(self, card: Card) -> None:
        for parent in card.parents:
            if parent not in self.models:
                raise UnknownParent(parent=parent)
        if not self.ledger.has_denom(card.price.denom):
            raise UnknownPriceDenom(denom=card.price.denom)

    def _check_layout(self, size_bytes: int, chunks: int) -> None:
        limit = min(self.params.model_bytes_max, BLOB_CHUNKS_MAX * BLOB_CHUNK_BYTES_MAX)
        if not 1 <= size_bytes <= limit:
            raise BadSize(size_bytes=size_bytes, limit=limit)
        expected = -(-size_bytes // BLOB_CHUNK_BYTES_MAX)
        if chunks != expected:
            raise WrongChunkCount(chunks=chunks, expected=expected)

    def _end(self, owner: AccountId, model: Hash, upload: Upload) -> None:
        del self.uploads[owner, model]
        del self.expiries[upload.expires, owner, model]


def _chunk_bytes(size_bytes: int, index: int) -> int:
    """How many bytes chunk number `index` has."""
    return min(BLOB_CHUNK_BYTES_MAX, size_bytes - index * BLOB_CHUNK_BYTES_MAX)
