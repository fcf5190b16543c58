"""A node's home as a founding validator of a chain spec. Needs no password."""

from __future__ import annotations

from pathlib import Path

from chain_spec import FoundingValidator
from runtime.node.config_file import read_config
from runtime.node.home import NodeHome
from runtime.types import AccountId, PublicKey
from tools.cli.home import OPERATOR_KEY, VALIDATOR_KEY
from tools.cli.keyring import Keyring


def founder_of(home: Path) -> FoundingValidator:
    """The validator that `home` runs, and the account of its operator. Raises UsageError when keys are missing."""
    ring = Keyring(home)
    return FoundingValidator(
        public_key=PublicKey(ring.public_key(VALIDATOR_KEY)),
        operator=AccountId(ring.public_key(OPERATOR_KEY)),
        peer_id=NodeHome(home, read_config(home)).network_key().peer_id,
    )
