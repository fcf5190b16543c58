"""The module `oracle`: runs registered models inside transactions and keeps a record of each run.

Lives here: the checks before a run, the payment, the records and their indexes. Must not: know how models run (the
runtime's Inference does).
"""

from __future__ import annotations

from typing import Annotated

from msgspec.structs import replace

from modules.oracle.labels import label_output, labels_of
from modules.oracle.protocol import OUTPUTS_MAX, ROWS_MAX, Labelled, Record
from modules.registry.protocol import Models, Profile, Standing
from modules.tokens.protocol import Ledger
from runtime import (
    U8,
    U16,
    U32,
    U64,
    AccountId,
    CallError,
    DatedGenesis,
    Event,
    Hash,
    Inference,
    InferenceRequest,
    Item,
    Map,
    MaxLen,
    Module,
    Signed,
    Tensor,
    Uses,
    call,
    hash_bytes,
    invariant,
    query,
)
from runtime.codec import codec

EVERYTHING = 1 << 62
OUTPUT_BYTES_MAX = 32 * 1024
PAGE_MAX = 64
INPUTS_MAX = 16
GENESIS_RECORDS_MAX = 1 << 20
"""More than fit into a genesis by their bytes."""

Inputs = Annotated[tuple[Tensor, ...], MaxLen(INPUTS_MAX)]
RecordIds = Annotated[tuple[U64, ...], MaxLen(PAGE_MAX)]


def inputs_hash(inputs: tuple[Tensor, ...]) -> Hash:
    """What a record says of its input: the same as runtime.inference.tensors_hash."""
    return hash_bytes("armillary/tensors", codec(Inputs).encode(inputs))


class Inferred(Event):
    """A model ran; the outputs are in record number `record`."""

    record: U64
    model: Hash
    caller: AccountId
    rows: U16


class UnknownModel(CallError):
    """No model of this hash is registered."""

    model: Hash


class ModelRetired(CallError):
    """The model's owner retired it: nobody can run it any more."""

    model: Hash


class ModelNotApproved(CallError):
    """The chain itself has not approved the model, or has revoked that: nobody can run it now."""

    model: Hash


class NoInput(CallError):
    """A run needs at least one input tensor, and its first dimension is the number of rows."""


class TooManyRows(CallError):
    """One call takes at most `limit` rows."""

    rows: U32
    limit: U32


class WrongNumber(CallError):
    """Records are numbered from 0 without a gap."""

    found: U64
    expected: U64


class OutputTooLarge(CallError):
    """The outputs of so many rows do not fit into a record."""

    bytes_needed: U64
    limit: U64


class TooManyOutputs(CallError):
    """The model has more outputs than a record holds."""

    outputs: U16
    limit: U16


class Oracle(Module):
    """Inference inside transactions. Every run leaves a record that a decision certificate can prove.
    Invariant: records are numbered without a gap, and each is found by its model and by its caller."""

    name = "oracle"
    next_id: Item[U64] = Item(default=0)
    records: Map[U64, Record] = Map()
    by_model: Map[tuple[Hash, U64], bool] = Map()
    by_caller: Map[tuple[AccountId, U64], bool] = Map()

    models: Uses[Models]
    ledger: Uses[Ledger]
    inference: Uses[Inference]

    class GenesisConfig(DatedGenesis):
        """records: of runs on a chain before this one, in the order of their numbers."""

        records: Annotated[tuple[Record, ...], MaxLen(GENESIS_RECORDS_MAX)] = ()

    def genesis(self, config: GenesisConfig) -> None:
        """The records as they are, of heights before this chain's first. Raises WrongNumber."""
        for number, record in enumerate(config.records):
            if record.id != number:
                raise WrongNumber(found=record.id, expected=number)
            self._keep(replace(record, height=config.at(record.height)))

    def export_genesis(self) -> GenesisConfig:
        """Every record."""
        return self.GenesisConfig(records=tuple(record for _, record in self.records.items(limit=EVERYTHING)))

    def _runs(self, *, model: Hash, inputs: Inputs) -> tuple[InferenceRequest, ...]:
        return (InferenceRequest(model, inputs),)

    @call(gas=50_000, infers=_runs)
    def infer(self, origin: Signed, *, model: Hash, inputs: Inputs) -> None:
        """Run a registered model on one or several rows of input, at most 256. `inputs` are the model's input tensors,
        sorted by name, each with its rows first. Pays the model's owner its price for each row."""
        terms = self.models.terms(model)
        if terms is None:
            raise UnknownModel(model=model)
        _check_standing(model, terms.standing)
        rows, profile = _rows(inputs), terms.profile
        _check_outputs(profile, rows)
        outputs = self.inference.run(model, inputs)
        price = rows * terms.price.amount
        self.ledger.move(origin.account, terms.owner, terms.price.denom, price)
        number = self.next_id
        self._keep(
            Record(
                id=number,
                model=model,
                input_hash=inputs_hash(inputs),
                rows=rows,
                outputs=outputs,
                caller=origin.account,
                height=self.height,
                gas=profile.gas_load + profile.gas_fixed + rows * profile.gas_per_row,
                paid=price,
                denom=terms.price.denom,
            )
        )
        self.emit(Inferred(record=number, model=model, caller=origin.account, rows=rows))

    # --- queries

    @query
    def record(self, *, id: U64) -> Record | None:
        """The record of this number; nothing where there is none."""
        return self.records.get(id)

    @query
    def count(self) -> U64:
        """How many records there are; they are numbered from 0."""
        return self.next_id

    @query
    def of_model(self, *, model: Hash, after: U64 | None, limit: U8) -> RecordIds:
        """Numbers of the model's records, ascending, from behind `after`, at most `limit` and 64."""
        start = None if after is None else (model, after)
        return tuple(number for _, number in self.by_model.keys((model,), limit=min(limit, PAGE_MAX), after=start))

    @query
    def of_caller(self, *, caller: AccountId, after: U64 | None, limit: U8) -> RecordIds:
        """Numbers of the records of this account's runs, ascending, from behind `after`, at most `limit` and 64."""
        start = None if after is None else (caller, after)
        return tuple(number for _, number in self.by_caller.keys((caller,), limit=min(limit, PAGE_MAX), after=start))

    @query
    def labelled(self, *, id: U64) -> Labelled | None:
        """What the model made of each row of a record, in the model's own names of classes; of a retired model too.
        Nothing where there is no such record, or the model names no classes that its outputs could say."""
        record = self.records.get(id)
        info = None if record is None else self.models.verdict(record.model)
        if record is None or info is None or not info.labels:
            return None
        name = label_output(info.outputs, len(info.labels))
        output = next((tensor for tensor in record.outputs if tensor.name == name), None)
        if output is None:
            return None
        return Labelled(output=output.name, labels=labels_of(output, info.labels))

    # --- for other modules (modules.oracle.protocol.Decisions)

    def decision(self, record: int) -> Record | None:
        """The record of this number; None where there is none."""
        return self.records.get(record)

    # --- rules

    def _keep(self, record: Record) -> None:
        """The next record, with its places in the indexes."""
        self.next_id = record.id + 1
        self.records[record.id] = record
        self.by_model[record.model, record.id] = True
        self.by_caller[record.caller, record.id] = True

    @invariant
    def records_are_numbered_and_indexed(self) -> None:
        """From 0 without a gap; both indexes name every record once and nothing else."""
        records = dict(self.records.items(limit=EVERYTHING))
        assert list(records) == list(range(self.next_id)), "the records' numbers have a gap"
        assert all(record.id == number for number, record in records.items()), "a record has another's number"
        models = {(record.model, number) for number, record in records.items()}
        callers = {(record.caller, number) for number, record in records.items()}
        assert set(self.by_model.keys(limit=EVERYTHING)) == models, "by_model is not records"
        assert set(self.by_caller.keys(limit=EVERYTHING)) == callers, "by_caller is not records"


def _rows(inputs: tuple[Tensor, ...]) -> int:
    """The number of rows, as the first tensor has it; whether the others agree is checked with the model."""
    if not inputs or not inputs[0].shape:
        raise NoInput()
    rows = inputs[0].shape[0]
    if rows > ROWS_MAX:
        raise TooManyRows(rows=rows, limit=ROWS_MAX)
    return rows


def _check_standing(model: Hash, standing: Standing) -> None:
    if standing is Standing.RETIRED:
        raise ModelRetired(model=model)
    if standing is Standing.NOT_APPROVED:
        raise ModelNotApproved(model=model)


def _check_outputs(profile: Profile, rows: int) -> None:
    """Before anything runs: will the record hold what comes out?"""
    if profile.outputs > OUTPUTS_MAX:
        raise TooManyOutputs(outputs=profile.outputs, limit=OUTPUTS_MAX)
    needed = rows * profile.output_bytes_per_row
    if needed > OUTPUT_BYTES_MAX:
        raise OutputTooLarge(bytes_needed=needed, limit=OUTPUT_BYTES_MAX)
