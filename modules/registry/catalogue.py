"""Registered models: what their owners do with them, what governance says of them, how others read them.

Lives here: the first layer of the module `registry` - parameters, records, price, ownership, approval, retirement. Must
not: know how a model comes here (uploads.py), walk from model to model (lineage.py).
"""

from __future__ import annotations

from typing import Annotated

from msgspec.structs import replace

from modules.registry.errors import (
    AlreadyRetired,
    NotOffered,
    NotOwner,
    ParamOutOfRange,
    UnknownDepositDenom,
    UnknownModel,
    UnknownPriceDenom,
)
from modules.registry.events import ApprovalChanged, MetadataSet, ModelOffered, ModelRetired, ModelTransferred, PriceSet
from modules.registry.protocol import (
    PAGE_MAX,
    Approval,
    Ending,
    Licence,
    Model,
    Price,
    PriceChange,
    Remarks,
    Standing,
    Terms,
    Title,
    Version,
    price_at,
)
from modules.tokens.protocol import Ledger
from runtime import (
    U8,
    U32,
    U64,
    U128,
    AccountId,
    Blobs,
    Denom,
    Hash,
    Inference,
    Map,
    MaxLen,
    ModelInfo,
    Module,
    ModuleParams,
    Name,
    Root,
    Signed,
    Struct,
    Uses,
    call,
    query,
)
from runtime.limits import BLOB_CHUNK_BYTES_MAX, BLOB_CHUNKS_MAX

BLOCKS_MAX = 10_000_000
"""The longest time for an upload, the longest notice of a price."""
MODEL_BYTES_MAX = BLOB_CHUNKS_MAX * BLOB_CHUNK_BYTES_MAX
AMOUNT_MAX = (1 << 128) - 1


class ModelEntry(Struct):
    """A model under its hash."""

    model: Hash
    record: Model


class ModelView(Struct):
    """A model, and the runtime's verdict on it: inputs, outputs, labels, gas. standing: whether it can be run now;
    price: of a run now."""

    record: Model
    info: ModelInfo
    standing: Standing
    price: Price


ModelPage = Annotated[tuple[ModelEntry, ...], MaxLen(PAGE_MAX)]


class Catalogue(Module):
    """Models by hash: owner, licence, version, parents, price, approval."""

    name = "registry"
    models: Map[Hash, Model] = Map()
    owned: Map[tuple[AccountId, Hash], bool] = Map()
    verdicts: Map[Hash, ModelInfo] = Map()
    endings: Map[tuple[U64, AccountId, Hash], Ending] = Map()

    ledger: Uses[Ledger]
    blobs: Uses[Blobs]
    inference: Uses[Inference]

    class Params(ModuleParams):
        """deposit_*: what the space of a model costs while it is held; returned when an upload ends without a model, or
        a retired model's space is cleared. upload_blocks: how long an upload may take. price_notice_blocks: how long
        before it holds a higher price must be announced. approval_required: models run only once governance approved
        them."""

        deposit_denom: Denom = Denom("arm")
        deposit_base: U128 = 1_000
        deposit_per_byte: U128 = 1
        upload_blocks: U32 = 10_000
        model_bytes_max: U64 = 64 * 1024 * 1024
        price_notice_blocks: U32 = 1_000
        approval_required: bool = False

    def check_params(self) -> None:
        """A deposit can be paid, and an upload can be completed."""
        params = self.params
        if not self.ledger.has_denom(params.deposit_denom):
            raise UnknownDepositDenom(denom=params.deposit_denom)
        per_byte_max = (AMOUNT_MAX - params.deposit_base) // MODEL_BYTES_MAX
        for name, value, low, high in (
            ("upload_blocks", params.upload_blocks, 1, BLOCKS_MAX),
            ("model_bytes_max", params.model_bytes_max, 1, MODEL_BYTES_MAX),
            ("price_notice_blocks", params.price_notice_blocks, 0, BLOCKS_MAX),
            ("deposit_per_byte", params.deposit_per_byte, 0, per_byte_max),
        ):
            if not low <= value <= high:
                raise ParamOutOfRange(param=Name(name), low=low, high=high)

    # --- calls of the owner

    @call(gas=20_000)
    def set_price(self, origin: Signed, *, model: Hash, price: Price) -> None:
        """Set the price of a row. One that is not higher, in the same denomination, holds at once; any other holds
        `price_notice_blocks` later, so that nobody pays more than what the chain said when they signed, if their
        transaction's last valid height is within the notice. It takes the place of what was announced before."""
        record = self._mine(origin, model)
        if not self.ledger.has_denom(price.denom):
            raise UnknownPriceDenom(denom=price.denom)
        now = price_at(record, self.height)
        is_lower = price.denom == now.denom and price.amount <= now.amount
        notice = 0 if is_lower else self.params.price_notice_blocks
        starts = self.height + notice
        self.models[model] = replace(
            record,
            card=replace(record.card, price=now if notice else price),
            next_price=PriceChange(price=price, starts=starts) if notice else None,
        )
        self.emit(PriceSet(model=model, price=price, starts=starts))

    @call(gas=20_000)
    def set_metadata(
        self, origin: Signed, *, model: Hash, title: Title, version: Version, licence: Licence, remarks: Remarks
    ) -> None:
        """Say all that is for people anew; also of a retired model, to name what takes its place. Parents stay what
        they were: descendants and their users rely on them."""
        record = self._owned(origin, model)
        card = replace(record.card, title=title, version=version, licence=licence, remarks=remarks)
        self.models[model] = replace(record, card=card)
        self.emit(MetadataSet(model=model))

    @call(gas=20_000)
    def offer(self, origin: Signed, *, model: Hash, to: AccountId | None) -> None:
        """Offer the model to an account, which owns it once it accepts; no account takes the offer back. Two steps,
        because ownership holds a deposit and answers for a licence: a mistyped account must not get it for good, and
        nobody must get it unasked. Until then the present owner decides and is paid."""
        record = self._mine(origin, model)
        self.models[model] = replace(record, offered_to=to)
        self.emit(ModelOffered(model=model, owner=origin.account, to=to))

    @call(gas=20_000)
    def accept(self, origin: Signed, *, model: Hash) -> None:
        """Take a model that is offered to the signer. What its runs pay goes to the new owner from now on, and so does
        the deposit, should the model be retired. Price, approval and lineage stay."""
        record = self._known(model)
        if record.offered_to != origin.account:
            raise NotOffered(model=model, offered_to=record.offered_to)
        del self.owned[record.owner, model]
        self.owned[origin.account, model] = True
        self.models[model] = replace(record, owner=origin.account, offered_to=None)
        self.emit(ModelTransferred(model=model, sender=record.owner, recipient=origin.account, deposit=record.deposit))

    @call(gas=30_000)
    def retire(self, origin: Signed, *, model: Hash) -> None:
        """End all runs of the model, for good. Its record, lineage, verdict and past decisions stay, and certificates
        prove what they proved; its bytes leave the chain at the end of this block, or of the next ones where many wait,
        and the deposit then returns to the owner. Nobody can register the model again."""
        record, info = self._mine(origin, model), self.verdict(model)
        if info is not None:
            self.verdicts[model] = info
            self.inference.forget(model)
        self.models[model] = replace(
            record,
            card=replace(record.card, price=price_at(record, self.height)),
            deposit=0,
            next_price=None,
            offered_to=None,
            retired=self.height,
        )
        self.endings[self.height, record.uploader, model] = Ending(
            is_upload=False, owner=record.owner, denom=record.deposit_denom, deposit=record.deposit
        )
        self.emit(ModelRetired(model=model, owner=origin.account))

    # --- calls of the chain itself

    @call(gas=20_000)
    def approve(self, origin: Root, *, model: Hash) -> None:
        """Say that the model may run; also where the chain requires no approval yet, and after a revocation. Of a
        retired model it says nothing new, and does no harm: its owner must not be able to fail a list of calls."""
        self._decide(model, Approval.APPROVED)

    @call(gas=20_000)
    def revoke(self, origin: Root, *, model: Hash) -> None:
        """Say that the model may not run, whether the chain requires approval or not. Nothing else of it changes, and
        `approve` undoes it."""
        self._decide(model, Approval.REVOKED)

    # --- queries

    @query
    def model(self, *, model: Hash) -> ModelView | None:
        """A registered model: what its owner says; inputs, outputs, labels and gas as verified; whether it can be run,
        and its price now. Nothing where there is none."""
        record, info = self.models.get(model), self.verdict(model)
        if record is None or info is None:
            return None
        return ModelView(record=record, info=info, standing=self._standing(record), price=price_at(record, self.height))

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

    # --- for other modules (modules.registry.protocol.Models)

    def terms(self, model: Hash) -> Terms | None:
        """The terms on which a registered model runs in this block; None where it is not registered."""
        record = self.models.get(model)
        if record is None:
            return None
        return Terms(
            standing=self._standing(record),
            profile=record.profile,
            owner=record.owner,
            price=price_at(record, self.height),
        )

    def verdict(self, model: Hash) -> ModelInfo | None:
        """Inputs, outputs, labels and gas of a registered model as verified, retired ones included; else None."""
        return self.inference.describe(model) or self.verdicts.get(model)

    # --- rules

    def _standing(self, record: Model) -> Standing:
        if record.retired is not None:
            return Standing.RETIRED
        if record.approval is Approval.APPROVED:
            return Standing.RUNS
        is_missed = record.approval is Approval.REVOKED or self.params.approval_required
        return Standing.NOT_APPROVED if is_missed else Standing.RUNS

    def _decide(self, model: Hash, approval: Approval) -> None:
        self.models[model] = replace(self._known(model), approval=approval)
        self.emit(ApprovalChanged(model=model, approval=approval))

    def _known(self, model: Hash) -> Model:
        record = self.models.get(model)
        if record is None:
            raise UnknownModel(model=model)
        return record

    def _owned(self, origin: Signed, model: Hash) -> Model:
        record = self._known(model)
        if record.owner != origin.account:
            raise NotOwner(model=model, held_by=record.owner)
        return record

    def _mine(self, origin: Signed, model: Hash) -> Model:
        """The signer's model, not retired."""
        record = self._owned(origin, model)
        if record.retired is not None:
            raise AlreadyRetired(model=model, since=record.retired)
        return record
