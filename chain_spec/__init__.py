"""Chain specs: the JSON file that pins a chain down, and what the runtime is given of it."""

from chain_spec.errors import SpecError
from chain_spec.presets import FoundingValidator, make_spec
from chain_spec.resolve import ResolvedChain, parse_spec, read_spec, render_spec, resolve
from chain_spec.types import ChainSpec, ModuleSpec

__all__ = [
    "ChainSpec",
    "FoundingValidator",
    "ModuleSpec",
    "ResolvedChain",
    "SpecError",
    "make_spec",
    "parse_spec",
    "read_spec",
    "render_spec",
    "resolve",
]
