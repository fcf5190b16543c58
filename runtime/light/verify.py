"""The light client: does this file prove what it says to someone who trusts only the genesis?

The chain of trust: the genesis names the first validators; the trail leads to the set that certified the header, whose
state root the proofs meet. Pure, bounded by the file's size, and total: every refusal is a ProofRefused that names the
part.
"""

from __future__ import annotations

from runtime.consensus import ValidatorSet
from runtime.errors import CodecError
from runtime.light.decision import DECISION_VERSION, DecisionCertificate
from runtime.light.query import QUERY_PROOF_VERSION, QueryProof, StateRead, decode_query_proof
from runtime.light.trail import ProofRefused, verify_header
from runtime.state import ProofError, ProvenState, verify_proof, verify_witness
from runtime.types import Hash


class DecisionRefused(ProofRefused):
    """A decision certificate that proves nothing."""

    WHAT = "decision certificate"


class QueryProofRefused(ProofRefused):
    """A query proof that proves nothing."""

    WHAT = "query proof"


def verify_decision(decision: DecisionCertificate, *, genesis_hash: Hash, validators: ValidatorSet) -> None:
    """Raise DecisionRefused unless `decision` follows from the genesis; `validators` is the set of height 1."""
    if decision.version != DECISION_VERSION:
        raise DecisionRefused("version", f"{decision.version} is not {DECISION_VERSION}, the one this program knows")
    verify_header(
        decision.header,
        decision.certificate,
        decision.trail,
        genesis_hash=genesis_hash,
        validators=validators,
        refused=DecisionRefused,
    )
    try:
        verify_proof(decision.header.state_root, decision.module, decision.key, decision.value, decision.proof)
    except ProofError as error:
        raise DecisionRefused(f"proof.{error.part}", error.reason) from None


def verify_read(read: StateRead, *, genesis_hash: Hash, validators: ValidatorSet) -> ProvenState:
    """The keys and values that `read` proves, to be read as a state; `validators` is the set of height 1. Raises
    QueryProofRefused."""
    verify_header(
        read.header,
        read.certificate,
        read.trail,
        genesis_hash=genesis_hash,
        validators=validators,
        refused=QueryProofRefused,
    )
    try:
        return verify_witness(read.header.state_root, read.witness)
    except ProofError as error:
        raise QueryProofRefused(f"witness.{error.part}", error.reason) from None


def verify_query_proof(data: bytes, *, genesis_hash: Hash, validators: ValidatorSet) -> tuple[QueryProof, ProvenState]:
    """The query proof in a file's bytes, with the proven state that its answer must follow from: all of it is verified
    but the answer, which takes the modules' code (runtime.execution.proving). Raises QueryProofRefused."""
    try:
        proof = decode_query_proof(data)
    except CodecError as error:
        raise QueryProofRefused(f"bytes{error.path.removeprefix('$')}", error.reason) from None
    if proof.version != QUERY_PROOF_VERSION:
        reason = f"{proof.version} is not {QUERY_PROOF_VERSION}, the one this program knows"
        raise QueryProofRefused("version", reason)
    return proof, verify_read(proof.read, genesis_hash=genesis_hash, validators=validators)
