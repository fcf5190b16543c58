"""How a chain begins with the models of another: everything that is stored, and the bytes of models and uploads.

Lives here: the fourth layer of the module `registry` - its genesis and its export. Must not: trust a verdict where it
has the bytes: a model that can be run is verified anew.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec.structs import replace

from modules.registry.errors import NoVerdict, UnknownParent, WrongChunk, WrongModelHash
from modules.registry.protocol import Chunk, Ending, Model, PriceChange, Upload
from modules.registry.uploads import ChunkData, Uploads, profile_of
from runtime import U16, U128, AccountId, DatedGenesis, Hash, MaxLen, ModelInfo, Struct
from runtime.limits import BLOB_CHUNKS_MAX

EVERYTHING: Final = 1 << 62
GENESIS_UPLOADS_MAX: Final = 1 << 20
"""More than fit into a genesis by their bytes."""
NODES_MAX: Final = (1 << 32) - 1
"""Of a model that is verified at height 0, where nobody pays for it."""


class GenesisChunk(Struct):
    """A chunk. data: None where only its hash is known yet."""

    name: Hash
    data: ChunkData | None


class GenesisBlob(Struct):
    """The chunks of an upload or a model. first: the number of the first; those before it have been cleared away."""

    uploader: AccountId
    model: Hash
    first: U16
    chunks: Annotated[tuple[GenesisChunk, ...], MaxLen(BLOB_CHUNKS_MAX)]


class GenesisUpload(Struct):
    """An upload under way, or one that is being cleared away."""

    uploader: AccountId
    model: Hash
    upload: Upload


class Beginning(Uploads):
    """Models, and a genesis that says all of them."""

    class GenesisConfig(DatedGenesis):
        """models: all that were ever registered. verdicts: on the retired ones. clearing: of the retired ones whose
        bytes still go, the deposit that returns then. blobs: the bytes of everything that holds any."""

        models: dict[Hash, Model] = {}
        verdicts: dict[Hash, ModelInfo] = {}
        clearing: dict[Hash, U128] = {}
        uploads: Annotated[tuple[GenesisUpload, ...], MaxLen(GENESIS_UPLOADS_MAX)] = ()
        blobs: Annotated[tuple[GenesisBlob, ...], MaxLen(GENESIS_UPLOADS_MAX)] = ()

    def genesis(self, config: GenesisConfig) -> None:
        """The models as they are; each that can be run is verified from its bytes. Raises WrongChunk, WrongModelHash,
        NoVerdict, UnknownParent, and what verification raises."""
        for blob in config.blobs:
            for index, chunk in enumerate(blob.chunks, blob.first):
                self._take(index, chunk)
                self.chunks[blob.uploader, blob.model, index] = Chunk(name=chunk.name, held=chunk.data is not None)
        for model, given in config.models.items():
            record = _dated(given, config)
            for parent in record.card.parents:
                if parent not in config.models:
                    raise UnknownParent(parent=parent)
            if record.retired is None:
                self._keep(model, replace(record, profile=profile_of(self._verified(model, record))))
            else:
                self._keep(model, record)
                self._keep_retired(model, record, config)
        for entry in config.uploads:
            upload = replace(entry.upload, expires=config.at(entry.upload.expires))
            self.uploads[entry.uploader, entry.model] = upload
            self.endings[upload.expires, entry.uploader, entry.model] = Ending(
                is_upload=True, owner=entry.uploader, denom=upload.deposit_denom, deposit=upload.deposit
            )

    def export_genesis(self) -> GenesisConfig:
        """Everything that is stored, and every chunk that is held; indexes follow from it."""
        blobs: dict[tuple[AccountId, Hash], list[tuple[int, GenesisChunk]]] = {}
        for (uploader, model, index), chunk in self.chunks.items(limit=EVERYTHING):
            data = self.blobs.read_chunk(chunk.name) if chunk.held else None
            blobs.setdefault((uploader, model), []).append((index, GenesisChunk(name=chunk.name, data=data)))
        endings = self.endings.items(limit=EVERYTHING)
        return self.GenesisConfig(
            models=dict(self.models.items(limit=EVERYTHING)),
            verdicts=dict(self.verdicts.items(limit=EVERYTHING)),
            clearing={model: ending.deposit for (_, _, model), ending in endings if not ending.is_upload},
            uploads=tuple(
                GenesisUpload(uploader=uploader, model=model, upload=upload)
                for (uploader, model), upload in self.uploads.items(limit=EVERYTHING)
            ),
            blobs=tuple(
                GenesisBlob(uploader=uploader, model=model, first=found[0][0], chunks=tuple(each for _, each in found))
                for (uploader, model), found in blobs.items()
            ),
        )

    # --- rules

    def _take(self, index: int, chunk: GenesisChunk) -> None:
        if chunk.data is not None:
            found = self.blobs.put_chunk(chunk.data)
            if found != chunk.name:
                raise WrongChunk(index=index, expected=chunk.name, found=found)

    def _verified(self, model: Hash, record: Model) -> ModelInfo:
        """The runtime's verdict on the bytes that are here."""
        chunks = self.chunks.items((record.uploader, model), limit=record.chunks)
        info = self.inference.admit(tuple(chunk.name for _, chunk in chunks), nodes_max=NODES_MAX)
        if info.model != model:
            raise WrongModelHash(expected=model, found=info.model)
        return info

    def _keep_retired(self, model: Hash, record: Model, config: GenesisConfig) -> None:
        verdict = config.verdicts.get(model)
        if verdict is None or record.retired is None:
            raise NoVerdict(model=model)
        self.verdicts[model] = verdict
        if model in config.clearing:
            self.endings[record.retired, record.uploader, model] = Ending(
                is_upload=False, owner=record.owner, denom=record.deposit_denom, deposit=config.clearing[model]
            )


def _dated(record: Model, config: DatedGenesis) -> Model:
    """The record with its heights on this chain."""
    change, retired = record.next_price, record.retired
    return replace(
        record,
        height=config.at(record.height),
        next_price=None if change is None else PriceChange(price=change.price, starts=config.at(change.starts)),
        retired=None if retired is None else config.at(retired),
    )
