"""Decision certificates for people: checked from the chain spec alone, and put into words."""

from __future__ import annotations

from collections.abc import Sequence

from chain_spec import ResolvedChain
from modules.oracle import Oracle
from modules.oracle.labels import integers_of
from modules.oracle.protocol import Record
from runtime.bech32m import encode_address
from runtime.codec import codec
from runtime.consensus import Validator, ValidatorSet
from runtime.errors import CodecError
from runtime.execution import Application
from runtime.light import DecisionCertificate, DecisionRefused, decode_decision, verify_decision
from runtime.module import Tensor
from runtime.state import MemoryStore

SHOWN_VALUES_MAX = 16


def verify_file(data: bytes, chain: ResolvedChain) -> tuple[DecisionCertificate, Record]:
    """The certificate in a file's bytes and the record that it proves. Offline; trusts the chain spec and nothing else.

    Raises DecisionRefused naming the part that fails.
    """
    try:
        decision = decode_decision(data)
    except CodecError as error:
        raise DecisionRefused(f"bytes{error.path.removeprefix('$')}", error.reason) from None
    verify_decision(decision, genesis_hash=chain.genesis_hash, validators=first_validators(at_genesis(chain)))
    return decision, _record(decision)


def at_genesis(chain: ResolvedChain) -> Application:
    """The chain at height 0, in RAM."""
    application = Application(chain.genesis, chain.modules, MemoryStore())
    application.start()
    return application


def first_validators(application: Application) -> ValidatorSet:
    """The validator set of height 1, of a chain at height 0."""
    return ValidatorSet.of(Validator(each.public_key, each.power) for each in application.validators())


def _record(decision: DecisionCertificate) -> Record:
    """The oracle's record under the certificate's key. Raises DecisionRefused when the value is something else."""
    try:
        record: Record = codec(Record).decode(decision.value)
    except CodecError as error:
        raise DecisionRefused(f"value{error.path.removeprefix('$')}", f"is no oracle record: {error.reason}") from None
    if decision.module != Oracle.name or decision.key != Oracle.records.storage_key(record.id):
        raise DecisionRefused("key", f"is not that of record {record.id} of module {Oracle.name}")
    return record


def describe(decision: DecisionCertificate, record: Record, prefix: str) -> list[str]:
    """What a certificate says, a line each."""
    signers, header = len(decision.certificate.signatures), decision.header
    return [
        f"record       {record.id}, made at height {record.height}",
        f"model        {record.model.hex()}",
        f"input hash   {record.input_hash.hex()}  ({record.rows} rows)",
        *(f"output       {tensor.name} {_values(tensor)}" for tensor in record.outputs),
        f"caller       {encode_address(record.caller, prefix)}, gas {record.gas:,}, paid {record.paid} {record.denom}",
        f"state root   {header.state_root.hex()} after block {header.height}",
        f"certificate  {signers} validators' signatures in round {decision.certificate.round}",
        f"trail        {len(decision.trail)} changes of the validator set since the genesis",
    ]


def _values(tensor: Tensor) -> str:
    return f"[{' x '.join(map(str, tensor.shape))}] = {shown(integers_of(tensor))}"


def shown(values: Sequence[object]) -> str:
    """The first of them, in a line; what a terminal would not print as it is becomes a question mark."""
    line = ", ".join(map(str, values[:SHOWN_VALUES_MAX])) + (", ..." if len(values) > SHOWN_VALUES_MAX else "")
    return "".join(character if character.isprintable() else "?" for character in line)
