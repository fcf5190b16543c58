"""Verification without a node: from a chain's genesis to proven values, by pure functions over bytes."""

from runtime.light.decision import DecisionCertificate, decode_decision, encode_decision
from runtime.light.query import QueryProof, StateRead, decode_query_proof, encode_query_proof, is_query_proof
from runtime.light.trail import ProofRefused, TrailStep, verify_header
from runtime.light.verify import DecisionRefused, QueryProofRefused, verify_decision, verify_query_proof, verify_read

__all__ = [
    "DecisionCertificate",
    "DecisionRefused",
    "ProofRefused",
    "QueryProof",
    "QueryProofRefused",
    "StateRead",
    "TrailStep",
    "decode_decision",
    "decode_query_proof",
    "encode_decision",
    "encode_query_proof",
    "is_query_proof",
    "verify_decision",
    "verify_header",
    "verify_query_proof",
    "verify_read",
]
