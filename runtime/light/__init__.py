"""Verification without a node: from a chain's genesis to a proven value, by pure functions over bytes."""

from runtime.light.decision import DecisionCertificate, TrailStep, decode_decision, encode_decision
from runtime.light.verify import DecisionRefused, verify_decision

__all__ = [
    "DecisionCertificate",
    "DecisionRefused",
    "TrailStep",
    "decode_decision",
    "encode_decision",
    "verify_decision",
]
