"""The module `registry`: models by hash, uploaded in chunks, proven exact before anyone can run them.

Lives here: what must always hold of them. The rest, a layer each: catalogue.py (registered models, their owners, their
approval), lineage.py (parents and children), uploads.py (how bytes come and go), beginning.py (models of a chain before
this one). Must not: run models (oracle does).
"""

from __future__ import annotations

from modules.registry.beginning import Beginning
from runtime import AccountId, Denom, Hash, invariant

EVERYTHING = 1 << 62


class Registry(Beginning):
    """Models by hash: owner, licence, version, parents, price; uploaded in chunks, verified before they can be run,
    approved where the chain requires that. Invariant: the module holds the deposits of all uploads and models."""

    @invariant
    def deposits_are_held(self) -> None:
        """The module's account holds at least what it owes for models and for what ends."""
        owed: dict[Denom, int] = {}
        for _, ending in self.endings.items(limit=EVERYTHING):
            owed[ending.denom] = owed.get(ending.denom, 0) + ending.deposit
        for _, model in self.models.items(limit=EVERYTHING):
            owed[model.deposit_denom] = owed.get(model.deposit_denom, 0) + model.deposit
        for denom, amount in owed.items():
            held = self.ledger.held(self.account, denom)
            assert held >= amount, f"the registry owes {amount} {denom} of deposits and holds {held}"

    @invariant
    def indexes_agree(self) -> None:
        """Every model has its one owner; what ends is each upload at its time, and models that are retired."""
        models = dict(self.models.items(limit=EVERYTHING))
        owned = set(self.owned.keys(limit=EVERYTHING))
        assert owned == {(record.owner, model) for model, record in models.items()}, "owned is not models"
        uploads = {(upload.expires, *key): upload for key, upload in self.uploads.items(limit=EVERYTHING)}
        endings = dict(self.endings.items(limit=EVERYTHING))
        assert set(uploads) == {key for key, ending in endings.items() if ending.is_upload}, "endings are not uploads'"
        for key, ending in endings.items():
            upload, (height, uploader, model) = uploads.get(key), key
            if upload is None:
                record = models[model]
                assert (record.retired, record.uploader, record.owner) == (height, uploader, ending.owner), (
                    "not retired"
                )
            else:
                assert (ending.owner, ending.denom, ending.deposit) == (
                    uploader, upload.deposit_denom, upload.deposit
                ), "an upload and its ending disagree"  # fmt: skip

    @invariant
    def chunks_are_those_of_uploads_and_models(self) -> None:
        """Chunks belong to an upload or a model, and all of them are there until it ends."""
        counted: dict[tuple[AccountId, Hash], list[bool]] = {}
        for (uploader, model, _), chunk in self.chunks.items(limit=EVERYTHING):
            counted.setdefault((uploader, model), []).append(chunk.held)
        for key, upload in self.uploads.items(limit=EVERYTHING):
            held = counted.pop(key, [])
            assert len(held) <= upload.chunks, "an upload has too many chunks"
            if upload.expires > self.height:
                assert len(held) == upload.chunks, "an upload lacks the name of a chunk"
                assert sum(held) == upload.held, "an upload's chunks are counted wrong"
        for model, record in self.models.items(limit=EVERYTHING):
            held = counted.pop((record.uploader, model), [])
            assert all(held), "a model has a chunk that is not held"
            if record.retired is None:
                assert len(held) == record.chunks, "a model lacks a chunk"
            elif (record.retired, record.uploader, model) not in self.endings:
                assert not held, "a retired model has bytes that nothing clears away"
        assert not counted, "chunks belong to nothing"

    @invariant
    def lineage_is_a_history(self) -> None:
        """Children are what parents say, backwards; nobody's parent came later."""
        models = dict(self.models.items(limit=EVERYTHING))
        said = {(parent, model) for model, record in models.items() for parent in record.card.parents}
        assert set(self.children.keys(limit=EVERYTHING)) == said, "children are not those of the parents"
        for parent, child in said:
            assert models[parent].height <= models[child].height, "a model is older than what it was made from"

    @invariant
    def verdicts_are_of_what_is_registered(self) -> None:
        """The runtime knows the models that are not retired; the registry remembers the others, and offers none."""
        for model, record in self.models.items(limit=EVERYTHING):
            known, kept = self.inference.describe(model), self.verdicts.get(model)
            info = known if record.retired is None else kept
            assert info is not None, "a model has no verdict"
            assert info.blob == record.blob, "a model has another's verdict"
            if record.retired is None:
                assert kept is None, "a verdict is kept twice"
            else:
                assert record.next_price is None, "a retired model gets another price"
                assert record.offered_to is None, "a retired model is offered"
                assert record.deposit == 0, "a retired model's deposit is owed twice"
