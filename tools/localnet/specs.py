"""A spec for a network on this machine: right, and of the sources that are installed here."""

from __future__ import annotations

from pathlib import Path

from chain_spec import ChainSpec, SpecError, read_chain
from chain_spec.pins import check_sources
from runtime.errors import UsageError


def read_for_network(file: Path) -> ChainSpec:
    """The spec in the file; a draft will do. Raises UsageError with all that is wrong, OtherSources: nodes would not
    sign."""
    try:
        spec, chain = read_chain(file)
    except SpecError as error:
        raise UsageError(f"{file}: {error}") from None
    check_sources(spec, chain)
    return spec
