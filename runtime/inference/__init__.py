"""Exact inference: models whose every value is an integer, proven before they run, the same bits on every machine.

graph        the exact-grid graph: ops as functions of integers, canonical bytes
verifier     bytes -> Verified, or Refused naming node, rule and values; integers only, consensus-critical
interpreter  the reference: Python's integers, slow and obvious
engine       runs verified graphs in onnxruntime, the one file that imports it
self_test    whether this machine computes as the proof assumes
tensors      named int64 tensors on the wire; the check of inputs against a graph
"""

from runtime.inference.cost import Cost, verification_gas
from runtime.inference.engine import Engine
from runtime.inference.errors import InvalidInput, Refused, SelfTestFailed
from runtime.inference.graph import Graph, Output, TensorSpec, decode_graph, encode_graph, model_hash
from runtime.inference.interpreter import interpret
from runtime.inference.self_test import self_test
from runtime.inference.tensors import (
    Tensor,
    Tensors,
    check_inputs,
    from_array,
    from_arrays,
    tensors_hash,
    to_array,
    to_arrays,
)
from runtime.inference.verifier import Proven, Verified, verify

__all__ = [
    "Cost",
    "Engine",
    "Graph",
    "InvalidInput",
    "Output",
    "Proven",
    "Refused",
    "SelfTestFailed",
    "Tensor",
    "TensorSpec",
    "Tensors",
    "Verified",
    "check_inputs",
    "decode_graph",
    "encode_graph",
    "from_array",
    "from_arrays",
    "interpret",
    "model_hash",
    "self_test",
    "tensors_hash",
    "to_array",
    "to_arrays",
    "verification_gas",
    "verify",
]
