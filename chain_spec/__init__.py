"""Chain specs: the JSON file that pins a chain down, and what the runtime is given of it."""

from chain_spec.errors import Problem, SpecError
from chain_spec.files import parse_chain, parse_spec, read_chain, read_spec, render_spec
from chain_spec.presets import FoundingValidator, make_spec
from chain_spec.resolve import ResolvedChain, resolve
from chain_spec.types import ChainSpec, ModuleSpec

__all__ = [
    "ChainSpec",
    "FoundingValidator",
    "ModuleSpec",
    "Problem",
    "ResolvedChain",
    "SpecError",
    "make_spec",
    "parse_chain",
    "parse_spec",
    "read_chain",
    "read_spec",
    "render_spec",
    "resolve",
]
