"""The homes of a network on one machine, with one spec that all share and keys for this machine only."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from chain_spec import ChainSpec, make_spec, render_spec
from chain_spec.founding import refounded
from chain_spec.presets import FOUNDER_BALANCE, LOCAL_PARAMS, STANDARD_MODULES, check_modules
from runtime.bech32m import DEFAULT_PREFIX, decode_address
from runtime.errors import UsageError
from runtime.node.config import HttpConfig, NetworkConfig, NodeConfig
from runtime.node.config_file import write_config
from runtime.node.files import write_atomically
from runtime.types import AccountId
from tools.cli.founders import founder_of
from tools.cli.home import make_home
from tools.localnet.process import NodeProcess

PORTS_PER_NODE = 2
VALIDATORS_MAX = 32
THROWAWAY_SCRYPT_N = 1 << 12  # keys of a network that lives on one machine need no half second each


def prepare(
    home: Path,
    validators: int,
    base_port: int,
    *,
    chain: str = "localnet",
    modules: Sequence[str] = (),
    spec: ChainSpec | None = None,
) -> list[NodeProcess]:
    """Make `validators` homes under `home`, the spec in home/spec.json and the keys' password in home/password.

    Node i listens on base_port + 2 i for peers and on base_port + 2 i + 1 for HTTP. modules: installed ones to compose
    besides the standard ones. spec: the chain, whose founders these nodes take the place of; None: one of `modules`.
    Raises UsageError when `home` holds something already, SpecError.
    """
    if not 1 <= validators <= VALIDATORS_MAX:
        raise UsageError(f"--validators {validators}: 1 to {VALIDATORS_MAX} are possible on one machine")
    check_modules(modules, "--module")
    if home.exists() and any(home.iterdir()):
        raise UsageError(f"{home} is not empty; name a new folder, or remove it")
    home.mkdir(parents=True, exist_ok=True)
    password = secrets.token_urlsafe(24)
    write_atomically(home / "password", f"{password}\n".encode(), mode=0o600)
    prefix = DEFAULT_PREFIX if spec is None else spec.address_prefix
    nodes = [_make_node(home, index, base_port, password, prefix) for index in range(validators)]
    addresses = [f"/ip4/127.0.0.1/tcp/{node.p2p_port}/p2p/{node.peer_id}" for node in nodes]
    balances = {AccountId(decode_address(node.account, prefix)): FOUNDER_BALANCE for node in nodes}
    founders = [founder_of(node.home) for node in nodes]
    if spec is None:
        made = make_spec(chain, founders, balances, modules=(*STANDARD_MODULES, *modules), params=LOCAL_PARAMS)
    else:
        made = refounded(spec, founders, balances)
    text = render_spec(made.model_copy(update={"bootnodes": addresses})).encode()
    write_atomically(home / "spec.json", text)
    for node in nodes:
        write_atomically(node.home / "spec.json", text)
        write_config(node.home, _config(node))
    return nodes


def _make_node(home: Path, index: int, base_port: int, password: str, prefix: str) -> NodeProcess:
    name, port = f"node{index}", base_port + PORTS_PER_NODE * index
    made = make_home(home / name, NodeConfig(), password, prefix=prefix, scrypt_n=THROWAWAY_SCRYPT_N)
    return NodeProcess(
        name=name,
        home=home / name,
        p2p_port=port,
        http_port=port + 1,
        account=made["operator"],
        peer_id=made["peer"],
        password_file=home / "password",
    )


def _config(node: NodeProcess) -> NodeConfig:
    network = NetworkConfig(listen=f"127.0.0.1:{node.p2p_port}")
    return NodeConfig(name=node.name, network=network, http=HttpConfig(listen=f"127.0.0.1:{node.http_port}"))
