"""Uploads: how a model comes onto the chain, and how its bytes leave it.

Lives here: the third layer of the module `registry` - chunks, deposits, what a card may say, the end of uploads and of
retired models' bytes. Must not: verify models (the runtime's Inference does), keep chunks (the runtime's Blobs does).

An upload: `begin_upload` with the hashes of all chunks and a deposit; `upload_chunk` in any order, each checked against
its hash; `complete_upload`, which verifies. What is not completed in time is dropped, its deposit returned. Uploads of
different accounts do not touch each other, so nobody can block another's model by starting it first.
"""

from __future__ import annotations

from math import prod
from typing import Annotated

from msgspec.structs import replace

from modules.registry.catalogue import MODEL_BYTES_MAX
from modules.registry.errors import (
    BadSize,
    ChunkHeld,
    ChunksMissing,
    ModelExists,
    NoSuchChunk,
    RepeatedParent,
    UnknownParent,
    UnknownPriceDenom,
    UnknownUpload,
    UploadExists,
    WrongChunk,
    WrongChunkCount,
    WrongChunkSize,
    WrongModelHash,
)
from modules.registry.events import (
    ChunkUploaded,
    DepositLost,
    ModelCleared,
    ModelRegistered,
    UploadBegun,
    UploadDropped,
)
from modules.registry.lineage import Lineage
from modules.registry.protocol import PAGE_MAX, Approval, Card, Chunk, Ending, Model, Profile, Upload
from runtime import (
    U8,
    U16,
    U32,
    U64,
    AccountId,
    CallError,
    Denom,
    Hash,
    Map,
    MaxLen,
    ModelInfo,
    Signed,
    call,
    hook,
    query,
)
from runtime.limits import BLOB_CHUNK_BYTES_MAX, BLOB_CHUNKS_MAX

SWEPT_PER_BLOCK = 64
"""Chunks that one block drops at most, and uploads and models that it clears away at most."""

EndingKey = tuple[U64, AccountId, Hash]
ChunkNames = Annotated[tuple[Hash, ...], MaxLen(BLOB_CHUNKS_MAX)]
ChunkData = Annotated[bytes, MaxLen(BLOB_CHUNK_BYTES_MAX)]
IndexPage = Annotated[tuple[U16, ...], MaxLen(PAGE_MAX)]
ChunkPage = Annotated[tuple[Hash, ...], MaxLen(PAGE_MAX)]


class Uploads(Lineage):
    """Models, and how their bytes come and go."""

    uploads: Map[tuple[AccountId, Hash], Upload] = Map()
    chunks: Map[tuple[AccountId, Hash, U16], Chunk] = Map()

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
        self.endings[expires, origin.account, model] = Ending(
            is_upload=True, owner=origin.account, denom=denom, deposit=deposit
        )
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
        self._register(origin.account, upload, info)

    @call(gas=20_000)
    def cancel_upload(self, origin: Signed, *, model: Hash) -> None:
        """Give an upload up. It is cleared away and its deposit returned at the end of this block, or of the next ones
        where many wait."""
        upload = self._upload(origin.account, model)
        self.endings[self.height, origin.account, model] = self.endings[upload.expires, origin.account, model]
        del self.endings[upload.expires, origin.account, model]
        self.uploads[origin.account, model] = replace(upload, expires=self.height)

    # --- the end of bytes

    @hook(gas=60_000_000)
    def end_block(self) -> None:
        """Clear away uploads whose time is over and the bytes of retired models: a bounded number of chunks in each
        block, the rest in the next."""
        work = SWEPT_PER_BLOCK
        for key, ending in self.endings.items(limit=SWEPT_PER_BLOCK):
            if key[0] > self.height or work <= 0:
                return
            work -= self._sweep(key, ending, work)

    def _sweep(self, key: EndingKey, ending: Ending, work: int) -> int:
        """Drop at most `work` chunks, and with the last of them what they belong to. How much work it was."""
        _, uploader, model = key
        found = list(self.chunks.items((uploader, model), limit=work))
        for place, chunk in found:
            if chunk.held:
                self.blobs.drop_chunk(chunk.name)
            del self.chunks[place]
        if len(found) == work and next(iter(self.chunks.keys((uploader, model), limit=1)), None) is not None:
            return work
        del self.endings[key]
        returned = self._return(ending.owner, model, ending.denom, ending.deposit)
        if ending.is_upload:
            del self.uploads[uploader, model]
            self.emit(UploadDropped(owner=uploader, model=model, deposit=returned))
        else:
            self.emit(ModelCleared(owner=ending.owner, model=model, deposit=returned))
        return max(len(found), 1)

    def _return(self, to: AccountId, model: Hash, denom: Denom, deposit: int) -> int:
        """Return a deposit; how much went back. Where it is gone (Root may take any account's tokens), it is written
        off: a sweep that cannot go on would keep everything behind it."""
        try:
            with self.checkpoint():
                self.ledger.move(self.account, to, denom, deposit)
        except CallError:
            self.emit(DepositLost(owner=to, model=model, denom=denom, deposit=deposit))
            return 0
        return deposit

    # --- queries

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
        """Hashes of a registered model's chunks in order, from behind number `after`, at most `limit` and 64; of a
        retired one those that are still held."""
        record = self.models.get(model)
        if record is None:
            return ()
        start = None if after is None else (record.uploader, model, after)
        found = self.chunks.items((record.uploader, model), limit=min(limit, PAGE_MAX), after=start)
        return tuple(chunk.name for _, chunk in found)

    # --- rules

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
        for number, parent in enumerate(card.parents):
            if parent in card.parents[:number]:
                raise RepeatedParent(parent=parent)
            if parent not in self.models:
                raise UnknownParent(parent=parent)
        if not self.ledger.has_denom(card.price.denom):
            raise UnknownPriceDenom(denom=card.price.denom)

    def _check_layout(self, size_bytes: int, chunks: int) -> None:
        limit = min(self.params.model_bytes_max, MODEL_BYTES_MAX)
        if not 1 <= size_bytes <= limit:
            raise BadSize(size_bytes=size_bytes, limit=limit)
        expected = -(-size_bytes // BLOB_CHUNK_BYTES_MAX)
        if chunks != expected:
            raise WrongChunkCount(chunks=chunks, expected=expected)

    def _end(self, owner: AccountId, model: Hash, upload: Upload) -> None:
        del self.uploads[owner, model]
        del self.endings[upload.expires, owner, model]

    def _keep(self, model: Hash, record: Model) -> None:
        """A registered model, with its places in the indexes."""
        self.models[model] = record
        self.owned[record.owner, model] = True
        for parent in record.card.parents:
            self.children[parent, model] = True

    def _register(self, owner: AccountId, upload: Upload, info: ModelInfo) -> None:
        made = Model(
            owner=owner,
            uploader=owner,
            card=upload.card,
            size_bytes=upload.size_bytes,
            chunks=upload.chunks,
            blob=upload.blob,
            deposit=upload.deposit,
            deposit_denom=upload.deposit_denom,
            height=self.height,
            profile=profile_of(info),
            approval=Approval.UNDECIDED,
            next_price=None,
            offered_to=None,
            retired=None,
        )
        self._keep(info.model, made)
        self.emit(
            ModelRegistered(
                model=info.model,
                owner=owner,
                gas_load=info.gas_load,
                gas_fixed=info.gas_fixed,
                gas_per_row=info.gas_per_row,
            )
        )


def _chunk_bytes(size_bytes: int, index: int) -> int:
    """How many bytes chunk number `index` has."""
    return min(BLOB_CHUNK_BYTES_MAX, size_bytes - index * BLOB_CHUNK_BYTES_MAX)


def profile_of(info: ModelInfo) -> Profile:
    """What a run takes and leaves: its outputs are 64-bit integers."""
    return Profile(
        gas_load=info.gas_load,
        gas_fixed=info.gas_fixed,
        gas_per_row=info.gas_per_row,
        outputs=len(info.outputs),
        output_bytes_per_row=8 * sum(prod(output.shape) for output in info.outputs),
    )
