"""A node's home: what `armillary init` makes and `armillary node` reads.

config.toml, spec.json (from the chain's founders), keys/validator.json and keys/operator.json (encrypted),
keys/network.key (who the node is to its peers), data/.
"""

from __future__ import annotations

from pathlib import Path

from runtime.crypto import SigningKey
from runtime.errors import UsageError
from runtime.network.identity import NetworkKey
from runtime.node.config import NodeConfig
from runtime.node.config_file import FILE_NAME, write_config
from runtime.node.files import write_atomically
from runtime.node.keystore import SCRYPT_N, write_keystore

VALIDATOR_KEY = "validator"
OPERATOR_KEY = "operator"
NETWORK_KEY_FILE = "keys/network.key"


def make_home(
    home: Path, config: NodeConfig, password: str, *, prefix: str, scrypt_n: int = SCRYPT_N
) -> dict[str, str]:
    """Make the home of a new node. Returns {validator: public key, operator: address, peer: id}.

    Raises UsageError when a home is there already: keys are never overwritten.
    """
    if (home / FILE_NAME).exists() or (home / "keys").exists():
        raise UsageError(f"{home} holds a node's home already; name another folder")
    keys = home / "keys"
    keys.mkdir(parents=True, mode=0o700)
    validator, operator, network = SigningKey.generate(), SigningKey.generate(), NetworkKey.generate()
    write_keystore(keys / f"{VALIDATOR_KEY}.json", validator, password, prefix=prefix, scrypt_n=scrypt_n)
    store = write_keystore(keys / f"{OPERATOR_KEY}.json", operator, password, prefix=prefix, scrypt_n=scrypt_n)
    write_atomically(home / NETWORK_KEY_FILE, f"{network.seed.hex()}\n".encode(), mode=0o600)
    write_config(home, config)
    return {"validator": validator.public_key.hex(), "operator": store.address, "peer": network.peer_id}
