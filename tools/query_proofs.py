"""Query proofs for people: checked from the chain spec and the modules at hand, and put into words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from chain_spec import ResolvedChain
from runtime.execution import Application, UnknownQuery
from runtime.execution.proving import AnswerRefused, check_answer
from runtime.light import QueryProof, QueryProofRefused, verify_query_proof
from runtime.module import BlockInfo, QueryInfo
from tools.certificates import at_genesis, first_validators

SHOWN_CHARACTERS_MAX = 4096


@dataclass(frozen=True)
class VerifiedAnswer:
    """A question and its answer, as JSON shows them, with the proof that they follow from."""

    proof: QueryProof
    arguments: dict[str, Any]
    answer: Any


def verify_query_file(data: bytes, chain: ResolvedChain) -> VerifiedAnswer:
    """The answer that a query proof's bytes prove. Offline; trusts the chain spec and the modules that it names, with
    which the query is answered again, from the proven reads alone.

    Raises QueryProofRefused naming the part that fails.
    """
    application = at_genesis(chain)
    validators = first_validators(application)
    proof, state = verify_query_proof(data, genesis_hash=chain.genesis_hash, validators=validators)
    info = _query_of(application, proof)
    block = BlockInfo(proof.read.header.height, proof.read.header.time_ms)
    try:
        record, answer = check_answer(application, state, block, info, proof.arguments, proof.answer)
    except AnswerRefused as error:
        raise QueryProofRefused(error.part, error.reason) from None
    context = {"prefix": chain.genesis.address_prefix}
    return VerifiedAnswer(
        proof,
        TypeAdapter(info.arguments).dump_python(record, mode="json", context=context),
        TypeAdapter(info.result).dump_python(answer, mode="json", context=context),
    )


def _query_of(application: Application, proof: QueryProof) -> QueryInfo:
    try:
        return application.query_info(proof.module, proof.query)
    except UnknownQuery as error:
        part = "query" if proof.module in application.metadata else "module"
        raise QueryProofRefused(part, str(error)) from None


def describe_answer(verified: VerifiedAnswer) -> list[str]:
    """What a query proof says, a line each; a long answer is cut."""
    proof, read = verified.proof, verified.proof.read
    return [
        f"query        {proof.module}.{proof.query}",
        *(f"argument     {name} = {_short(value)}" for name, value in verified.arguments.items()),
        f"answer       {_short(verified.answer)}",
        f"state root   {read.header.state_root.hex()} after block {read.header.height}",
        f"certificate  {len(read.certificate.signatures)} validators' signatures in round {read.certificate.round}",
        f"trail        {len(read.trail)} changes of the validator set since the genesis",
    ]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[:SHOWN_CHARACTERS_MAX] + " ..."
